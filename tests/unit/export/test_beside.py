"""What a bundle holds beside its graphs, as the stage writes it."""

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import tasks.fewshot
from tasks.artifacts.bundle import Bundle
from tasks.artifacts.layout import BUNDLE
from tasks.errors import DataError
from tasks.export import beside
from tasks.export.stage import export
from tasks.export.teach.runtime import WebRuntime
from tasks.params import Params
from tasks.progress import untracked
from tests.conftest import write_params
from tests.small_project import write_project

pytestmark = pytest.mark.slow

USE = """
import sys
from fewshot import FewShotClassifier
model = FewShotClassifier(".")
model.enroll("dark", ["dark.png"])
model.enroll("light", ["light.png"])
print(model.predict("dark.png")[0][0], model.threshold)
foreign = [name for name in sys.modules if name.split(".")[0] in ("tasks", "torch", "onnx")]
assert not foreign, foreign
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)
    return tmp_path


def with_page(folder: Path, wanted: bool) -> Params:
    return write_params(folder, {"export": {"teach_page": wanted}})


def test_the_client_in_a_bundle_needs_nothing_else_of_headstart(
    project: Path, tmp_path: Path
) -> None:
    export(with_page(project, False), untracked)
    assert not (BUNDLE / "teach.html").exists()
    assert Bundle(BUNDLE).manifest["teach_page"]["reason"] == "export.teach_page is false"
    assert Bundle(BUNDLE).manifest["client"] == {"file": "fewshot.py"}
    assert (BUNDLE / "fewshot.py").read_bytes() == Path(tasks.fewshot.__file__).read_bytes()
    elsewhere = shutil.copytree(BUNDLE, tmp_path / "elsewhere")
    for name, level in (("dark", 30), ("light", 220)):
        picture = Image.new("RGB", (40, 30), "white")
        picture.paste((level, 90, 90), (4, 6, 20 + level // 16, 16))
        picture.save(elsewhere / f"{name}.png")
    (elsewhere / "use.py").write_text(USE)
    done = subprocess.run(
        [sys.executable, "use.py"], cwd=elsewhere, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    threshold = Bundle(BUNDLE).manifest["unknown"]["threshold"]
    assert done.stdout.split() == ["dark", str(threshold)]


def test_the_page_holds_the_int8_encoder_and_the_threshold(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = WebRuntime("0.0", b"script", b"loader", b"binary")
    monkeypatch.setattr(beside, "fetch_runtime", lambda _: runtime)
    export(with_page(project, True), untracked)
    manifest = Bundle(BUNDLE).manifest
    assert manifest["teach_page"] == {"file": "teach.html", "runtime": "onnxruntime-web 0.0"}
    page = (BUNDLE / "teach.html").read_text(encoding="utf-8")
    start = page.index("{", page.index('id="settings"'))
    settings = json.loads(page[start : page.index("</script>", start)])
    assert settings["embedded_by"] == "encoder.int8.onnx"
    assert settings["embedded_by_sha256"] == manifest["files"]["encoder.int8.onnx"]["sha256"]
    assert settings["unknown"] == manifest["unknown"]
    assert settings["encoder_sha256"] == manifest["files"]["encoder.onnx"]["sha256"]


def test_without_the_pages_runtime_the_bundle_is_made_and_says_so(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(folder: Path) -> WebRuntime:
        raise DataError("onnxruntime-web: npm not found; install Node.js")

    monkeypatch.setattr(beside, "fetch_runtime", fail)
    with caplog.at_level(logging.WARNING, "tasks"):
        export(with_page(project, True), untracked)
    told = Bundle(BUNDLE).manifest["teach_page"]
    assert (told["file"], told["runtime"]) == (None, None)
    assert "teach.html: left out: onnxruntime-web: npm not found" in caplog.text
    later = "install Node.js, which brings npm, then `dvc repro --force --single-item export`"
    card = (BUNDLE / "MODEL_CARD.md").read_text()
    for text in (told["reason"], caplog.text, card):
        assert later in text
