"""Bundles made to do harm, or broken on the way: each is refused with the reason."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tasks.artifacts import golden, graph_form
from tasks.artifacts.bundle import Bundle
from tasks.artifacts.contract import INT8
from tasks.artifacts.files import sha256
from tasks.artifacts.golden import read_golden
from tasks.artifacts.verification import Check, Verification, verify
from tasks.errors import BundleError

TERA = 2**40
ENDLESS = np.iinfo(np.int64).max


def edit_manifest(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def listed_anew(folder: Path) -> None:
    """Hashes that fit, as who means harm would write them."""
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.iterdir())
        if path.name != "manifest.json"
    }
    edit_manifest(folder, files=files)


def graph(folder: Path, change: Callable[[onnx.ModelProto], None], name: str = "adapt") -> None:
    path = folder / f"{name}.onnx"
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    listed_anew(folder)


def foreign_domain(folder: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node[0].domain = "com.evil"

    graph(folder, change)


def external_data(folder: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../etc/passwd")

    graph(folder, change)


def declared_4_tb(folder: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].dims[:] = [TERA]

    graph(folder, change, "encoder")


def wrapped_around(folder: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].dims[:] = [2**33, 2**31]  # 2**64, which 64 bits take for 0

    graph(folder, change, "encoder")


def input_of_4_tb(folder: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = TERA

    graph(folder, change, "encoder")


def constant_of_4_tb(folder: Path) -> None:
    """A few bytes that grow: ConstantOfShape, then a sum that nobody needs."""

    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array([TERA]), "huge"))
        model.graph.node.append(helper.make_node("ConstantOfShape", ["huge"], ["zeros"]))

    graph(folder, change)


def loop(count: onnx.TensorProto) -> Callable[[onnx.ModelProto], None]:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, [])],
    )

    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(count)
        node = helper.make_node("Loop", [count.name, ""], [], body=body)
        model.graph.node.insert(0, node)

    return change


def endless_loop(folder: Path) -> None:
    graph(folder, loop(numpy_helper.from_array(np.array(ENDLESS), "count")))


def chance(folder: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node[-1].op_type = "RandomUniformLike"

    graph(folder, change)


def endless_loop_in_a_branch(folder: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        inner = onnx.ModelProto()
        loop(numpy_helper.from_array(np.array(ENDLESS), "count"))(inner)
        inner.graph.name = "branch"
        model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
        branches = {"then_branch": inner.graph, "else_branch": inner.graph}
        model.graph.node.insert(0, helper.make_node("If", ["yes"], [], **branches))

    graph(folder, change)


def no_number(folder: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        weight = numpy_helper.to_array(tensor).copy()
        weight.flat[3] = np.nan
        tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))

    graph(folder, change, "encoder")


def other_opset(folder: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = 17

    graph(folder, change)


def renamed_output(folder: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node.append(
            helper.make_node("Identity", [model.graph.output[1].name], ["offset"])
        )
        model.graph.output[1].name = "offset"

    graph(folder, change)


def constant_bias(folder: Path) -> None:
    """A class without support that stays as likely as the others."""

    def change(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if numpy_helper.to_array(tensor).size == 1 and np.isneginf(
                numpy_helper.to_array(tensor)
            ):
                tensor.CopyFrom(numpy_helper.from_array(np.float32(0), tensor.name))

    graph(folder, change)


def truncated(folder: Path) -> None:
    path = folder / "encoder.onnx"
    path.write_bytes(path.read_bytes()[:-100])
    listed_anew(folder)


def unknown_graph(folder: Path) -> None:
    (folder / "more.onnx").write_bytes((folder / "predict.onnx").read_bytes())
    listed_anew(folder)


def other_int8(folder: Path) -> None:
    """An encoder of another network in the place of the int8 one."""
    model = onnx.load(folder / "encoder.onnx")
    for tensor in model.graph.initializer:
        weight = numpy_helper.to_array(tensor)
        if weight.ndim == 4:
            tensor.CopyFrom(numpy_helper.from_array(-weight, tensor.name))
    (folder / "encoder.int8.onnx").write_bytes(model.SerializeToString())
    listed_anew(folder)


def golden_of(folder: Path, shape: str) -> None:
    """A golden.npz whose one array declares another shape than it holds."""
    import zipfile

    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    with zipfile.ZipFile(folder / "golden.npz", "w") as archive:
        content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
        archive.writestr("encoder.0.images.npy", content + bytes(64))
    listed_anew(folder)


def pickled_golden(folder: Path) -> None:
    np.savez(folder / "golden.npz", **{"encoder.0.images": np.array([{"a": 1}], object)})
    listed_anew(folder)


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a foreign domain": (foreign_domain, "found operators of domain 'com.evil'"),
    "external data": (external_data, "found weights in a file outside the graph"),
    "a path above": (
        lambda folder: edit_manifest(folder, files=files_with("../x")),
        "found file name '../x', needed a plain name",
    ),
    "an absolute path": (
        lambda folder: edit_manifest(folder, files=files_with("/etc/passwd")),
        "found file name '/etc/passwd', needed a plain name",
    ),
    "a declared 4 TB": (declared_4_tb, "declares [1099511627776], 4,398,046,511,104 bytes"),
    "a declared 2**64": (wrapped_around, "declares [8589934592, 2147483648]"),
    "an input of 4 TB": (input_of_4_tb, "declares [1099511627776, 3]"),
    "a constant that grows to 4 TB": (constant_of_4_tb, "'zeros' declares [1099511627776]"),
    "an endless loop": (endless_loop, "found a Loop that may turn without end"),
    "an endless loop in a branch": (endless_loop_in_a_branch, "may turn without end"),
    "chance": (chance, "found operators RandomUniformLike, needed none but the arithmetic"),
    "a weight that is no number": (no_number, "found 1 values that are no numbers"),
    "another opset": (other_opset, "found IR and opsets (8, [('', 17)]), needed 8, 18"),
    "a renamed output": (renamed_output, "needed [('weight', 'float32', ('way', 8)), ('bias'"),
    "a bias that never tells": (constant_bias, "adapt.bias differs by"),
    "a truncated graph": (truncated, "damaged: not an ONNX graph"),
    "a graph too many": (unknown_graph, "found a graph that no contract knows"),
    "an int8 of another network": (other_int8, "needed 0.9 on average"),
    "a golden of 4 TB": (lambda folder: golden_of(folder, f"({TERA},)"), "declares 4,398,046"),
    "a golden with pickle": (pickled_golden, "golden.npz: cannot be read"),
    "a manifest that is no JSON": (
        lambda folder: (folder / "manifest.json").write_text("{"),
        "manifest.json: damaged",
    ),
    "a manifest nested without end": (
        lambda folder: (folder / "manifest.json").write_text("[" * 200_000),
        "damaged (nested too deep)",
    ),
    "a manifest of lists": (
        lambda folder: (folder / "manifest.json").write_text("[]"),
        "found list, needed a JSON object",
    ),
    "wrong types": (
        lambda folder: edit_manifest(folder, limits=[], files={"encoder.onnx": 1}),
        "damaged (entries missing)",
    ),
    "a number of classes": (lambda folder: edit_manifest(folder, base_classes=7), "damaged"),
    "a width without end": (
        lambda folder: edit_manifest(folder, embedding_dim=10**30),
        "found inputs",
    ),
    "a file more": (
        lambda folder: (folder / "run_me.py").touch(),
        "found 1 files that manifest.json does not list ('run_me.py')",
    ),
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), "no bundle here"),
}


def files_with(name: str) -> dict[str, object]:
    files = json.loads((Path(__file__).parents[2] / MANIFEST).read_text())["files"]
    return files | {name: {"bytes": 1, "sha256": "0" * 64}}


MANIFEST = "golden/bundle_format_1/manifest.json"


def state(folder: Path) -> dict[str, tuple[int, str]]:
    return {
        path.name: (path.stat().st_mtime_ns, sha256(path))
        for path in folder.parent.rglob("*")
        if path.is_file()
    }


def refused(folder: Path, **limits: float) -> Verification:
    before = state(folder)
    found = verify(folder, **limits)
    assert state(folder) == before
    assert found.failed and found.summary.startswith("refused: ")
    for check in found.checks:
        assert "\n" not in check.line and "Traceback" not in check.line
    return found


def test_a_sound_bundle_passes_every_check(golden_bundle: Path) -> None:
    found = verify(golden_bundle)
    assert not found.failed, [check.line for check in found.failed]
    assert found.summary == f"sound: {len(found.checks)} checks, no fault"
    lines = "\n".join(check.line for check in found.checks)
    for told in (
        "ok      encoder.onnx: 17,717 bytes, SHA-256 as the manifest lists it",
        "ok      encoder.onnx: opset 18, IR 8",
        "ok      adapt.onnx: weight: within",
        "ok      predict.onnx: probabilities: within",
        "a class without support gets bias -inf and probability 0",
        "ok      runtime: all of this ran without PyTorch",
    ):
        assert told in lines


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_bundle_is_refused_with_the_reason(bundle_copy: Path, name: str) -> None:
    damage, reason = HOSTILE[name]
    damage(bundle_copy)
    found = refused(bundle_copy)
    assert any(reason in check.words for check in found.failed), found.failed


@pytest.mark.parametrize(
    "name",
    [
        "adapt.onnx",
        "classifier.onnx",
        "encoder.onnx",
        "golden.npz",
        "predict.onnx",
        "MODEL_CARD.md",
    ],
)
def test_one_changed_byte_in_any_file_is_noticed(bundle_copy: Path, name: str) -> None:
    content = bytearray((bundle_copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle_copy / name).write_bytes(content)
    (failed,) = refused(bundle_copy).failed
    assert failed.subject == name and "damaged: its content differs" in failed.words


def test_a_pipe_is_not_waited_for(bundle_copy: Path) -> None:
    (bundle_copy / "golden.npz").unlink()
    os.mkfifo(bundle_copy / "golden.npz")
    found = verify(bundle_copy)
    assert any("found no regular file" in check.words for check in found.failed)


def test_an_endless_graph_is_given_up(bundle_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = refused(bundle_copy, timeout_s=0.01)
    assert "not done after 0 s" in found.failed[-1].words


def test_memory_is_bounded(bundle_copy: Path) -> None:
    found = refused(bundle_copy, memory_bytes=2**27)
    assert found.failed


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no folder here"):
        verify(tmp_path / "nothing")


def test_code_in_the_working_directory_is_not_run(
    bundle_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tasks", "json"):
        (bundle_copy / f"{name}.py").write_text("open('ran', 'w')")
    monkeypatch.chdir(bundle_copy)
    assert [check.subject for check in verify(bundle_copy).failed] == ["folder"]
    assert not (bundle_copy / "ran").exists()


def test_a_loop_that_turns_as_often_as_a_tensor_is_long_is_allowed(golden_bundle: Path) -> None:
    model = onnx.load(golden_bundle / "adapt.onnx")
    count = numpy_helper.from_array(np.array(graph_form.LARGEST_LOOP + 1), "count")
    loop(count)(model)
    with pytest.raises(BundleError, match="without end"):
        graph_form.check_operators(model, "adapt.onnx")
    model.graph.node[0].input[0] = "rows"
    model.graph.node.insert(0, helper.make_node("Squeeze", ["sizes"], ["rows"]))
    model.graph.node.insert(0, helper.make_node("Shape", ["labels"], ["sizes"], end=1))
    assert "all standard ONNX" in graph_form.check_operators(model, "adapt.onnx")


def test_an_int8_encoder_is_compared_with_the_encoder(bundle_copy: Path) -> None:
    (bundle_copy / "encoder.int8.onnx").write_bytes((bundle_copy / "encoder.onnx").read_bytes())
    listed_anew(bundle_copy)
    assert INT8 in Bundle(bundle_copy).contracts
    found = verify(bundle_copy)
    assert not found.failed
    assert any("cosine to encoder.onnx 1.0000" in check.words for check in found.checks)


def test_a_golden_file_of_too_many_bytes_is_not_unpacked(
    golden_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(golden, "LARGEST_BYTES", 1000)
    with pytest.raises(BundleError, match="its arrays take more than 1,000 bytes"):
        read_golden(Bundle(golden_bundle))


def test_a_line_names_its_subject_once() -> None:
    assert Check("a.onnx", False, "a.onnx: found x").line == "FAILED  a.onnx: found x"
