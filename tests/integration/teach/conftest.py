"""The teach page of the bundle in the repository, opened in a browser."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser
from sklearn.datasets import load_digits

from tasks.export.teach.page import teach_page
from tests.conftest import GOLDEN_BUNDLE
from tests.integration.teach.lessons import DIGITS, NAMES, QUERIES, SHOT
from tests.teach_page import Teach, open_browser, open_page, pinned_runtime


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
        "embedded_by_sha256": manifest["files"]["encoder.onnx"]["sha256"],
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
