"""What the tests of the teach page teach and ask, and what Python makes of the same."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.artifacts.bundle import Bundle
from tests.conftest import GOLDEN_BUNDLE
from tests.teach_page import Teach

NAMES = ("two", "three", "seven")
DIGITS = (2, 3, 7)
SHOT = 4
QUERIES = 34  # of each class
TOLERANCE = 0.02  # of a probability: another processor rounds grey levels otherwise
HOSTILE = "<img src=x onerror=\"document.title='broken'\">"


def asked(digits: dict[str, list[Path]], each: int = QUERIES) -> list[Path]:
    return [path for name in NAMES for path in digits[name][SHOT : SHOT + each]]


def in_python(digits: dict[str, list[Path]], queries: list[Path]) -> NDArray[np.float32]:
    """Probabilities `(query, class)` by ONNX Runtime in Python, taught the same files."""
    bundle = Bundle(GOLDEN_BUNDLE)
    shown = [path for name in NAMES for path in digits[name][:SHOT]]
    rule = bundle.adapt(
        bundle.embed_files(shown), np.repeat(np.arange(len(NAMES)), SHOT), np.arange(len(NAMES))
    )
    return bundle.predict(bundle.embed_files(queries), rule)[1]


def similarities(digits: dict[str, list[Path]], queries: list[Path]) -> NDArray[np.float32]:
    """Mean cosine of each query and the pictures of its likeliest class."""
    bundle = Bundle(GOLDEN_BUNDLE)

    def directions(paths: list[Path]) -> NDArray[np.float32]:
        rows = bundle.embed_files(paths)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))

    centres = np.stack([directions(digits[name][:SHOT]).mean(axis=0) for name in NAMES])
    best = in_python(digits, queries).argmax(axis=1)
    return np.asarray((directions(queries) * centres[best]).sum(axis=1))


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
        "embedded_by_sha256": bundle.manifest["files"]["encoder.onnx"]["sha256"],
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
