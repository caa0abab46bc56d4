import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tasks.artifacts.bundle import Bundle
from tasks.artifacts.files import sha256
from tasks.artifacts.golden import read_golden
from tasks.errors import BundleError


def images(*sizes: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]


def edit_manifest(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def replace_graph(folder: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    """Change a graph, and the manifest with it, as who means harm would."""
    path = folder / "adapt.onnx"
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    files = json.loads((folder / "manifest.json").read_text())["files"]
    files["adapt.onnx"]["sha256"] = sha256(path)
    edit_manifest(folder, files=files)


def flip_a_byte(folder: Path) -> None:
    content = bytearray((folder / "encoder.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "encoder.onnx").write_bytes(content)


def add_foreign_operator(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def put_weights_outside(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")


def rename_an_output(model: onnx.ModelProto) -> None:
    node = model.graph.output[1]
    model.graph.node.append(helper.make_node("Identity", [node.name], ["offset"]))
    node.name = "offset"


def list_a_file_elsewhere(folder: Path) -> None:
    edit_manifest(folder, files={"../secret": {"sha256": ""}})


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (flip_a_byte, r"encoder\.onnx: damaged: its content differs from manifest\.json"),
        (lambda folder: (folder / "adapt.onnx").unlink(), r"adapt\.onnx: not found, but"),
        (lambda folder: (folder / "golden.npz").write_bytes(b""), r"golden\.npz: damaged"),
        (lambda folder: (folder / "manifest.json").unlink(), "no bundle here"),
        (lambda folder: (folder / "manifest.json").write_text("{"), r"manifest\.json: damaged"),
        (lambda folder: edit_manifest(folder, format=2), "found format 2, needed 1"),
        (lambda folder: edit_manifest(folder, limits={}), "damaged .entries missing"),
        (lambda folder: edit_manifest(folder, files={}), r"lists no encoder\.onnx"),
        (list_a_file_elsewhere, "found file name '../secret', needed a plain name"),
        (
            lambda folder: replace_graph(folder, add_foreign_operator),
            r"adapt\.onnx: found operators of domain 'com\.microsoft'",
        ),
        (
            lambda folder: replace_graph(folder, put_weights_outside),
            r"adapt\.onnx: found weights in a file outside the graph",
        ),
    ],
)
def test_a_bundle_that_is_not_whole_is_refused_in_one_line(
    bundle_copy: Path, damage: Callable[[Path], object], line: str
) -> None:
    damage(bundle_copy)
    with pytest.raises(BundleError, match=line) as refused:
        Bundle(bundle_copy)
    assert "\n" not in str(refused.value)


def test_a_graph_that_breaks_its_contract_is_refused(bundle_copy: Path) -> None:
    replace_graph(bundle_copy, rename_an_output)
    bundle = Bundle(bundle_copy)
    with pytest.raises(
        BundleError, match=r"adapt\.onnx: found outputs .*'offset'.*needed .*'bias'"
    ):
        bundle.adapt(np.zeros((2, bundle.dim)), [0, 1], [0, 1])


def test_images_of_different_sizes_are_embedded_as_one_by_one(golden_bundle: Path) -> None:
    bundle = Bundle(golden_bundle)
    several = images((20, 30), (41, 17), (20, 30), (1, 1))
    together = bundle.embed(several)
    alone = np.concatenate([bundle.embed([image]) for image in several])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert together.dtype == np.float32


def test_more_images_than_a_batch_takes_are_embedded_all_the_same(bundle_copy: Path) -> None:
    edit_manifest(bundle_copy, limits={"maximum_batch": 2, "maximum_image_side_px": 4096})
    bundle = Bundle(bundle_copy)
    several = images(*[(20, 30)] * 5)
    np.testing.assert_allclose(bundle.embed(several), bundle.embed(several[::-1])[::-1], atol=1e-5)
    assert bundle.embed([]).shape == (0, bundle.dim)


@pytest.mark.parametrize(
    ("image", "line"),
    [
        (np.zeros((4, 4097, 3), np.uint8), "found an image of 4097 x 4 px, needed at most 4096"),
        (np.zeros((4, 4), np.uint8), r"found an image \(4, 4\) of uint8"),
        (np.zeros((4, 4, 3), np.float32), "of float32, needed .height, width, 3. of uint8"),
        (np.zeros((0, 4, 3), np.uint8), "found an image"),
    ],
)
def test_an_image_beyond_the_contract_is_refused(
    golden_bundle: Path, image: np.ndarray, line: str
) -> None:
    with pytest.raises(BundleError, match=line):
        Bundle(golden_bundle).embed([image])


def test_classes_without_support_are_never_predicted(golden_bundle: Path) -> None:
    bundle = Bundle(golden_bundle)
    support = np.random.default_rng(0).normal(size=(5, bundle.dim))
    rule = bundle.adapt(support, [7, -3, 7, 99, 99], [-3, 50, 7])
    assert rule.bias.tolist() == [0, -np.inf, 0]
    logits, probabilities = bundle.predict(support, rule)
    assert (probabilities[:, 1] == 0).all() and (logits[:, 1] == -np.inf).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert logits[:3].argmax(axis=1).tolist() == [2, 0, 2]


def test_with_no_support_at_all_every_probability_is_zero(golden_bundle: Path) -> None:
    bundle = Bundle(golden_bundle)
    rule = bundle.adapt(np.ones((2, bundle.dim)), [8, 9], [0, 1])
    _, probabilities = bundle.predict(np.ones((3, bundle.dim)), rule)
    assert probabilities.tolist() == [[0, 0]] * 3


@pytest.mark.parametrize(
    ("rows", "labels", "classes", "line"),
    [
        (2, [0, 1, 1], [0, 1], "found embeddings"),
        (2, [0, 1], [0, 0], "needed one or more, each once"),
        (2, [0, 1], [], "needed one or more, each once"),
    ],
)
def test_support_that_makes_no_sense_is_refused(
    golden_bundle: Path, rows: int, labels: list[int], classes: list[int], line: str
) -> None:
    bundle = Bundle(golden_bundle)
    with pytest.raises(BundleError, match=line):
        bundle.adapt(np.zeros((rows, bundle.dim)), labels, classes)
    with pytest.raises(BundleError, match=r"predict\.onnx: refused its inputs"):
        bundle.run("predict", {"embeddings": np.zeros((rows, 3), np.float32)})


def test_the_plain_classifier_knows_the_base_classes(golden_bundle: Path) -> None:
    bundle = Bundle(golden_bundle)
    probabilities = bundle.classify(images((30, 20), (15, 15)))
    assert probabilities.shape == (2, len(bundle.manifest["base_classes"]))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_every_graph_has_examples(golden_bundle: Path) -> None:
    examples = read_golden(Bundle(golden_bundle))
    assert set(examples) == {"encoder", "adapt", "predict", "classifier"}
    assert len({example["images"].shape for example in examples["encoder"]}) >= 2


def test_a_bundle_is_used_without_torch(golden_bundle: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tasks.artifacts.bundle import Bundle;"
        f"import numpy; bundle = Bundle(Path({str(golden_bundle)!r}));"
        "bundle.embed([numpy.zeros((9, 9, 3), 'uint8')]);"
        "sys.exit(sorted({'torch', 'onnx', 'onnxscript', 'scipy'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
