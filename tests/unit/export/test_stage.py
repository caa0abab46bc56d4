"""The whole stage on a small project: slow for what PyTorch's exporter needs to start."""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import pytest
import torch

from tasks.artifacts.bundle import Bundle
from tasks.artifacts.files import sha256
from tasks.artifacts.golden import read_golden, write_golden
from tasks.artifacts.layout import BUNDLE, METATRAINED, PRETRAINED
from tasks.errors import BundleError, DataError
from tasks.export import adaptation, parity, parts, quantising, stage
from tasks.export.check import verify_bundle
from tasks.export.stage import export
from tasks.learners.cosine import Cosine
from tasks.params import Params
from tasks.params.metatrain import MOVE_NETWORK, Metatrain
from tasks.progress import untracked
from tests.conftest import ROOT, write_params
from tests.small_project import BASE_CLASSES, write_project

LEARNERS = get_args(Metatrain.model_fields["learner"].annotation)


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(tmp_path)
    return write_params(tmp_path, {"export": {"teach_page": False}})


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
        *("encoder.onnx", "adapt.onnx", "predict.onnx", "classifier.onnx", "encoder.int8.onnx"),
        *("golden.npz", "manifest.json", "MODEL_CARD.md", "fewshot.py"),
    }
    bundle = Bundle(BUNDLE)
    assert (bundle.name, bundle.dim) == (params.export.name, 8)
    assert bundle.manifest["base_classes"] == [f"base {index}" for index in range(BASE_CLASSES)]
    assert len(bundle.manifest["learner"]["learned"]["rates.raw"]) == 3
    numbers = {one["name"]: one for one in bundle.manifest["learner"]["initialisers"]}
    assert set(numbers) == {"learner.scale", "learner.rates.weight", "learner.rates.bias"}
    assert len(numbers["learner.rates.weight"]["value"]) == 3
    assert "unrolled in adapt.onnx" in bundle.manifest["learner"]["unrolled"]
    assert "same type of machine" in bundle.manifest["reproducible"]
    assert bundle.manifest["metrics"]["results"]["novel_5way_1shot"]["accuracy"]["meta"] == 0.9
    assert bundle.manifest["preprocessing"]["framing"] == "crop"
    assert max(bundle.manifest["parity"]["encoder"].values()) <= 1
    assert "encoder.onnx: embeddings: largest difference from PyTorch" in caplog.text
    assert "ok      adapt.onnx: weight: within" in caplog.text
    assert "ok      encoder.int8.onnx: cosine to encoder.onnx" in caplog.text
    for secret in (str(tmp_path), str(ROOT), os.uname().nodename):
        for path in BUNDLE.iterdir():
            assert secret.encode() not in path.read_bytes()


@pytest.fixture(scope="module")
def image_graphs() -> dict[str, onnx.ModelProto]:
    """Graphs of images, made once: they are the same whatever the learner."""
    return {}


@pytest.fixture
def traced_once(image_graphs: dict[str, onnx.ModelProto], monkeypatch: pytest.MonkeyPatch) -> None:
    def trace_once(name: str, *others: Any) -> onnx.ModelProto:
        if name not in ("encoder", "classifier"):
            return trace(name, *others)
        if name not in image_graphs:
            image_graphs[name] = trace(name, *others)
        return image_graphs[name]

    trace = stage._trace
    monkeypatch.setattr(stage, "_trace", trace_once)


def with_export(params: Params, **changes: object) -> Params:
    return params.model_copy(update={"export": params.export.model_copy(update=changes)})


def exported(caplog: pytest.LogCaptureFixture, params: Params) -> Bundle:
    """The bundle that the stage makes; every output of every graph has its line of parity."""
    with caplog.at_level(logging.INFO, "tasks"):
        export(params, untracked)
    bundle = Bundle(BUNDLE)
    for graph, figures in bundle.manifest["parity"].items():
        for output in figures:
            assert f"{graph}.onnx: {output}: largest difference from PyTorch" in caplog.text
    return bundle


def answers(bundle: Bundle) -> np.ndarray:
    """Probabilities of three images among two classes and one without support."""
    images = list(np.random.default_rng(0).integers(0, 256, (5, 30, 40, 3), np.uint8))
    embeddings = bundle.embed(images)
    rule = bundle.adapt(embeddings[:2], [7, 3], [3, 7, 9])
    return bundle.predict(embeddings[2:], rule)[1]


