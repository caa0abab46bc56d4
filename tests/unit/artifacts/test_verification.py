"""Bundles made to do harm, or broken on the way: each is refused with the reason."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import tasks.fewshot
from tasks.artifacts import golden, graph_form, graph_loops, verification
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


def turning(count: str, total: str = "total") -> list[onnx.NodeProto]:
    """A valid Loop that adds 1 at every turn, and what keeps a runtime from leaving it out."""
    whole, truth = TensorProto.INT64, TensorProto.BOOL
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Add", ["sum", "one"], ["more"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", whole, []),
            helper.make_tensor_value_info("go", truth, []),
            helper.make_tensor_value_info("sum", whole, []),
        ],
        [
            helper.make_tensor_value_info("on", truth, []),
            helper.make_tensor_value_info("more", whole, []),
        ],
        [numpy_helper.from_array(np.array(1), "one")],
    )
    return [helper.make_node("Loop", [count, "", "start"], [total], body=body)]


def felt(model: onnx.ModelProto, nodes: list[onnx.NodeProto], total: str = "total") -> None:
    """Put nodes first, and add 0 times what they give, a whole number, to the bias."""
    graph = model.graph
    for node in graph.node:
        node.output[:] = ["plain_bias" if name == "bias" else name for name in node.output]
    graph.initializer.append(numpy_helper.from_array(np.array(0), "start"))
    after = [
        helper.make_node("Mul", [total, "start"], ["nothing"]),
        helper.make_node("Cast", ["nothing"], ["no_bias"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["plain_bias", "no_bias"], ["bias"]),
    ]
    every = [*nodes, *graph.node, *after]
    del graph.node[:]
    graph.node.extend(every)


def loop(count: onnx.TensorProto) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(count)
        felt(model, turning(count.name))

    return change


def counted_by(*nodes: onnx.NodeProto, **constants: object) -> Callable[[Path], None]:
    """A Loop whose number of turns `rows` the nodes make."""

    def change(model: onnx.ModelProto) -> None:
        for name, value in constants.items():
            model.graph.initializer.append(numpy_helper.from_array(np.array(value), name))
        felt(model, [*nodes, *turning("rows")])

    return lambda folder: graph(folder, change)


def length_of(name: str) -> list[onnx.NodeProto]:
    """The length of a tensor's first axis, `rows`."""
    return [
        helper.make_node("Shape", [name], ["sizes"], start=0, end=1),
        helper.make_node("Squeeze", ["sizes"], ["rows"]),
    ]


HUGE = 2**60
LONG_LOOPS: dict[str, Callable[[Path], None]] = {
    "an expanded tensor without values": counted_by(
        helper.make_node("Expand", ["label", "shape"], ["wide"]),
        *length_of("wide"),
        label=np.zeros((1, 0), np.float32),
        shape=[HUGE, 0],
    ),
    "an expanded tensor by a computed shape": counted_by(
        helper.make_node("Mul", ["half", "half"], ["shape"]),
        helper.make_node("Expand", ["label", "shape"], ["wide"]),
        *length_of("wide"),
        label=np.zeros((1, 0), np.float32),
        half=[2**30, 0],
    ),
    "what is computed from an expanded tensor": counted_by(
        helper.make_node("Mul", ["half", "half"], ["shape"]),
        helper.make_node("Expand", ["label", "shape"], ["wide"]),
        helper.make_node("Add", ["wide", "label"], ["wider"]),
        *length_of("wider"),
        label=np.zeros((1, 0), np.float32),
        half=[2**30, 0],
    ),
    "a reshape of no values": counted_by(
        helper.make_node("Mul", ["half", "half"], ["shape"]),
        helper.make_node("Reshape", ["label", "shape"], ["wide"], allowzero=1),
        *length_of("wide"),
        label=np.zeros((1, 0), np.float32),
        half=[2**30, 0],
    ),
    "a tile of no values": counted_by(
        helper.make_node("Mul", ["half", "half"], ["times"]),
        helper.make_node("Tile", ["label", "times"], ["wide"]),
        *length_of("wide"),
        label=np.zeros((1, 0), np.float32),
        half=[2**30, 1],
    ),
    "a product of lengths": counted_by(
        helper.make_node("Shape", ["labels"], ["sizes"], start=0, end=1),
        helper.make_node("Mul", ["sizes", "times"], ["larger"]),
        helper.make_node("Squeeze", ["larger"], ["rows"]),
        times=[HUGE],
    ),
}


