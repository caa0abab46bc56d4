"""A folder with nearly everything wrong becomes a store, and every fault in it is told."""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks.artifacts.bundle import Bundle
from tasks.artifacts.image_store import ImageStore
from tasks.artifacts.layout import BUNDLE, EVALUATED, PREPARED
from tasks.artifacts.user_cache import FOLDER_VARIABLE
from tasks.params import Params
from tests.conftest import ROOT, TINY, merged, write_params
from tests.hostile import ODD_NAMES, damaged_files, encoded, write_hostile

pytestmark = pytest.mark.slow

LIMIT_S = 120
LIMIT_BYTES = 2**30
PHOTOGRAPHS = {
    "prepare": {
        "source": "image_folder",
        "channels": 3,
        "framing": "crop",
        "domains": [],
        "max_rejected_share": 0.5,
        "splits": {"by": "share", "base": [], "validation": [], "novel": []},
    },
    "evaluate": {"protocols": [{"domain": "novel", "way": 3, "shot": 1}]},
}


def run_bounded(*words: str) -> tuple[int, str, int]:
    """Exit code, everything printed, and the most memory that all its processes held at once."""
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    deadline = time.monotonic() + LIMIT_S
    most = 0
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        assert time.monotonic() < deadline, "it hangs"
        most = max(most, _resident(watched))
        time.sleep(0.02)
    output, _ = process.communicate()
    return process.returncode, output, most


def _resident(process: psutil.Process) -> int:
    total = 0
    try:
        for one in (process, *process.children(recursive=True)):
            # What processes share is counted once: proportional set size.
            total += one.memory_full_info().pss
    except psutil.Error:
        pass
    return total


def class_sizes() -> dict[str, int]:
    store = ImageStore(PREPARED)
    return {
        one.name: one.images
        for part in ("base", "validation", "novel")
        for one in store.classes(part)
    }


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Params]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    (tmp_path / "tasks").symlink_to(ROOT / "tasks")
    (tmp_path / "data/scan").mkdir(parents=True)

    def make(**changes: Any) -> Params:
        root = {"prepare": {"root": str(tmp_path / "photos")}}
        return write_params(tmp_path, merged(merged(TINY, PHOTOGRAPHS), root), changes)

    return make


def test_every_fault_is_told_and_the_rest_is_used(
    hostile: Callable[..., Params], tmp_path: Path
) -> None:
    told = write_hostile(tmp_path / "photos")
    special, hollow, doubles = 14, 70, 3
    assert len(damaged_files()) + 2 * len(ODD_NAMES) + special + hollow + doubles >= 200
    hostile()
    code, output, most = run_bounded("tasks.prepare")
    assert code == 0, output
    assert "Traceback" not in output
    assert most < LIMIT_BYTES
    with (PREPARED / "rejected.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for name in told:
        assert any(name in row["path"] and row["reason"] for row in rows), name
    sizes = class_sizes()
    bad = [row for row in rows if row["path"].startswith("bad files/")]
    assert len(bad) + sizes.get("bad files", 0) == len(damaged_files())
    assert {f"sound {index}" for index in range(12)} <= set(sizes)
    assert set(ODD_NAMES) <= set(sizes)


def test_too_much_that_is_wrong_stops_the_run_with_the_worst_folders(
    hostile: Callable[..., Params], tmp_path: Path
) -> None:
    write_hostile(tmp_path / "photos")
    hostile(prepare={"max_rejected_share": 0.01})
    code, output, _ = run_bounded("tasks.prepare")
    assert code == 2
    assert "Traceback" not in output
    assert "needed at most 1 % (prepare.max_rejected_share)" in output
    assert "bad files: " in output


@pytest.mark.parametrize(
    ("root", "line"),
    [
        ("nowhere", "nowhere"),
        ("a pipe", "a pipe"),
        ("an empty folder", "an empty folder"),
        ("a text", "a text"),
        ("folder of texts", "folder of texts"),
    ],
)
def test_a_root_that_cannot_be_meant_is_told_in_lines(
    hostile: Callable[..., Params], tmp_path: Path, root: str, line: str
) -> None:
    os.mkfifo(tmp_path / "a pipe")
    (tmp_path / "an empty folder").mkdir()
    (tmp_path / "a text").write_text("hello")
    (tmp_path / "folder of texts/class").mkdir(parents=True)
    (tmp_path / "folder of texts/class/notes.txt").write_text("hello")
    hostile(prepare={"root": str(tmp_path / root)})
    code, output, _ = run_bounded("tasks.prepare")
    assert code == 2, output
    assert "Traceback" not in output
    assert line in output


def test_hostile_names_break_neither_report_nor_bundle(
    hostile: Callable[..., Params], tmp_path: Path
) -> None:
    write_hostile(tmp_path / "photos")
    hostile(export={"name": "<b>shop</b> & $x$"})
    for stage in ("prepare", "pretrain", "metatrain", "evaluate", "export"):
        code, output, _ = run_bounded(f"tasks.{stage}")
        assert code == 0, output
        assert "Traceback" not in output
    report = (EVALUATED / "report.html").read_text(encoding="utf-8")
    assert "<img src=x" not in report and "<b>shop" not in report
    base = [one.name for one in ImageStore(PREPARED).classes("base")]
    assert any(name in ODD_NAMES for name in base)
    manifest = json.loads((BUNDLE / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["base_classes"] == base
    assert Bundle(BUNDLE).manifest["name"] == "<b>shop</b> & $x$"


def test_thousands_of_classes_are_split_and_told_in_few_lines(
    hostile: Callable[..., Params], tmp_path: Path
) -> None:
    for index in range(3_000):
        folder = tmp_path / "photos" / f"class {index}"
        folder.mkdir(parents=True)
        for number in range(2):
            (folder / f"{number}.png").write_bytes(encoded(50_000 + 2 * index + number))
    hostile(
        pretrain={"selection": {"queries": 1}},
        metatrain={"queries": 1, "selection": {"queries": 1}},
        evaluate={"queries": 1, "protocols": [{"domain": "novel", "way": 20, "shot": 1}]},
    )
    code, output, most = run_bounded("tasks.prepare")
    assert code == 0, output
    assert most < LIMIT_BYTES and len(output.splitlines()) < 40
    assert len(class_sizes()) == 3_000
