"""The teach page: how large it is, and how soon after opening it has learned and answered.

Every round opens the page anew in a browser that has
nothing cached, gives it a head of two classes and a picture at once, and waits for the answer.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from tasks import fewshot
from tasks.artifacts.contract import TEACH_PAGE
from tasks.export.teach.page import GRAPHS, teach_page
from tests.benchmarks.turns import Figure
from tests.teach_page import START_MS, open_browser, pinned_runtime

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1200)]

ROUNDS = 9  # and one more, which is left out
INT8 = "encoder.int8.onnx"


def page_of(bundle: Path) -> bytes:
    """The bundle's own page; where it has none, the page that export would write."""
    if (bundle / TEACH_PAGE).is_file():
        return (bundle / TEACH_PAGE).read_bytes()
    manifest = json.loads((bundle / "manifest.json").read_text())
    embedded_by = INT8 if (bundle / INT8).is_file() else "encoder.onnx"
    files = {name: f"{name}.onnx" for name in GRAPHS} | {"encoder": embedded_by}
    settings = {
        **{key: manifest[key] for key in ("name", "embedding_dim", "limits")},
        "feature_dim": manifest.get("feature_dim", manifest["embedding_dim"]),
        "encoder_sha256": manifest["files"]["encoder.onnx"]["sha256"],
        "embedded_by": embedded_by,
        "embedded_by_sha256": manifest["files"][embedded_by]["sha256"],
        "unknown": manifest.get("unknown"),
    }
    graphs = {name: (bundle / file).read_bytes() for name, file in files.items()}
    return teach_page(settings, graphs, pinned_runtime())


def stroke(path: Path, top: int) -> Path:
    pixels = np.full((105, 105), 255, np.uint8)
    pixels[top : top + 8, 20:85] = 0
    pixels[20:85, top : top + 8] = 0
    Image.fromarray(pixels).save(path)
    return path


def seconds_to_answer(browser: Browser, page_file: Path, head: Path, query: Path) -> float:
    page = browser.new_context().new_page()
    started = time.perf_counter()
    page.goto(page_file.as_uri(), wait_until="commit")
    page.set_input_files("#pick-head", [])  # waits until the page is there
    for button, path in (("Load head", head), ("Choose pictures", query)):
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name=button).click()
        chooser.value.set_files(path)
    expect(page.locator("#verdict.known, #verdict.unknown")).to_be_visible(timeout=START_MS)
    passed = time.perf_counter() - started
    page.context.close()
    return passed


def test_opening_to_first_prediction(
    bundle: Path, tmp_path: Path, figure: Callable[[Figure], None]
) -> None:
    content = page_of(bundle)
    (tmp_path / TEACH_PAGE).write_bytes(content)
    model = fewshot.FewShotClassifier(bundle)
    for index, name in enumerate(("high", "low")):
        model.enroll(name, [stroke(tmp_path / f"{name}.png", 25 + 45 * index)])
    model.save(tmp_path / "head.npz")
    query = stroke(tmp_path / "query.png", 28)
    with open_browser() as browser:
        rounds = [
            seconds_to_answer(browser, tmp_path / TEACH_PAGE, tmp_path / "head.npz", query)
            for _ in range(1 + ROUNDS)
        ][1:]
        version = browser.version
    what = f"{TEACH_PAGE}, opening to first prediction, Chromium {version}"
    figure(Figure(what, "3 or less", median(rounds), "s", {"page": rounds}))
    size = len(content) / 1e6
    figure(Figure(f"{TEACH_PAGE}, size", "8 or less", size, "MB", {"page": [size]}))
