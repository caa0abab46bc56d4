"""The teach page answers as Python does on the same pictures, and asks no network."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from tasks.fewshot import FewShotClassifier
from tests.conftest import GOLDEN_BUNDLE
from tests.integration.teach.lessons import NAMES, SHOT, TOLERANCE, asked, in_python, similarities
from tests.teach_page import START_MS, Teach, open_page

pytestmark = pytest.mark.slow


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


def test_a_picture_beyond_the_limit_is_scaled_down_and_told(teach: Teach, tmp_path: Path) -> None:
    Image.new("L", (5000, 50), 128).save(tmp_path / "wide.png")
    teach.add("wide", [tmp_path / "wide.png"])
    expect(teach.notices).to_contain_text("5000 × 50 px, scaled down to 4096 × 41 px")


def test_pictures_given_before_the_model_is_ready_are_not_lost(
    browser: Browser, page_file: Path, digits: dict[str, list[Path]]
) -> None:
    page = browser.new_context().new_page()
    page.goto(page_file.as_uri(), wait_until="commit")
    with Teach(page) as teach:
        teach.add("two", digits["two"][:2])
        expect(teach.status).to_contain_text("Learned 1 class from 2 pictures", timeout=START_MS)