@pytest.mark.slow
@pytest.mark.usefixtures("traced_once")
@pytest.mark.parametrize("learner", LEARNERS)
def test_every_learner_goes_into_a_bundle(
    learner: str,
    tmp_path: Path,
    params: Params,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(adaptation, "EPISODES", 6)
    write_project(tmp_path, learner=learner, projection_dim=5)
    bundle = exported(caplog, params)
    probabilities = answers(bundle)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert probabilities.shape == (3, 3) and (probabilities[:, 2] == 0).all()
    entry: dict[str, Any] = bundle.manifest["learner"]
    assert entry["name"] == learner and "network_shapes" not in entry
    assert bundle.feature_dim == (5 if learner == "projection" else bundle.dim)
    told = entry["adaptation"]
    card = (BUNDLE / "MODEL_CARD.md").read_text()
    assert told["words"] in card
    if learner in MOVE_NETWORK:
        assert told["carried"] == "head" and told["words"].startswith("the head alone: 3 gradient")
        assert told["cost"]["episodes"] == 6 and "points by paired differences" in card
    else:
        assert told["carried"] == "all" and "cost" not in told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "input_size_px"),
    [("resnet12", 0), ("simple_net", 28), ("efficientnet_lite0", 64), ("resnet18", 84)],
)
def test_every_kind_of_backbone_goes_into_a_bundle_and_resizes_inside(
    backbone: str,
    input_size_px: int,
    tmp_path: Path,
    params: Params,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_project(
        tmp_path, framing="crop", channels=3, backbone=backbone, input_size_px=input_size_px
    )
    bundle = exported(caplog, with_export(params, max_accuracy_drop=1.0))  # none was trained
    assert np.isfinite(answers(bundle)).all()
    assert bundle.manifest["quantisation"]["bytes"]["ratio"] > 2
    assert bundle.manifest["quantisation"]["cosine"]["minimum"] > 0.9


@pytest.mark.slow
def test_a_learner_that_no_graph_can_hold_is_told_and_leaves_the_old_bundle(
    tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(tmp_path)
    BUNDLE.mkdir(parents=True)
    (BUNDLE / "old").touch()
    monkeypatch.setattr(
        Cosine, "adapt", lambda _, support, *__: torch.linalg.eigh(support.T @ support)
    )
    with pytest.raises(BundleError, match=r"adapt: PyTorch cannot make a graph of it \(.*eigh"):
        export(params, untracked)
    assert [path.name for path in BUNDLE.iterdir()] == ["old"]


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


@pytest.mark.slow
@pytest.mark.usefixtures("traced_once")
def test_an_int8_encoder_that_costs_too_much_fails_the_stage_and_one_may_go_without(
    tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(tmp_path)
    costly = {"episodes": 2, "float32": 0.9, "int8": 0.8, "drop": {"mean": 0.1, "interval95": 0.02}}
    monkeypatch.setattr(quantising, "accuracy_drop", lambda *_: costly)
    line = (
        r"encoder\.int8\.onnx: novel 5-way 1-shot: accuracy 80\.00 % where float32 has 90\.00 %, a "
        r"drop of 10\.00 ± 2\.00 points, limit 0\.50: raise export\.max_accuracy_drop"
    )
    with pytest.raises(BundleError, match=line):
        export(params, untracked)
    assert not BUNDLE.exists()
    export(with_export(params, int8=False), untracked)
    assert not (BUNDLE / "encoder.int8.onnx").exists()
    bundle = Bundle(BUNDLE)
    assert bundle.manifest["quantisation"] == {"file": None, "reason": "export.int8 is false"}
    assert "encoder.int8" not in bundle.contracts
    assert (
        "There is no int8 encoder: export.int8 is false." in bundle.file("MODEL_CARD.md").decode()
    )


def test_a_bundle_that_answers_otherwise_without_torch_is_refused(bundle_copy: Path) -> None:
    verify_bundle(bundle_copy)
    examples = read_golden(Bundle(bundle_copy))
    examples["encoder"][0]["embeddings"] *= 1.5
    write_golden(bundle_copy / "golden.npz", examples)
    manifest = json.loads((bundle_copy / "manifest.json").read_text())
    manifest["files"]["golden.npz"]["sha256"] = sha256(bundle_copy / "golden.npz")
    (bundle_copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"verifying the bundle: .*encoder\.embeddings differs"):
        verify_bundle(bundle_copy)


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
