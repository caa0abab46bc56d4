import json
import subprocess
import sys
from pathlib import Path

from flows.verifying import verification_lines
from tasks.artifacts.files import sha256
from tasks.artifacts.verification import Check, Verification


def headstart(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_sound_bundle_is_told_line_by_line_and_ends_with_0(golden_bundle: Path) -> None:
    done = headstart("verify", str(golden_bundle))
    assert (done.returncode, done.stderr) == (0, "")
    *checks, summary = done.stdout.splitlines()
    assert len(checks) > 30 and all(line.startswith("ok      ") for line in checks)
    assert summary.startswith(f"sound: {len(checks)} checks, no fault. The hashes show damage, not")


def test_a_damaged_bundle_ends_with_2_and_says_what_was_found(bundle_copy: Path) -> None:
    (bundle_copy / "golden.npz").write_bytes(b"")
    done = headstart("verify", str(bundle_copy))
    assert (done.returncode, done.stderr) == (2, "")
    assert "FAILED  golden.npz: " in done.stdout and "refused: 1 of " in done.stdout
    assert "Traceback" not in done.stdout


def test_code_that_nobody_checked_is_a_warning_and_ends_with_0(bundle_copy: Path) -> None:
    page = bundle_copy / "teach.html"
    page.write_text("<script>alert(1)</script>")
    manifest = json.loads((bundle_copy / "manifest.json").read_text())
    manifest["files"][page.name] = {"bytes": page.stat().st_size, "sha256": sha256(page)}
    (bundle_copy / "manifest.json").write_text(json.dumps(manifest))
    done = headstart("verify", str(bundle_copy), "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["sound"]) == (0, True)
    assert [one["subject"] for one in told["checks"] if one["warning"]] == ["teach.html"]
    assert told["summary"].endswith("no fault, 1 warning")


def test_json_holds_every_check(bundle_copy: Path) -> None:
    (bundle_copy / "manifest.json").write_text("{}")
    done = headstart("verify", str(bundle_copy), "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["sound"]) == (2, False)
    assert "not who made the bundle" in told["hashes"]
    assert [check["ok"] for check in told["checks"]] == [False]
    assert "found format None, needed 1" in told["checks"][0]["words"]


def test_a_folder_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    done = headstart("verify", str(tmp_path / "nothing"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "no folder here" in done.stderr


def test_names_that_would_steer_a_terminal_are_shown_without_what_steers() -> None:
    found = Verification((Check("folder", False, "found '\x1b[2J\x07'"),))
    first, last = verification_lines(found)
    assert "\x1b" not in first and "\x07" not in first
    assert last.startswith("refused: 1 of 1 checks found a fault.")
