"""The teach page in a real browser: it learns, answers and keeps as the Python client does."""

import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from sklearn.datasets import load_digits

from tasks.artifacts.bundle import Bundle
from tasks.export.teach.page import teach_page
from tasks.fewshot import FewShotClassifier
from tests.conftest import GOLDEN_BUNDLE
from tests.teach_page import START_MS, Teach, open_browser, open_page, pinned_runtime

pytestmark = pytest.mark.slow

NAMES = ("two", "three", "seven")
DIGITS = (2, 3, 7)
SHOT = 4
QUERIES = 34  # of each class
TOLERANCE = 0.02  # of a probability: another processor rounds grey levels otherwise
HOSTILE = "<img src=x onerror=\"document.title='broken'\">"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes the page of the bundle in the repository, with changes to its settings."""
    runtime = pinned_runtime()
    folder = tmp_path_factory.mktemp("teach")
    manifest = json.loads((GOLDEN_BUNDLE / "manifest.json").read_text())
    settings = {
        **{key: manifest[key] for key in ("name", "embedding_dim", "limits")},
        "feature_dim": manifest["embedding_dim"],
        "encoder_sha256": manifest["files"]["encoder.onnx"]["sha256"],
        "embedded_by": "encoder.onnx",
        "unknown": None,
    }
    names = ("encoder", "adapt", "predict")
    graphs = {name: (GOLDEN_BUNDLE / f"{name}.onnx").read_bytes() for name in names}

    def write(name: str = "teach.html", **changes: Any) -> Path:
        path = folder / name
        path.write_bytes(teach_page({**settings, **changes}, graphs, runtime))
        return path

    return write


@pytest.fixture(scope="module")
def page_file(build: Callable[..., Path]) -> Path:
    return build()


@pytest.fixture
def teach(browser: Browser, page_file: Path) -> Iterator[Teach]:
    with open_page(browser, page_file) as page:
        yield page


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Handwritten digits as files: enough of each class to teach and to ask."""
    folder = tmp_path_factory.mktemp("digits")
    data = load_digits()
    found = {}
    for name, digit in zip(NAMES, DIGITS, strict=True):
        chosen = np.flatnonzero(data.target == digit)[: SHOT + QUERIES]
        found[name] = [folder / f"{name}-{index}.png" for index in chosen]
        for index, path in zip(chosen, found[name], strict=True):
            grey = Image.fromarray((255 - data.images[index] * 255 / 16).astype(np.uint8))
            grey.resize((64, 64), Image.Resampling.BICUBIC).save(path)
    return found


@pytest.fixture
def taught(teach: Teach, digits: dict[str, list[Path]]) -> Teach:
    for name in NAMES:
        teach.add(name, digits[name][:SHOT])
    return teach


def in_python(digits: dict[str, list[Path]], queries: list[Path]) -> NDArray[np.float32]:
    """Probabilities `(query, class)` by ONNX Runtime in Python, taught the same files."""
    bundle = Bundle(GOLDEN_BUNDLE)
    shown = [path for name in NAMES for path in digits[name][:SHOT]]
    rule = bundle.adapt(
        bundle.embed_files(shown), np.repeat(np.arange(len(NAMES)), SHOT), np.arange(len(NAMES))
    )
    return bundle.predict(bundle.embed_files(queries), rule)[1]


def asked(digits: dict[str, list[Path]], each: int = QUERIES) -> list[Path]:
    return [path for name in NAMES for path in digits[name][SHOT : SHOT + each]]


def write_head(path: Path, **changes: Any) -> dict[str, Any]:
    """A head as a Python program writes it; `changes` are laid over its meta."""
    bundle = Bundle(GOLDEN_BUNDLE)
    rng = np.random.default_rng(5)
    embeddings = rng.normal(size=(4, bundle.dim)).astype(np.float32)
    meta = {
        "format": 1,
        "kind": "headstart head",
        "encoder_sha256": bundle.manifest["files"]["encoder.onnx"]["sha256"],
        "embedded_by": "encoder.onnx",
        "bundle": bundle.name,
        "classes": ["gala apple", "Birne \N{PEAR}"],
        "sources": ["a.png", "", "b.png", "c.png"],
        "threshold": None,
        **changes,
    }
    labels = np.array([0, 1, 1, 0])
    with path.open("wb") as file:
        np.savez(
            file,
            embeddings=embeddings,
            labels=labels,
            meta=np.frombuffer(json.dumps(meta).encode(), np.uint8),
        )
    return {"embeddings": embeddings, "labels": labels, "meta": meta}


