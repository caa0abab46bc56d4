"""The client of a bundle, as `fewshot.py` in it: what it does, and what it refuses."""

import ast
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from tasks import fewshot
from tasks.artifacts.bundle import Bundle
from tasks.artifacts.files import sha256
from tasks.fewshot import FewShotClassifier, FewShotError, Ranking


def picture(kind: int, grain: int = 0, size: tuple[int, int] = (40, 52)) -> np.ndarray:
    """A drawing of a kind: a bar across, a bar down, a block; grains differ."""
    height, width = size
    image = np.random.default_rng(100 * kind + grain).integers(225, 256, (*size, 3), np.uint8)
    rows = slice(height // 5, -height // 5) if kind else slice(2 * height // 5, -2 * height // 5)
    columns = slice(2 * width // 5, -2 * width // 5) if kind == 1 else slice(5, -5)
    image[rows, columns] //= 8
    return image


@pytest.fixture
def model(golden_bundle: Path) -> FewShotClassifier:
    return taught(FewShotClassifier(golden_bundle, threads=1))


def taught(model: FewShotClassifier) -> FewShotClassifier:
    """Three classes, the first of two images."""
    for kind, name in enumerate(("bar", "Ω post", "block")):
        model.enroll(name, [picture(kind), picture(kind, 1)][: 1 + (kind == 0)])
    return model


def edit_manifest(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# --- learning and telling apart -------------------------------------------------------------------


def test_it_answers_as_the_graphs_of_the_bundle_do(
    model: FewShotClassifier, golden_bundle: Path
) -> None:
    bundle = Bundle(golden_bundle)
    support = bundle.embed([picture(0), picture(0, 1), picture(1), picture(2)])
    rule = bundle.adapt(support, [0, 0, 1, 2], [0, 1, 2])
    queries = [picture(kind, 7, (31, 60)) for kind in range(3)]
    _, expected = bundle.predict(bundle.embed(queries), rule)
    rankings = model.predict(queries)
    for ranking, row in zip(rankings, expected, strict=True):
        assert dict(ranking) == pytest.approx(
            dict(zip(model.classes, row.tolist(), strict=True)), abs=1e-5
        )
        shares = [share for _, share in ranking]
        assert shares == sorted(shares, reverse=True)
        assert ranking.name == list(model.classes)[int(row.argmax())]


def test_one_image_gives_one_ranking_and_several_give_a_list(
    model: FewShotClassifier, tmp_path: Path
) -> None:
    path = tmp_path / "query.png"
    Image.fromarray(picture(1, 3)).save(path)
    ways: list[Any] = [path, str(path), Image.open(path), picture(1, 3)]
    found = [model.predict(way) for way in ways]
    assert all(isinstance(one, Ranking) and one == found[0] for one in found)
    assert isinstance(found[0], list) and found[0][0][0] == "Ω post"
    several = model.predict(ways)
    assert (
        len(several) == 4
        and [dict(one) for one in several] == [pytest.approx(dict(found[0]), abs=1e-5)] * 4
    )
    assert model.predict([]) == [] and len(model.predict(np.stack([picture(0)] * 3))) == 3


def test_an_image_is_embedded_once_and_the_rule_is_made_at_the_next_prediction(
    model: FewShotClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[tuple[str, int]] = []
    run = fewshot._Graphs._run

    def counted(graphs: Any, graph: str, outputs: list[str], inputs: Any) -> Any:
        runs.append((graph, len(next(iter(inputs.values())))))
        return run(graphs, graph, outputs, inputs)

    monkeypatch.setattr(fewshot._Graphs, "_run", counted)
    model.enroll("block", picture(2, 1))
    model.enroll("bar", picture(0, 2))
    assert runs == [("encoder", 1)] * 2
    model.predict(picture(0))
    model.predict(picture(1))
    named = [("encoder", 1), ("predict", 1)]
    assert runs[2:] == [("adapt", 6), *named, *named]


def test_classes_are_forgotten_renamed_and_lose_single_images(model: FewShotClassifier) -> None:
    assert model.classes == {"bar": 2, "Ω post": 1, "block": 1}
    model.rename("Ω post", "post")
    assert list(model.classes) == ["bar", "post", "block"]
    model.forget_image("bar", 0)
    model.forget_image("block")
    assert model.classes == {"bar": 1, "post": 1, "block": 0}
    assert dict(model.predict(picture(2)))["block"] == 0
    model.forget("block")
    assert {name for name, _ in model.predict(picture(2))} == {"bar", "post"}
    fresh = model.predict(picture(0))
    model.enroll("block", picture(2))
    model.forget("block")
    assert model.predict(picture(0)) == fresh


def test_forgetting_the_newest_image_undoes_its_enrolment(model: FewShotClassifier) -> None:
    before = model.predict(picture(0, 9))
    model.enroll("bar", picture(2, 5))
    assert model.predict(picture(0, 9)) != before
    model.forget_image("bar")
    assert model.predict(picture(0, 9)) == before


def test_names_equal_under_unicode_normalisation_are_one_class(model: FewShotClassifier) -> None:
    model.enroll("cafe\N{COMBINING ACUTE ACCENT}", picture(0))
    model.enroll("caf\N{LATIN SMALL LETTER E WITH ACUTE}", picture(0, 1))
    assert model.classes["caf\N{LATIN SMALL LETTER E WITH ACUTE}"] == 2


def test_progress_sees_every_image_once_in_order(model: FewShotClassifier) -> None:
    seen: list[object] = []

    def progress(items: Any) -> Any:
        for item in items:
            seen.append(item)
            yield item

    images = [picture(0), picture(1), picture(2)]
    model.enroll_all({"x": images[:2], "y": images[2]}, progress)
    assert all(one is other for one, other in zip(seen, images, strict=True))


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (lambda images: images[:2], "progress gave 2 images, needed the 3 that it got"),
        (lambda _: (), "progress gave 0 images, needed the 3"),
        (lambda images: [*images, images[0]], "progress gave more images, needed the 3"),
    ],
)
def test_a_progress_that_loses_or_adds_images_is_told(
    model: FewShotClassifier, progress: Any, line: str
) -> None:
    before = model.classes
    with pytest.raises(FewShotError, match=line):
        model.enroll("x", [picture(0)] * 3, progress)
    assert model.classes == before


@pytest.mark.parametrize("graph", ["encoder", "adapt", "predict"])
def test_an_output_of_another_shape_is_refused(model: FewShotClassifier, graph: str) -> None:
    model.predict(picture(0))  # learned: adapt is not needed for the next
    session = model._graphs._sessions[graph]

    class Shorter:
        def run(self, outputs: list[str], inputs: Any) -> list[np.ndarray]:
            return [array[:-1] for array in session.run(outputs, inputs)]

    model._graphs._sessions[graph] = Shorter()
    with pytest.raises(FewShotError, match=rf"{graph}: gave \w+ of shape \(.*\), needed \("):
        if graph == "adapt":
            model.forget_image("bar")
        model.predict(picture(0))


@pytest.mark.parametrize(
    ("work", "line"),
    [
        (lambda model: model.enroll("", picture(0)), "found the class name '', needed a text"),
        (lambda model: model.enroll(" \t", picture(0)), "needed a text that is not empty"),
        (lambda model: model.enroll(7, picture(0)), "found the class name 7, needed a text"),
        (lambda model: model.enroll("n" * 201, picture(0)), "201 characters .*at most 200"),
        (lambda model: model.enroll("\ud800", picture(0)), "needed whole Unicode characters"),
        (lambda model: model.enroll("x", []), "'x': found no image, needed one or more"),
        (lambda model: model.enroll("x", [picture(0), 7]), "image 2: found int, needed a path"),
        (lambda model: model.enroll("x", np.zeros((4, 4), np.uint8)), r"found an image \(4, 4\)"),
        (lambda model: model.enroll("x", np.zeros((4, 4, 3))), "of float64, needed .*of uint8"),
        (lambda model: model.enroll("x", np.zeros((1, 4097, 3), np.uint8)), "at most 4,096 px"),
        (lambda model: model.enroll("x", Image.new("L", (4097, 1))), "found 4,097 x 1 px"),
        (lambda model: model.enroll("x", "gone.png"), "gone.png: cannot be read: No such file"),
        (lambda model: model.enroll("x", "a\0b"), "cannot be read"),
        (lambda model: model.forget("x"), "'x': no such class; enrolled: 'bar'"),
        (lambda model: model.rename("x", "y"), "'x': no such class"),
        (lambda model: model.rename("bar", "block"), "'block': there is such a class already"),
        (lambda model: model.rename("bar", ""), "needed a text that is not empty"),
        (lambda model: model.forget_image("block", 1), "found 1 images, needed one of number 1"),
        (lambda model: model.forget_image("block", "x"), "needed one of number 'x'"),
        (lambda model: model.save("/nowhere/x.npz"), "cannot be written: No such file"),
        *(
            (lambda model, path=path: model.save(path), f"{path}: cannot be written: Is a dir")
            for path in (".", "/")
        ),
        (lambda model: model.save(""), "cannot be written: Is a directory"),
        (lambda model: model.save("a\0b"), "cannot be written: embedded null"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line_and_changes_nothing(
    model: FewShotClassifier, work: Callable[[Any], object], line: str
) -> None:
    before, answer = model.classes, model.predict(picture(0))
    with pytest.raises(FewShotError, match=line) as refused:
        work(model)
    assert "\n" not in str(refused.value)
    assert model.classes == before and model.predict(picture(0)) == answer


def test_without_an_enrolled_image_nothing_is_predicted(golden_bundle: Path) -> None:
    model = FewShotClassifier(golden_bundle)
    with pytest.raises(FewShotError, match="found no enrolled image"):
        model.predict("gone.png")
    model.enroll("only", picture(0))
    assert model.predict(picture(1)) == [("only", 1.0)]
    model.forget_image("only")
    with pytest.raises(FewShotError, match="found no enrolled image"):
        model.predict(picture(0))


def test_more_classes_and_images_than_fit_are_refused_before_they_are_read(
    model: FewShotClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fewshot, "MAXIMUM_CLASSES", 3)
    monkeypatch.setattr(fewshot, "MAXIMUM_IMAGES", 6)
    with pytest.raises(FewShotError, match="found 4 classes of 5 images together"):
        model.enroll("more", "gone.png")
    with pytest.raises(FewShotError, match="found 3 classes of 7 images together"):
        model.enroll("bar", ["gone.png"] * 3)
    with pytest.raises(FewShotError, match="found 7 images, needed at most 6"):
        model.predict(["gone.png"] * 7)
    model.enroll("bar", [picture(0)] * 2)


def test_many_threads_enroll_predict_and_forget_at_once(golden_bundle: Path) -> None:
    model = FewShotClassifier(golden_bundle, threads=1)
    model.enroll("kept", picture(0))
    faults: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(8):
                model.enroll(f"own {number}", picture(number % 3, turn))
                model.enroll("shared", picture(1, turn))
                ranking = model.predict(picture(0, turn))
                assert {"kept", "shared", f"own {number}"} <= {name for name, _ in ranking}
                assert sum(share for _, share in ranking) == pytest.approx(1, abs=1e-4)
                model.rename(f"own {number}", f"other {number}")
                model.forget(f"other {number}")
        except BaseException as fault:  # a thread has nobody to raise to
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert model.classes == {"kept": 1, "shared": 64}


def test_enrolling_waits_for_no_rule_and_makes_the_one_under_way_stale(
    model: FewShotClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapt, started, go_on = fewshot._Graphs.adapt, threading.Event(), threading.Event()
    seen: list[int] = []

    def slow(graphs: Any, embeddings: np.ndarray, *others: Any) -> Any:
        seen.append(len(embeddings))
        started.set()
        assert go_on.wait(60)
        return adapt(graphs, embeddings, *others)

    monkeypatch.setattr(fewshot._Graphs, "adapt", slow)
    predictions = [
        threading.Thread(target=model.predict, args=(picture(0),), daemon=True) for _ in range(2)
    ]
    predictions[0].start()
    assert started.wait(60)
    model.enroll("late", picture(1))
    assert model.classes["late"] == 1 and seen == [4]
    predictions[1].start()
    go_on.set()
    for thread in predictions:
        thread.join(60)
    assert "late" in dict(model.predict(picture(0)))
    assert seen == [4, 5]


# --- unknown --------------------------------------------------------------------------------------


def unknown_bundle(folder: Path, **section: object) -> Path:
    edit_manifest(folder, unknown={"score": "similarity", "threshold": 0.5, **section})
    return folder


def test_a_bundle_without_a_threshold_knows_everything(model: FewShotClassifier) -> None:
    assert model.threshold is None
    assert not model.predict(np.full((30, 30, 3), 128, np.uint8)).unknown


def test_similarity_is_the_mean_cosine_to_the_images_of_the_likeliest_class(
    bundle_copy: Path,
) -> None:
    model = taught(FewShotClassifier(unknown_bundle(bundle_copy)))
    query = picture(0, 8, (33, 44))
    ranking = model.predict(query)
    images = {"bar": [0, 0], "Ω post": [1], "block": [2]}[ranking[0][0]]
    rows = np.stack([model.embed([picture(kind, at)])[0] for at, kind in enumerate(images)])
    own = model.embed([query])[0]
    cosines = rows @ own / np.linalg.norm(rows, axis=1) / np.linalg.norm(own)
    assert ranking.score == pytest.approx(cosines.mean(), abs=1e-5)


@pytest.mark.parametrize("kind", ["similarity", "probability"])
def test_a_score_below_the_threshold_is_unknown(bundle_copy: Path, kind: str) -> None:
    free = taught(FewShotClassifier(unknown_bundle(bundle_copy, score=kind), threshold=-1))
    ranking = free.predict(picture(1, 5))
    assert not ranking.unknown and ranking.name == ranking[0][0]
    if kind == "probability":
        assert ranking.score == ranking[0][1]
    for threshold, unknown in ((ranking.score, False), (np.nextafter(ranking.score, 2), True)):
        unknown_bundle(bundle_copy, score=kind, threshold=min(float(threshold), 1.0))
        found = taught(FewShotClassifier(bundle_copy)).predict(picture(1, 5))
        if threshold <= 1:
            assert (found.unknown, found.name is None) == (unknown, unknown)
        assert found == ranking


@pytest.mark.parametrize("threshold", [2, float("nan"), "0.5", True])
def test_a_threshold_that_is_none_is_refused(golden_bundle: Path, threshold: Any) -> None:
    with pytest.raises(FewShotError, match="needed a number from -1 to 1"):
        FewShotClassifier(golden_bundle, threshold=threshold)


# --- the bundle -----------------------------------------------------------------------------------


def replace_graph(
    folder: Path, change: Callable[[onnx.ModelProto], object], file: str = "adapt.onnx"
) -> None:
    """Change a graph, and the manifest with it, as who means harm would."""
    path = folder / file
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    files = json.loads((folder / "manifest.json").read_text())["files"]
    files[file]["sha256"] = sha256(path)
    edit_manifest(folder, files=files)


def put_weights_outside(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")


def rename_an_output(model: onnx.ModelProto) -> None:
    node = model.graph.output[1]
    model.graph.node.append(helper.make_node("Identity", [node.name], ["offset"]))
    node.name = "offset"


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (
            lambda at: (at / "encoder.onnx").write_bytes(b"x"),
            r"encoder\.onnx: damaged: its content",
        ),
        (lambda at: (at / "adapt.onnx").unlink(), r"adapt\.onnx: cannot be read: No such file"),
        (lambda at: (at / "manifest.json").unlink(), "no bundle here"),
        (lambda at: (at / "manifest.json").write_text("{"), r"manifest\.json: damaged"),
        (lambda at: (at / "manifest.json").write_text("[" * 10**5), r"manifest\.json: damaged"),
        (lambda at: (at / "manifest.json").write_bytes(b"\xff"), r"manifest\.json: damaged"),
        (lambda at: (at / "manifest.json").write_text("[]"), r"found format \[\], needed 1"),
        (lambda at: edit_manifest(at, format=2), "found format 2, needed 1"),
        (lambda at: edit_manifest(at, limits={}), "damaged .entries missing"),
        (lambda at: edit_manifest(at, files={}), "damaged .entries missing"),
        (lambda at: edit_manifest(at, unknown={"score": "x"}), "damaged .entries missing"),
        (lambda at: edit_manifest(at, embedding_dim=9), r"encoder\.onnx: found outputs .*length 9"),
        (
            lambda at: replace_graph(
                at, lambda one: one.opset_import.append(helper.make_opsetid("com.microsoft", 1))
            ),
            r"adapt\.onnx: found operators of domain 'com\.microsoft'",
        ),
        (lambda at: replace_graph(at, put_weights_outside), "found weights in a file outside"),
        (lambda at: replace_graph(at, rename_an_output), r"adapt\.onnx: found outputs .*'offset'"),
        (lambda at: replace_graph(at, lambda one: one.Clear()), r"adapt\.onnx: no graph that runs"),
    ],
)
def test_a_bundle_that_is_not_sound_is_refused_in_one_line(
    bundle_copy: Path, damage: Callable[[Path], object], line: str
) -> None:
    damage(bundle_copy)
    with pytest.raises(FewShotError, match=line) as refused:
        FewShotClassifier(bundle_copy)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("threads", [0, -1, 1.5, True])
def test_threads_are_counted_from_one(golden_bundle: Path, threads: Any) -> None:
    with pytest.raises(FewShotError, match="needed a number from 1, or None"):
        FewShotClassifier(golden_bundle, threads=threads)


@pytest.mark.parametrize("encoder", [5, None, Path("encoder.onnx")])
def test_an_encoder_is_named_by_a_text(golden_bundle: Path, encoder: Any) -> None:
    with pytest.raises(FewShotError, match="found encoder .*, needed the name of its file"):
        FewShotClassifier(golden_bundle, encoder=encoder)


@pytest.mark.parametrize("encoder", ["encoder.int8.onnx", "../encoder.onnx", "manifest.json"])
def test_an_encoder_that_the_bundle_lacks_is_told(golden_bundle: Path, encoder: str) -> None:
    with pytest.raises(FewShotError, match="this bundle has no .*; it has encoder.onnx"):
        FewShotClassifier(golden_bundle, encoder=encoder)


def test_another_encoder_of_the_bundle_is_used_on_demand(bundle_copy: Path) -> None:
    path = bundle_copy / "encoder.int8.onnx"
    shutil.copy(bundle_copy / "encoder.onnx", path)
    files = json.loads((bundle_copy / "manifest.json").read_text())["files"]
    edit_manifest(bundle_copy, files={**files, path.name: {"bytes": 1, "sha256": sha256(path)}})
    model = taught(FewShotClassifier(bundle_copy, encoder=path.name))
    head = bundle_copy / "head.npz"
    model.save(head)
    assert FewShotClassifier.load(bundle_copy, head)._graphs.encoder == path.name
    assert FewShotClassifier.load(bundle_copy, head, encoder="encoder.onnx").classes
    replace_graph(bundle_copy, lambda one: setattr(one, "doc_string", "another"), path.name)
    with pytest.raises(FewShotError, match=r"head\.npz: embedded by another encoder\.int8\.onnx"):
        FewShotClassifier.load(bundle_copy, head)
    assert FewShotClassifier.load(bundle_copy, head, encoder="encoder.onnx").classes


# --- the file -------------------------------------------------------------------------------------


def test_the_client_imports_numpy_pillow_and_onnxruntime_alone() -> None:
    tree = ast.parse(Path(fewshot.__file__).read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            found.add(str(node.module).split(".")[0])
    assert found - sys.stdlib_module_names == {"numpy", "PIL", "onnxruntime"}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("sys.version_info = (3, 9, 1); sys.version = '3.9.1 (x'", "found Python 3.9.1"),
        ("import numpy; numpy.__version__ = '1.20.3'", "found numpy 1.20.3, needed 1.21 or later"),
        ("import onnxruntime as one; one.__version__ = '1.9.0'", "found onnxruntime 1.9.0, needed"),
        (
            "import PIL.Image; PIL.__version__ = '10.0.1'",
            "found Pillow 10.0.1, needed 10.1 or later",
        ),
    ],
)
def test_what_is_too_old_is_told_by_its_name(change: str, line: str) -> None:
    code = f"import sys; {change}; import fewshot; fewshot.read_image('x.png', 1)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(fewshot.__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"ImportError: fewshot: {line}" in done.stderr


def test_the_client_works_from_inside_a_copied_bundle(bundle_copy: Path, tmp_path: Path) -> None:
    shutil.copy(fewshot.__file__, bundle_copy / "fewshot.py")
    Image.fromarray(picture(0)).save(tmp_path / "a.png")
    Image.fromarray(picture(1)).save(tmp_path / "b.png")
    code = (
        "import sys; from fewshot import FewShotClassifier; model = FewShotClassifier('.');"
        "model.enroll('bar', '../a.png'); model.enroll('post', '../b.png');"
        "assert model.predict('../a.png').name == 'bar';"
        "sys.exit(sorted({'torch', 'onnx', 'scipy', 'tasks'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=bundle_copy, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
