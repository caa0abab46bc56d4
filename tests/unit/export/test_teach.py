"""The teach page is put together the same way every time, from a runtime that is pinned."""

import base64
import gzip
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import BundleError, DataError
from tasks.export.teach import runtime as module
from tasks.export.teach.page import teach_page
from tasks.export.teach.runtime import PACKAGE, TARBALL_VARIABLE, VERSION, WebRuntime, fetch_runtime

RUNTIME = WebRuntime("1.0", b"const ort = {};", b"export default 1;", b"\0asm")
GRAPHS = {"encoder": b"encoder", "adapt": b"adapt", "predict": b"predict"}
CONTENTS = {name: name.encode() * 100 for name in module.SHA256}


def settings(**changes: Any) -> dict[str, Any]:
    return {
        "name": "glyphs",
        "embedding_dim": 8,
        "feature_dim": 8,
        "encoder_sha256": "0" * 64,
        "embedded_by": "encoder.onnx",
        "unknown": None,
        "limits": {"maximum_batch": 4, "maximum_image_side_px": 64},
        **changes,
    }


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pins small files in place of the real ones."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
    monkeypatch.setattr(module, "SHA256", hashes)
    monkeypatch.delenv(TARBALL_VARIABLE, raising=False)


@pytest.fixture
def tarball(tmp_path: Path) -> Callable[..., Path]:
    """Writes the package's tarball with changes to its files; None leaves one out."""

    def write(**changes: bytes | None) -> Path:
        path = tmp_path / f"{PACKAGE}-{VERSION}.tgz"
        with tarfile.open(path, "w:gz") as file:
            for name, content in {**CONTENTS, **changes}.items():
                if content is not None:
                    entry = tarfile.TarInfo(f"package/dist/{name}")
                    entry.size = len(content)
                    file.addfile(entry, io.BytesIO(content))
        return path

    return write


def test_the_same_inputs_give_the_same_bytes() -> None:
    assert teach_page(settings(), GRAPHS, RUNTIME) == teach_page(settings(), GRAPHS, RUNTIME)


def test_the_graphs_and_the_runtime_are_inside() -> None:
    page = teach_page(settings(), GRAPHS, RUNTIME).decode()
    parts = dict(re.findall(r'<script type="text/plain" id="part-(\w+)">([^<]*)</script>', page))
    unpacked = {name: gzip.decompress(base64.b64decode(text)) for name, text in parts.items()}
    runtime = {"ort": RUNTIME.script, "loader": RUNTIME.loader, "binary": RUNTIME.binary}
    assert unpacked == {**GRAPHS, **runtime}


def test_the_page_names_no_address_of_a_network() -> None:
    page = teach_page(settings(), GRAPHS, RUNTIME).decode()
    found = set(re.findall(r"(?:https?|wss?)://[^'\"\s]*", page))
    assert found == {"http://www.w3.org/2000/svg"}  # the name of a format; nobody goes there


def test_the_policy_allows_the_script_and_the_style_by_hash_and_no_connection() -> None:
    page = teach_page(settings(), GRAPHS, RUNTIME).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    script, style = (
        re.search(r"<script>(.*?)</script>", page, re.S),
        re.search(r"<style>(.*?)</style>", page, re.S),
    )
    assert policy and script and style
    rules = policy[1].replace("&#39;", "'")
    assert rules.startswith("default-src 'none';")
    assert "connect-src" not in rules
    assert "unsafe-inline" not in rules
    for text in (script[1], style[1]):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in rules.replace("&#43;", "+")


def test_a_name_is_text_wherever_it_stands() -> None:
    name = "</script><script>alert(1)</script><!-- \u2028 \"'"
    page = teach_page(settings(name=name), GRAPHS, RUNTIME).decode()
    found = re.search(r'id="settings">(.*?)</script>', page, re.S)
    assert found and json.loads(found[1])["name"] == name
    assert "<script>alert" not in page
    assert "<!--" not in page