def read_head(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as content:
        arrays = {name: content[name] for name in content.files}
    return {**arrays, "meta": json.loads(arrays["meta"].tobytes())}


def save_head(teach: Teach, path: Path) -> Path:
    with teach.page.expect_download() as download:
        teach.button("Save head").click()
    download.value.save_as(path)
    return path


def test_the_page_and_python_give_the_same_answers(
    taught: Teach, digits: dict[str, list[Path]]
) -> None:
    queries = asked(digits)
    expected = in_python(digits, queries)
    taught.ask(queries)
    answers = taught.answers()
    same = [
        answers[path.name] == NAMES[best]
        for path, best in zip(queries, expected.argmax(axis=1), strict=True)
    ]
    assert np.mean(same) >= 0.99
    for path, row in list(zip(queries, expected, strict=True))[::10]:
        taught.page.get_by_role("button", name=f"{path.name}: ").click()
        shown = taught.probabilities()
        np.testing.assert_allclose([shown[name] for name in NAMES], row, atol=TOLERANCE)
    assert not taught.faults


def test_pictures_of_every_kind_are_seen_as_python_sees_them(
    taught: Teach, digits: dict[str, list[Path]], tmp_path: Path
) -> None:
    source = Image.open(digits["seven"][SHOT]).convert("RGB").resize((90, 60))
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter turn
    source.save(tmp_path / "turned.jpg", exif=turned, quality=95)
    source.save(tmp_path / "plain.webp", lossless=True)
    source.convert("P").save(tmp_path / "palette.gif")
    source.convert("1").save(tmp_path / "two-levels.png")
    clear = source.convert("RGBA")
    clear.putalpha(Image.eval(source.convert("L"), lambda level: 255 - level))
    clear.save(tmp_path / "transparent.png")
    deep = np.asarray(source.convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    queries = sorted(path for path in tmp_path.iterdir() if path.is_file())
    assert len(queries) == 6
    taught.ask(queries)
    for path, row in zip(queries, in_python(digits, queries), strict=True):
        taught.page.get_by_role("button", name=f"{path.name}: ").click()
        shown = taught.probabilities()
        np.testing.assert_allclose(
            [shown[name] for name in NAMES], row, atol=TOLERANCE, err_msg=path.name
        )


def test_it_opens_from_disk_without_a_network(taught: Teach, digits: dict[str, list[Path]]) -> None:
    taught.ask(asked(digits, 1))
    schemes = {url.split(":")[0] for url in taught.requests}
    assert schemes <= {"file", "blob", "data"}
    assert sum(url.startswith("file:") for url in taught.requests) == 1
    assert not taught.faults


def test_the_status_tells_what_was_learned(taught: Teach) -> None:
    expect(taught.status).to_have_text(
        re.compile(r"^Learned 3 classes from 12 pictures in (\d+\.\d|less than 0\.1) ms\.$")
    )


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


def test_any_bytes_are_refused_as_a_head(teach: Teach, tmp_path: Path) -> None:
    write_head(tmp_path / "head.npz")
    whole = (tmp_path / "head.npz").read_bytes()
    for name, content in {
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


def test_the_name_of_a_class_is_text(teach: Teach, digits: dict[str, list[Path]]) -> None:
    teach.add(HOSTILE, digits["two"][:1])
    teach.add("three", digits["three"][:1])
    teach.ask(digits["two"][1:2])
    expect(teach.page.get_by_label("Name of the class").first).to_have_value(HOSTILE)
    expect(teach.page.get_by_role("list", name="Confidence of each class")).to_contain_text(HOSTILE)
    assert teach.page.locator("img[src=x]").count() == 0
    assert teach.page.title() == "Teach glyphs"
    assert not teach.faults


def test_removing_undoing_and_redoing_change_what_is_learned(taught: Teach) -> None:
    taught.pictures("three").first.hover()
    taught.page.get_by_role("button", name=re.compile("^Remove three-.* from three$")).first.click()
    expect(taught.status).to_contain_text("Learned 3 classes from 11 pictures")
    taught.button("Forget two").click()
    expect(taught.status).to_contain_text("Learned 2 classes from 7 pictures")
    taught.button("Undo").click()
    expect(taught.status).to_contain_text("Undone: forgot two. Learned 3 classes from 11 pictures")
    taught.page.keyboard.press("Control+z")
    expect(taught.status).to_contain_text("Learned 3 classes from 12 pictures")
    taught.page.keyboard.press("Control+z")  # all files of one choice at once
    expect(taught.status).to_contain_text("Learned 2 classes from 8 pictures")
    taught.button("Redo").click()
    expect(taught.status).to_contain_text("Learned 3 classes from 12 pictures")
    for _ in range(6):
        taught.button("Undo").click()
    expect(taught.status).to_contain_text("Nothing taught yet")
    expect(taught.button("Undo")).to_be_disabled()


def test_a_class_is_renamed_and_no_two_share_a_name(taught: Teach) -> None:
    name = taught.page.get_by_label("Name of the class").first
    name.fill("deux")
    name.press("Enter")
    expect(taught.button("Add pictures to deux")).to_be_visible()
    name.fill("three")
    name.press("Enter")
    expect(taught.notices).to_contain_text("There is a class three already")
    expect(name).to_have_value("deux")


def test_a_file_that_is_no_picture_is_told_and_the_others_are_learned(
    teach: Teach, digits: dict[str, list[Path]], tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "cut.png").write_bytes(digits["two"][0].read_bytes()[:60])
    (tmp_path / "empty.jpg").write_bytes(b"")
    teach.add("two", [])
    files = [digits["two"][0], *sorted(tmp_path.glob("*.*")), digits["two"][1]]
    teach.choose("Add pictures to two", files)
    expect(teach.notices).to_contain_text("Skipped 3 files")
    expect(teach.notices).to_contain_text("notes.txt (no picture that this browser can read)")
    expect(teach.notices).to_contain_text("empty.jpg (empty file)")
    expect(teach.pictures("two")).to_have_count(2)
    teach.button("Dismiss").click()
    expect(teach.notices).to_be_empty()


def test_a_picture_beyond_the_limit_is_scaled_down_and_told(teach: Teach, tmp_path: Path) -> None:
    Image.new("L", (5000, 50), 128).save(tmp_path / "wide.png")
    teach.add("wide", [tmp_path / "wide.png"])
    expect(teach.notices).to_contain_text("5000 × 50 px, scaled down to 4096 × 41 px")


def test_pictures_are_dropped_and_pasted(teach: Teach, digits: dict[str, list[Path]]) -> None:
    pictures = [(path.name, path.read_bytes()) for path in digits["two"][:3]]
    teach.drop("#folders", pictures[:1])
    expect(teach.pictures("class 1")).to_have_count(1)
    teach.drop(".card", pictures[1:2])
    expect(teach.pictures("class 1")).to_have_count(2)
    teach.button("Add pictures to class 1").focus()
    teach.paste(":focus", pictures[2:])
    expect(teach.pictures("class 1")).to_have_count(3)
    teach.drop("#stage", pictures[:1])
    expect(teach.tiles).to_have_count(1)
    teach.page.get_by_role("heading", name="Try it").click()
    teach.paste("body", pictures[1:2])
    expect(teach.tiles).to_have_count(2)


def test_a_folder_becomes_a_class_of_its_name(
    teach: Teach, digits: dict[str, list[Path]], tmp_path: Path
) -> None:
    for name in NAMES[:2]:
        (tmp_path / "support" / name).mkdir(parents=True)
        for path in digits[name][:2]:
            shutil.copy(path, tmp_path / "support" / name)
    (tmp_path / "support" / "two" / ".hidden").write_text("left by a file manager")
    with teach.page.expect_file_chooser() as chooser:
        teach.button("Choose a folder").click()
    chooser.value.set_files(tmp_path / "support")
    for name in NAMES[:2]:
        expect(teach.pictures(name)).to_have_count(2)
    expect(teach.notices).to_be_empty()


def test_a_class_is_taught_with_the_keyboard_alone(
    teach: Teach, digits: dict[str, list[Path]]
) -> None:
    keyboard = teach.page.keyboard
    for name in ("two", "three"):
        for _ in range(60):
            keyboard.press("Tab")
            if teach.page.evaluate("document.activeElement.id") == "class-name":
                break
        keyboard.type(name)
        keyboard.press("Enter")
        expect(teach.button(f"Add pictures to {name}")).to_be_focused()
        with teach.page.expect_file_chooser() as chooser:
            keyboard.press("Enter")
        chooser.value.set_files(digits[name][:2])
        expect(teach.pictures(name)).to_have_count(2)
    expect(teach.status).to_contain_text("Learned 2 classes from 4 pictures")
    keyboard.press("Shift+Tab")  # the last picture's button
    expect(teach.page.locator(":focus")).to_have_attribute(
        "aria-label", re.compile(r"^Remove three-\d+\.png from three$")
    )
    keyboard.press("Enter")
    expect(teach.pictures("three")).to_have_count(1)
    expect(teach.page.locator(":focus")).to_have_text("×")


def test_every_control_has_a_role_and_a_name(taught: Teach, digits: dict[str, list[Path]]) -> None:
    taught.ask(digits["two"][SHOT : SHOT + 1])
    page = taught.page
    for name in ("Undo", "Redo", "Load head", "Save head", "Add class", "Forget two", "Draw"):
        expect(taught.button(name)).to_have_count(1)
    for name in NAMES:
        expect(page.get_by_role("group", name=f"Class {name}")).to_have_count(1)
        expect(taught.button(f"Teach this picture as {name}")).to_have_count(1)
    expect(page.get_by_role("region", name="Try it")).to_be_visible()
    expect(page.get_by_role("img", name=digits["two"][SHOT].name)).to_be_visible()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, canvas, video, img:not([alt=''])")]
            .filter((one) => one.type !== "file" && !one.hidden)
            .filter((one) => !(one.ariaLabel || one.labels?.length || one.innerText?.trim()
                || one.alt))
            .map((one) => one.outerHTML)"""
    )
    assert nameless == []
    assert page.evaluate("document.documentElement.lang") == "en"


def test_a_wrong_answer_is_taught_with_one_press(
    taught: Teach, digits: dict[str, list[Path]]
) -> None:
    taught.ask(digits["seven"][SHOT : SHOT + 1])
    taught.button("Teach this picture as seven").click()
    expect(taught.pictures("seven")).to_have_count(SHOT + 1)
    expect(taught.status).to_contain_text("Learned 3 classes from 13 pictures")


@pytest.mark.parametrize("score", ["similarity", "probability"])
def test_a_picture_below_the_threshold_is_unknown_as_in_python(
    score: str,
    browser: Browser,
    build: Callable[..., Path],
    digits: dict[str, list[Path]],
    bundle_copy: Path,
) -> None:
    manifest = json.loads((bundle_copy / "manifest.json").read_text())
    figures = {"false_accept": 0.1, "false_reject": 0.2, "auroc": 0.9, "words": "measured"}
    sizes = {"way": 5, "shot": 1, "episodes": 600}
    queries = asked(digits, 6)
    client = FewShotClassifier(GOLDEN_BUNDLE)
    for name in NAMES:
        client.enroll(name, [str(path) for path in digits[name][:SHOT]])
    scores = in_python(digits, queries).max(axis=1)
    if score == "similarity":
        scores = similarities(digits, queries)
    ordered = np.sort(scores)
    middle = int(np.argmax(np.diff(ordered)[3:-3])) + 3  # far from every score: nothing is a tie
    threshold = float(ordered[middle : middle + 2].mean())
    unknown = {"score": score, "threshold": threshold, **figures, **sizes}
    (bundle_copy / "manifest.json").write_text(json.dumps({**manifest, "unknown": unknown}))
    with open_page(browser, build(f"{score}.html", unknown=unknown)) as teach:
        for name in NAMES:
            teach.add(name, digits[name][:SHOT])
        teach.ask(queries)
        answers = teach.answers()
        found = [answers[path.name] == "unknown" for path in queries]
        assert found == (scores < threshold).tolist()
        assert 0 < sum(found) < len(found)
        teach.page.get_by_text("When to answer “unknown”").click()
        expect(teach.page.locator("#unknown-words")).to_contain_text("10 % of pictures of other")
        teach.page.get_by_label("Answer “unknown” where nothing fits").uncheck()
        expect(teach.tiles.filter(has_text="unknown")).to_have_count(0)


def similarities(digits: dict[str, list[Path]], queries: list[Path]) -> NDArray[np.float32]:
    """Cosine of each query and the centre of its likeliest class."""
    bundle = Bundle(GOLDEN_BUNDLE)

    def directions(paths: list[Path]) -> NDArray[np.float32]:
        rows = bundle.embed_files(paths)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))

    centres = np.stack([directions(digits[name][:SHOT]).mean(axis=0) for name in NAMES])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    best = in_python(digits, queries).argmax(axis=1)
    return np.asarray((directions(queries) * centres[best]).sum(axis=1))


def test_the_camera_answers_live_and_teaches(teach: Teach, digits: dict[str, list[Path]]) -> None:
    teach.add("two", digits["two"][:2])
    teach.button("Start camera").click()
    teach.add("camera", [])
    teach.button("Take picture for camera").click()
    expect(teach.pictures("camera")).not_to_have_count(0)
    teach.button("Take picture for camera").press("Enter")
    expect(teach.pictures("camera")).not_to_have_count(1)
    expect(teach.page.locator("#verdict")).to_contain_text("%")
    expect(teach.page.get_by_label("Live camera")).to_be_visible()
    teach.button("Stop camera").click()
    expect(teach.page.get_by_label("Live camera")).to_be_hidden()
    assert not teach.faults


def test_a_drawing_is_taught_and_tried(teach: Teach, digits: dict[str, list[Path]]) -> None:
    teach.add("stroke", [])
    teach.button("Draw for stroke").click()
    draw_stroke(teach.page)
    teach.button("Use drawing").click()
    expect(teach.pictures("stroke")).to_have_count(1)
    teach.button("Close").click()
    teach.add("two", digits["two"][:2])
    teach.button("Draw").click()
    draw_stroke(teach.page)
    teach.button("Use drawing").click()
    expect(teach.page.locator("#verdict")).to_contain_text("stroke")


def draw_stroke(page: Page) -> None:
    box = page.locator("#paper").bounding_box()
    assert box
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 250, steps=5)
    page.mouse.up()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground_in_both_schemes(
    scheme: str, browser: Browser, page_file: Path
) -> None:
    with open_page(browser, page_file, color_scheme=scheme) as teach:
        assert luminance(teach.page, "--page") > 0.5 or scheme == "dark"
        for text, ground in (
            ("--ink", "--page"),
            ("--quiet", "--page"),
            ("--quiet", "--card"),
            ("--accent", "--card"),
            ("--accent", "--page"),
            ("--on-accent", "--accent"),
            ("--ink", "--warn"),
            ("--ink", "--tint"),
        ):
            light, dark = sorted(luminance(teach.page, one) for one in (text, ground))[::-1]
            assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{text} on {ground}"  # WCAG 2.2, AA


def luminance(page: Page, variable: str) -> float:
    """Relative luminance of a colour of the page, 0..1. Source: WCAG 2.2."""
    colour = page.evaluate(
        "name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()", variable
    )
    levels = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_a_phone_needs_no_sideways_scrolling(
    browser: Browser, page_file: Path, digits: dict[str, list[Path]]
) -> None:
    with open_page(browser, page_file, viewport={"width": 360, "height": 740}) as teach:
        teach.add("a class with quite a long name" * 3, digits["two"][:6])
        teach.add("W" * 80, digits["three"][:1])
        teach.ask(digits["two"][6:8])
        widths = teach.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths == [360, 360]


def test_a_browser_asks_before_a_lesson_is_lost(
    teach: Teach, digits: dict[str, list[Path]], tmp_path: Path
) -> None:
    prevented = """() => !window.dispatchEvent(new Event("beforeunload", {cancelable: true}))"""
    assert not teach.page.evaluate(prevented)
    teach.add("two", digits["two"][:1])
    assert teach.page.evaluate(prevented)
    save_head(teach, tmp_path / "head.npz")
    assert not teach.page.evaluate(prevented)


def test_pictures_given_before_the_model_is_ready_are_not_lost(
    browser: Browser, page_file: Path, digits: dict[str, list[Path]]
) -> None:
    page = browser.new_context().new_page()
    page.goto(page_file.as_uri(), wait_until="commit")
    with Teach(page) as teach:
        teach.add("two", digits["two"][:2])
        expect(teach.status).to_contain_text("Learned 1 class from 2 pictures", timeout=START_MS)


def png(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20, 20), colour).save(file, "PNG")
    return file.getvalue()


def test_a_lesson_of_many_pictures_stays_in_order(teach: Teach, tmp_path: Path) -> None:
    teach.drop("#folders", [(f"{index}.png", png("white")) for index in range(20)])
    expect(teach.pictures("class 1")).to_have_count(20)
    teach.settled()
    found = read_head(save_head(teach, tmp_path / "many.npz"))
    assert found["meta"]["sources"] == [f"{index}.png" for index in range(20)]
