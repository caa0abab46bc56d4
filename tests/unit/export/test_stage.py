"""The whole stage on a small project: slow for what PyTorch's exporter needs to start."""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tasks.artifacts.bundle import Bundle
from tasks.artifacts.files import sha256
from tasks.artifacts.golden import read_golden, write_golden
from tasks.artifacts.layout import BUNDLE, METATRAINED, PRETRAINED
from tasks.errors import BundleError, DataError
from tasks.export import parity, parts
from tasks.export.check import replay_without_torch
from tasks.export.stage import export
from tasks.params import Params
from tasks.params_file import load_params
from tasks.progress import untracked
from tests.small_project import BASE_CLASSES, write_project

ROOT = Path(__file__).parents[3]


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    return load_params()


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in folder.iterdir()}


def start_export(folder: Path, threads: int) -> subprocess.Popen[bytes]:
    code = (
        "from tasks.export.stage import export; from tasks.params_file import load_params;"
        "from tasks.progress import untracked; export(load_params(), untracked)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": str(threads), "OMP_NUM_THREADS": str(threads)}
    return subprocess.Popen([sys.executable, "-c", code], cwd=folder, env=environment)


@pytest.mark.slow
def test_the_bundle_holds_what_was_trained_and_is_the_same_from_another_process(
    tmp_path: Path, params: Params, caplog: pytest.LogCaptureFixture
) -> None:
    write_project(tmp_path, framing="crop", channels=3, learner="anil")
    # Not compared with this process: here, functions are wrapped to check shapes.
    one, two = (tmp_path.with_name(f"{tmp_path.name}-{name}") for name in ("one", "two"))
    others = []
    for threads, folder in enumerate((one, two), start=1):
        shutil.copytree(tmp_path, folder)
        others.append(start_export(folder, threads))
    with caplog.at_level(logging.INFO, "tasks"):
        export(params, untracked)
    assert [other.wait() for other in others] == [0, 0]
    assert hashes(one / BUNDLE) == hashes(two / BUNDLE)
    assert set(hashes(BUNDLE)) == {
        *("encoder.onnx", "adapt.onnx", "predict.onnx", "classifier.onnx"),
        *("golden.npz", "manifest.json", "MODEL_CARD.md"),
    }
    bundle = Bundle(BUNDLE)
    assert (bundle.name, bundle.dim) == (params.export.name, 8)
    assert bundle.manifest["base_classes"] == [f"base {index}" for index in range(BASE_CLASSES)]
    assert len(bundle.manifest["learner"]["learned"]["raw_rates"]) == 3
    assert bundle.manifest["metrics"]["results"]["novel_5way_1shot"]["accuracy"]["meta"] == 0.9
    assert bundle.manifest["preprocessing"]["framing"] == "crop"
    assert max(bundle.manifest["parity"]["encoder"].values()) <= 1
    assert "encoder.onnx: embeddings: largest difference from PyTorch" in caplog.text
    assert "replay without torch: adapt.weight within" in caplog.text
    for secret in (str(tmp_path), str(ROOT), os.uname().nodename):
        for path in BUNDLE.iterdir():
            assert secret.encode() not in path.read_bytes()


@pytest.mark.slow
def test_a_graph_that_computes_something_else_leaves_the_old_bundle(
    tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(tmp_path)
    BUNDLE.mkdir(parents=True)
    (BUNDLE / "old").touch()
    monkeypatch.setattr(parity, "LARGEST_DIFFERENCE", 0.0)
    with pytest.raises(BundleError, match=r"largest difference from PyTorch \S+, limit 0"):
        export(params, untracked)
    assert [path.name for path in BUNDLE.parent.iterdir()] == ["bundle"]
    assert [path.name for path in BUNDLE.iterdir()] == ["old"]


def test_a_bundle_that_answers_otherwise_without_torch_is_refused(bundle_copy: Path) -> None:
    replay_without_torch(bundle_copy)
    examples = read_golden(Bundle(bundle_copy))
    examples["encoder"][0]["embeddings"] *= 1.5
    write_golden(bundle_copy / "golden.npz", examples)
    manifest = json.loads((bundle_copy / "manifest.json").read_text())
    manifest["files"]["golden.npz"]["sha256"] = sha256(bundle_copy / "golden.npz")
    (bundle_copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"replay without torch: .*encoder\.embeddings differs"):
        replay_without_torch(bundle_copy)


def test_what_earlier_stages_left_out_is_told(tmp_path: Path, params: Params) -> None:
    with pytest.raises(DataError, match="stage prepare makes it"):
        export(params, untracked)
    write_project(tmp_path)
    weights = METATRAINED / "learner.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"learner\.safetensors: damaged"):
        export(params, untracked)
    (PRETRAINED / "model.json").write_text(
        json.dumps(
            json.loads((PRETRAINED / "model.json").read_text())
            | {"classifier": {"name": "cosine", "dim": 8, "classes": 7}}
        )
    )
    with pytest.raises(DataError, match=r"classifier\.safetensors: damaged, or of another model"):
        export(params, untracked)


def test_a_classifier_of_other_classes_is_refused(
    tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(tmp_path)
    monkeypatch.setattr(parts, "read_classifier", lambda *_: torch.nn.Linear(8, 99))
    with pytest.raises(DataError, match="the classifier knows 99 classes, needed 6"):
        export(params, untracked)