@pytest.mark.parametrize("name", LONG_LOOPS)
def test_a_loop_without_practical_end_is_refused_for_its_count(
    bundle_copy: Path, name: str
) -> None:
    LONG_LOOPS[name](bundle_copy)
    model = onnx.load(bundle_copy / "adapt.onnx")
    onnx.checker.check_model(model, full_check=True)
    with pytest.raises(BundleError, match="found a Loop that may turn without end"):
        graph_loops.check_loops(model.graph, "adapt.onnx")
    assert any("adapt.onnx" in check.subject for check in refused(bundle_copy).failed)


def endless_loop(folder: Path) -> None:
    graph(folder, loop(numpy_helper.from_array(np.array(ENDLESS), "count")))


def chance(folder: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node[-1].op_type = "RandomUniformLike"

    graph(folder, change)


def endless_loop_in_a_branch(folder: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        told = helper.make_tensor_value_info("turned", TensorProto.INT64, [])
        branches = {
            f"{name}_branch": helper.make_graph(turning("count", "turned"), name, [], [told])
            for name in ("then", "else")
        }
        for name, value in (("yes", True), ("count", ENDLESS)):
            model.graph.initializer.append(numpy_helper.from_array(np.array(value), name))
        felt(model, [helper.make_node("If", ["yes"], ["total"], **branches)])

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


def added(folder: Path, name: str, content: str) -> Path:
    (folder / name).write_text(content)
    listed_anew(folder)
    return folder


def with_client(folder: Path) -> Path:
    """With the client that newer sections of the manifest promise."""
    return added(folder, "fewshot.py", Path(tasks.fewshot.__file__).read_text())


def linked(folder: Path, name: str) -> None:
    (folder / name).rename(folder.parent / "elsewhere")
    (folder / name).symlink_to("../elsewhere")


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
    "a graph too many": (unknown_graph, "lists 'more.onnx', needed none but"),
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
    "a file with a purpose of its own": (
        lambda folder: added(folder, "numpy.py", "open('ran', 'w')"),
        "lists 'numpy.py', needed none but",
    ),
    "a client that is promised": (
        lambda folder: edit_manifest(folder, client={"file": "fewshot.py"}),
        "promises 'fewshot.py', but lists no such file",
    ),
    "a client that its sections promise": (
        lambda folder: edit_manifest(folder, unknown=None),
        "promises 'fewshot.py', but lists no such file",
    ),
    "an int8 encoder that is promised": (
        lambda folder: edit_manifest(
            with_client(folder), quantisation={"file": "encoder.int8.onnx"}
        ),
        "promises 'encoder.int8.onnx', but lists no such file",
    ),
    "a page that is promised": (
        lambda folder: edit_manifest(folder, teach_page={"file": "teach.html"}),
        "promises 'teach.html', but lists no such file",
    ),
    "what the client refuses": (
        lambda folder: edit_manifest(
            with_client(folder), unknown={"score": "none", "threshold": 7}
        ),
        "manifest.json: damaged (entries missing)",
    ),
    "a link out of the bundle": (
        lambda folder: linked(folder, "MODEL_CARD.md"),
        "MODEL_CARD.md: found a link, needed the file itself",
    ),
    "a graph that is a link": (
        lambda folder: linked(folder, "adapt.onnx"),
        "adapt.onnx: found a link, needed the file itself",
    ),
    "a manifest that is a link": (
        lambda folder: linked(folder, "manifest.json"),
        "manifest.json: found a link, needed the file itself",
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


UNGUARDED = """
from tasks.artifacts import bundle_checks, graph_form
graph_form.CHECKS = (graph_form.check_versions,)
bundle_checks.main()
"""


@pytest.fixture
def _unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing looks at a graph before it is run."""
    monkeypatch.setattr(verification, "_COMMAND", (sys.executable, "-P", "-c", UNGUARDED))


@pytest.mark.slow
@pytest.mark.usefixtures("_unguarded")
def test_a_graph_that_turns_for_years_is_given_up(bundle_copy: Path) -> None:
    endless_loop(bundle_copy)
    failed = refused(bundle_copy, timeout_s=12).failed[-1]
    assert failed.subject == "golden.npz"
    assert failed.words == "not done after 12 s, needed to be; the graph may have no end"


@pytest.mark.usefixtures("_unguarded")
def test_a_graph_that_turns_a_few_times_is_not(bundle_copy: Path) -> None:
    graph(bundle_copy, loop(numpy_helper.from_array(np.array(9), "count")))
    assert not verify(bundle_copy).failed


@pytest.mark.usefixtures("_unguarded")
def test_memory_is_bounded_where_a_graph_asks_for_it(bundle_copy: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array([2**31]), "sizes"))
        felt(
            model,
            [
                helper.make_node("ConstantOfShape", ["sizes"], ["zeros"]),
                helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
                helper.make_node("Cast", ["sum"], ["total"], to=TensorProto.INT64),
            ],
        )

    graph(bundle_copy, change)
    failed, *_ = refused(bundle_copy, memory_bytes=2**32).failed
    assert failed.subject == "golden.npz"
    assert "adapt.onnx: refused its inputs" in failed.words
    assert "bad_alloc" in failed.words or "allocate memory" in failed.words


def test_the_size_of_a_bundle_sets_no_bound_of_its_own(bundle_copy: Path) -> None:
    """A sparse file takes no disk and declares what it likes."""
    for name, told in (("teach.html", "found files of"), ("encoder.int8.onnx", "found graphs of")):
        with (bundle_copy / name).open("wb") as file:
            file.truncate(5 * 2**30 if told == "found files of" else 3 * 2**30)
        (failed,) = verify(bundle_copy).checks
        assert failed.subject == "folder" and told in failed.words
        (bundle_copy / name).unlink()


def test_a_folder_of_many_files_is_not_looked_through(bundle_copy: Path) -> None:
    for number in range(100):
        (bundle_copy / f"{number}.txt").touch()
    (failed,) = verify(bundle_copy).checks
    assert "found more than" in failed.words


def warnings(folder: Path) -> list[str]:
    found = verify(folder)
    assert not found.failed, found.failed
    return [check.line for check in found.checks if check.warning]


def test_a_client_of_another_version_is_shown_as_code_that_nobody_checked(
    bundle_copy: Path,
) -> None:
    assert not warnings(with_client(bundle_copy))
    added(bundle_copy, "fewshot.py", "import os; os.system('touch ran')")
    (line,) = warnings(bundle_copy)
    assert line.startswith("warn    fewshot.py: another client than this version's: code that was")
    assert verify(bundle_copy).summary.endswith("no fault, 1 warning")


def test_the_script_of_a_page_is_shown_as_not_checked(bundle_copy: Path) -> None:
    added(bundle_copy, "teach.html", "<script>alert(1)</script>")
    (line,) = warnings(bundle_copy)
    assert line.startswith("warn    teach.html: holds a script that was not checked")


def test_the_client_takes_every_encoder_of_a_sound_bundle(bundle_copy: Path) -> None:
    (bundle_copy / "encoder.int8.onnx").write_bytes((bundle_copy / "encoder.onnx").read_bytes())
    listed_anew(bundle_copy)
    told = [check.words for check in verify(bundle_copy).checks if check.subject == "client"]
    assert [words.split()[-1] for words in told] == ["encoder.onnx", "encoder.int8.onnx"]


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


def test_a_loop_that_turns_as_often_as_a_tensor_is_long_is_allowed(bundle_copy: Path) -> None:
    model = onnx.load(bundle_copy / "adapt.onnx")
    loop(numpy_helper.from_array(np.array(graph_loops.LARGEST_LOOP + 1), "count"))(model)
    with pytest.raises(BundleError, match="without end"):
        graph_form.check_operators(model, "adapt.onnx")
    counted_by(helper.make_node("Add", ["labels", "none"], ["same"]), *length_of("same"), none=0)(
        bundle_copy
    )
    assert not verify(bundle_copy).failed


@pytest.mark.parametrize("sizes", [[2**60, 0], [2**31 + 1, 0]])
def test_an_axis_without_end_is_refused_where_another_is_zero(
    golden_bundle: Path, sizes: list[int]
) -> None:
    model = onnx.load(golden_bundle / "adapt.onnx")
    model.graph.value_info.append(helper.make_tensor_value_info("wide", TensorProto.FLOAT, sizes))
    with pytest.raises(BundleError, match="and no axis longer than"):
        graph_form.check_sizes(model, "adapt.onnx")


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
