"""What several tests need: a project in miniature, whose stages run in a second."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import settings

from tasks.artifacts.image_store import ImageClass, Part, write_image_store
from tasks.artifacts.layout import PREPARED
from tasks.params import Params
from tasks.params_file import load_params
from tasks.run_lock import TOKEN_VARIABLE

ROOT = Path(__file__).parents[1]

# What a shell starts in the background ignores Ctrl-C, and so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples every time, so that what passed here passes in CI. To look for others:
# HYPOTHESIS_PROFILE=search pytest tests/properties
settings.register_profile("same", derandomize=True)
settings.register_profile("search", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# Toy tensors are too small to share: a second thread only waits.
torch.set_num_threads(1)

TINY: dict[str, Any] = {
    "prepare": {
        "image_size_px": 16,
        "glyphs": {"samples_per_class": 8, "rotated_classes": False},
        "splits": {"minimum_images": 2},
    },
    "pretrain": {
        "conv4_widths": [4, 4, 8, 8],
        "epochs": 2,
        "batch_size": 16,
        "selection": {"way": 3, "shot": 1, "queries": 3, "episodes": 20},
    },
    "metatrain": {
        "way": 3,
        "shot": 1,
        "queries": 3,
        "meta_batch": 2,
        "steps": 4,
        "checkpoint_every_steps": 2,
        "selection": {"way": 3, "shot": 1, "queries": 3, "episodes": 20},
    },
    "evaluate": {
        "episodes": 40,
        "queries": 3,
        "protocols": [
            {"domain": "novel", "way": 3, "shot": 1},
            {"domain": "novel", "way": 5, "shot": 5},
            {"domain": "digits", "way": 3, "shot": 1},
        ],
        "curve": [{"domain": "every", "way": 3, "shot": 1, "episodes": 30}],
        "shots": [{"domain": "every", "way": 3, "shots": [1, 2], "queries": 3, "episodes": 30}],
        "fine_tuning": {"episodes": 20, "steps": [5]},
    },
    "export": {"teach_page": False},  # which asks npm where its parts are not at hand
}


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with nested `changes` laid over it."""
    result = dict(base)
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if nested else value
    return result


def write_params(folder: Path, *changes: dict[str, Any]) -> Params:
    """The committed params with changes, in `folder`."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    for change in changes:
        content = merged(content, change)
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return load_params(folder / "params.yaml")


def bars(prefix: str, classes: int, images: int = 8, side: int = 16) -> Part:
    """Classes that differ by where a dark bar stands; images of a class differ by grain."""
    rng = np.random.default_rng(len(prefix))
    pixels = rng.integers(200, 256, (classes * images, side, side, 1), np.uint8)
    for index in range(classes):
        at = slice(index * images, (index + 1) * images)
        row, column = (index * 5) % (side - 4), (index * 3) % (side - 6)
        pixels[at, row : row + 3, column : column + 6] //= 6
    names = tuple(ImageClass(f"{prefix} {index}", "bars", images) for index in range(classes))
    return Part(pixels, np.repeat(np.arange(classes), images), names)


@pytest.fixture(autouse=True)
def _no_run_is_left_behind() -> Iterator[None]:
    """A run's token that outlives its test would stop every stage a later test starts."""
    yield
    assert TOKEN_VARIABLE not in os.environ


@pytest.fixture
def tiny_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Params]:
    """Makes the working directory a project with a tiny image store; returns its params."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "dvc.yaml", tmp_path)

    def make(**changes: Any) -> Params:
        params = write_params(tmp_path, TINY, changes)
        parts = {name: bars(name, 6) for name in ("base", "validation", "novel")}
        parts["novel"] = bars("<b>novel & co</b>", 6)
        parts["digits"] = bars("digits", 4)
        description = {
            "source": "bars",
            "framing": "ink",
            "image_size_px": 16,
            "channels": 1,
            "seed": 1,
        }
        PREPARED.mkdir(parents=True)
        write_image_store(PREPARED, parts, description, [])
        return params

    return make


GOLDEN_BUNDLE = Path(__file__).parent / "golden" / "bundle_format_1"


@pytest.fixture
def golden_bundle() -> Path:
    """A bundle that is kept in the repository; nobody writes to it."""
    return GOLDEN_BUNDLE


@pytest.fixture
def bundle_copy(tmp_path: Path) -> Path:
    """The same, to be damaged."""
    return Path(shutil.copytree(GOLDEN_BUNDLE, tmp_path / "bundle"))
