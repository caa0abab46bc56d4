"""Heads pass between the teach page and Python, and only whole ones that fit."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tasks.artifacts.bundle import Bundle
from tasks.fewshot import FewShotClassifier
from tests.conftest import GOLDEN_BUNDLE
from tests.integration.teach.lessons import (
    NAMES,
    SHOT,
    TOLERANCE,
    asked,
    in_python,
    read_head,
    save_head,
    write_head,
)
from tests.teach_page import Teach

pytestmark = pytest.mark.slow


def test_a_saved_head_gives_the_same_answers_in_python(
    taught: Teach, digits: dict[str, list[Path]], tmp_path: Path
) -> None:
    path = save_head(taught, tmp_path / "digits.npz")
    head = read_head(path)
    assert head["meta"]["classes"] == list(NAMES)
    assert head["meta"]["sources"][:SHOT] == [one.name for one in digits["two"][:SHOT]]
    assert head["labels"].tolist() == np.repeat(np.arange(3), SHOT).tolist()
    bundle = Bundle(GOLDEN_BUNDLE)
    queries = asked(digits, 5)
    rule = bundle.adapt(head["embeddings"], head["labels"], np.arange(3))
    expected = in_python(digits, queries)
    _, found = bundle.predict(bundle.embed_files(queries), rule)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)
    client = FewShotClassifier.load(GOLDEN_BUNDLE, path)
    rankings = client.predict([str(one) for one in queries])
    best = [NAMES[index] for index in expected.argmax(axis=1)]
    assert [ranking[0][0] for ranking in rankings] == best


def test_a_head_that_python_wrote_is_loaded_and_saved_as_it_was(
    teach: Teach, tmp_path: Path
) -> None:
    written = write_head(tmp_path / "shop.npz", threshold=0.25)
    teach.choose("Load head", [tmp_path / "shop.npz"])
    expect(teach.status).to_contain_text("Loaded shop.npz. Learned 2 classes from 4 pictures")
    expect(teach.pictures("gala apple")).to_have_text(["a.png×", "c.png×"])
    found = read_head(save_head(teach, tmp_path / "again.npz"))
    assert found["meta"] == {**written["meta"], "sources": ["a.png", "c.png", "", "b.png"]}
    order = [0, 3, 1, 2]
    np.testing.assert_array_equal(found["embeddings"], written["embeddings"][order])
    np.testing.assert_array_equal(found["labels"], [0, 0, 1, 1])


@pytest.mark.parametrize("compress", [False, True])
def test_a_head_of_the_python_client_is_loaded(
    compress: bool, teach: Teach, digits: dict[str, list[Path]], tmp_path: Path
) -> None:
    client = FewShotClassifier(GOLDEN_BUNDLE)
    for name in NAMES:
        client.enroll(name, [str(path) for path in digits[name][:SHOT]])
    client.save(tmp_path / "head.npz")
    if compress:
        with np.load(tmp_path / "head.npz") as content:
            np.savez_compressed(tmp_path / "head.npz", **content)
    teach.choose("Load head", [tmp_path / "head.npz"])
    expect(teach.status).to_contain_text("Learned 3 classes from 12 pictures")
    queries = asked(digits, 4)
    teach.ask(queries)
    answers = teach.answers()
    rankings = client.predict([str(path) for path in queries])
    assert [answers[path.name] for path in queries] == [one[0][0] for one in rankings]


def test_a_head_that_does_not_fit_is_refused_and_nothing_is_lost(
    teach: Teach, tmp_path: Path
) -> None:
    teach.add("apple", [])
    for key, value, reason in (
        ("encoder_sha256", "f" * 64, "it was made with another encoder (bundle glyphs)"),
        ("embedded_by_sha256", "f" * 64, "it was made with another encoder.onnx"),
        ("kind", "something", "found kind something, format 1, needed headstart head, 1"),
        ("format", 2, "found kind headstart head, format 2, needed headstart head, 1"),
        ("classes", ["only one"], "found label 1 of 1 classes"),
        ("classes", ["twice", "twice"], "its class names are not all different texts"),
    ):
        write_head(tmp_path / "other.npz", **{key: value})
        teach.choose("Load head", [tmp_path / "other.npz"])
        expect(teach.notices).to_contain_text(f"other.npz was not loaded: {reason}")
        teach.button("Dismiss").click()
    expect(teach.page.get_by_label("Name of the class")).to_have_value("apple")


@pytest.mark.parametrize(
    "changes",
    [
        {"embedded_by_sha256": None},  # an older head
        {"embedded_by_sha256": "f" * 64, "embedded_by": "encoder.int8.onnx"},  # not of this page
    ],
)
def test_a_head_of_an_encoder_that_the_page_cannot_compare_is_loaded(
    teach: Teach, tmp_path: Path, changes: dict[str, str | None]
) -> None:
    write_head(tmp_path / "head.npz", **changes)
    teach.choose("Load head", [tmp_path / "head.npz"])
    expect(teach.status).to_contain_text("Learned 2 classes from 4 pictures")


def test_what_a_head_holds_beside_its_arrays_is_left_alone(teach: Teach, tmp_path: Path) -> None:
    write_head(tmp_path / "head.npz")
    with zipfile.ZipFile(tmp_path / "head.npz", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("huge.npy", bytes(10**6))
    whole = bytearray((tmp_path / "head.npz").read_bytes())
    at = whole.rindex(b"PK\1\2")
    whole[at + 24 : at + 28] = struct.pack("<I", 2**32 - 1)  # the size that it declares
    (tmp_path / "head.npz").write_bytes(whole)
    teach.choose("Load head", [tmp_path / "head.npz"])
    expect(teach.status).to_contain_text("Learned 2 classes from 4 pictures")


def deflated(path: Path) -> bytes:
    with np.load(path) as content:
        np.savez_compressed(path, **content)
    return path.read_bytes()


def declaring(whole: bytes, size: int) -> bytes:
    """The same file, whose index gives another size to the first array."""
    at = whole.index(b"PK\1\2") + 24
    return whole[:at] + struct.pack("<I", size) + whole[at + 4 :]


def flipped(whole: bytes, at: int) -> bytes:
    return whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]


def test_any_bytes_are_refused_as_a_head(teach: Teach, tmp_path: Path) -> None:
    write_head(tmp_path / "head.npz")
    whole = (tmp_path / "head.npz").read_bytes()
    small = deflated(tmp_path / "head.npz")
    for name, content in {
        "flipped": flipped(whole, whole.index(b"NUMPY") + 130),
        "flipped-small": flipped(small, 100),
        "short": declaring(small, 10_000),
        "sum": declaring(small, 2**30),
        "empty": b"",
        "text": b"no head",
        "cut": whole[: len(whole) // 2],
        "index": b"PK\5\6" + b"\xff" * 18,
        "longer": whole.replace(b"(4, 8)", b"(9, 8)"),
        "objects": whole.replace(b"<i8", b"|O "),
    }.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content)
        teach.choose("Load head", [path])
        expect(teach.notices).to_contain_text(f"{name}.npz was not loaded")
    assert not teach.faults


def test_a_browser_asks_before_a_lesson_is_lost(
    teach: Teach, digits: dict[str, list[Path]], tmp_path: Path
) -> None:
    prevented = """() => !window.dispatchEvent(new Event("beforeunload", {cancelable: true}))"""
    assert not teach.page.evaluate(prevented)
    teach.add("two", digits["two"][:1])
    assert teach.page.evaluate(prevented)
    save_head(teach, tmp_path / "head.npz")
    assert not teach.page.evaluate(prevented)


def test_a_lesson_of_many_pictures_stays_in_order(teach: Teach, tmp_path: Path) -> None:
    teach.drop("#folders", [(f"{index}.png", png("white")) for index in range(20)])
    expect(teach.pictures("class 1")).to_have_count(20)
    teach.settled()
    found = read_head(save_head(teach, tmp_path / "many.npz"))
    assert found["meta"]["sources"] == [f"{index}.png" for index in range(20)]


def png(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20, 20), colour).save(file, "PNG")
    return file.getvalue()