@pytest.mark.parametrize("missing", ["name", "unknown", "limits"])
def test_a_missing_setting_is_named(missing: str) -> None:
    given = settings()
    del given[missing]
    with pytest.raises(BundleError, match=f"settings lack {missing}"):
        teach_page(given, GRAPHS, RUNTIME)


def test_a_missing_graph_is_named() -> None:
    with pytest.raises(BundleError, match="graphs lack adapt, predict"):
        teach_page(settings(), {"encoder": b""}, RUNTIME)


@pytest.mark.usefixtures("pinned")
def test_the_runtime_comes_from_a_tarball_that_is_named_and_then_from_the_cache(
    tarball: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tarball()
    monkeypatch.setenv(TARBALL_VARIABLE, str(path))
    first = fetch_runtime(tmp_path / "cache")
    assert first.binary == CONTENTS[module.BINARY]
    path.unlink()
    assert fetch_runtime(tmp_path / "cache") == first
    assert len(list((tmp_path / "cache").rglob("*.*"))) == 1 + len(CONTENTS)
    plain = tmp_path / "plain"
    plain.touch()  # with the permissions that the user's mask leaves
    for name in CONTENTS:
        [kept] = (tmp_path / "cache").rglob(name)
        assert kept.stat().st_mode == plain.stat().st_mode


@pytest.mark.usefixtures("pinned")
def test_a_changed_byte_in_the_cache_is_fetched_again(
    tarball: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TARBALL_VARIABLE, str(tarball()))
    first = fetch_runtime(tmp_path / "cache")
    [kept] = (tmp_path / "cache").rglob(module.LOADER)
    kept.write_bytes(b"another loader")
    assert fetch_runtime(tmp_path / "cache") == first
    assert kept.read_bytes() == CONTENTS[module.LOADER]


@pytest.mark.usefixtures("pinned")
def test_another_version_is_refused(
    tarball: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TARBALL_VARIABLE, str(tarball(**{module.BINARY: b"another"})))
    with pytest.raises(DataError, match=rf"{module.BINARY} has SHA-256 .*; take {PACKAGE}"):
        fetch_runtime(tmp_path / "cache")


@pytest.mark.usefixtures("pinned")
@pytest.mark.parametrize("content", [b"", b"no tarball", None])
def test_what_is_no_tarball_of_the_package_is_refused(
    content: bytes | None,
    tarball: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tarball(**{module.SCRIPT: None})
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv(TARBALL_VARIABLE, str(path))
    with pytest.raises(DataError, match="no tarball of"):
        fetch_runtime(tmp_path / "cache")


@pytest.mark.usefixtures("pinned")
def test_without_npm_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match=f"npm not found; install Node.js.*{TARBALL_VARIABLE}"):
        fetch_runtime(tmp_path / "cache")


@pytest.mark.usefixtures("pinned")
def test_what_npm_says_is_told_where_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'no route to the registry' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(DataError, match=r"could not fetch it \(no route to the registry\)"):
        fetch_runtime(tmp_path / "cache")


@pytest.mark.usefixtures("pinned")
def test_npm_fetches_the_pinned_version(
    tarball: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm = tmp_path / "npm"
    npm.write_text(f'#!/bin/sh\necho "$@" >"{tmp_path}/asked"\ncp "{tarball()}" .\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert fetch_runtime(tmp_path / "cache").version == VERSION
    assert (tmp_path / "asked").read_text().startswith(f"pack {PACKAGE}@{VERSION}")


@pytest.mark.usefixtures("pinned")
def test_a_cache_that_fails_midway_keeps_no_half_file(
    tarball: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TARBALL_VARIABLE, str(tarball()))

    def full(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert fetch_runtime(tmp_path / "cache").version == VERSION
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("pinned")
def test_a_cache_that_cannot_be_written_costs_nothing_else(
    tarball: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TARBALL_VARIABLE, str(tarball()))
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert fetch_runtime(tmp_path / "cache").version == VERSION
