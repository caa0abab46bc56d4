"""Puts the teach page together: sources, graphs and runtime in one HTML file."""

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tasks.artifacts.contract import TEACH_PAGE
from tasks.errors import BundleError
from tasks.export.teach.runtime import WebRuntime

GRAPHS = ("encoder", "adapt", "predict")
SETTINGS = (
    "name",
    "embedding_dim",
    "feature_dim",
    "encoder_sha256",
    "embedded_by",
    "unknown",
    "limits",
)

# In this order they make one script; each stands in a file of its own to be read.
_SCRIPTS = (
    "npz.js",
    "head.js",
    "lesson.js",
    "model.js",
    "pictures.js",
    "files.js",
    "elements.js",
    "classes.js",
    "answers.js",
    "camera.js",
    "sketch.js",
    "teaching.js",
    "learning.js",
    "main.js",
)


def teach_page(
    settings: Mapping[str, Any], graphs: Mapping[str, bytes], runtime: WebRuntime
) -> bytes:
    """The teach page as one file of HTML; the same inputs give the same bytes.

    Args:
        settings: `name`, `embedding_dim`, `feature_dim`, `encoder_sha256` (of the bundle's
            `encoder.onnx`), `embedded_by` (the file that `graphs["encoder"]` is), `unknown` (as in
            the manifest, or None) and `limits` (as in the manifest). If there is `drawing` and it
            is false, the page offers no paper to draw on, as fits a model of photographs. If there
            is `embedded_by_sha256` (of that file), heads carry it, and those of another are
            refused.
        graphs: content of `encoder`, `adapt` and `predict`.
        runtime: runs them in a browser.

    Returns:
        UTF-8.

    Raises:
        BundleError: a setting or a graph is missing.
    """
    for kind, needed, found in (("settings", SETTINGS, settings), ("graphs", GRAPHS, graphs)):
        missing = sorted(set(needed) - set(found))
        if missing:
            raise BundleError(f"{TEACH_PAGE}: {kind} lack {', '.join(missing)}")
    environment = Environment(
        loader=PackageLoader("tasks.export.teach", ""),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style = _source("teach.css")
    script = _script()
    page = environment.get_template("teach.html.j2").render(
        name=settings["name"],
        version=runtime.version,
        policy=_policy(style, script),
        style=Markup(style),
        script=Markup(script),
        worker=Markup(_source("worker.js")),
        settings=Markup(_json({"drawing": True, **settings})),
        parts={
            "ort": _packed(runtime.script),
            "loader": _packed(runtime.loader),
            "binary": _packed(runtime.binary),
            **{name: _packed(graphs[name]) for name in GRAPHS},
        },
    )
    return page.encode()


def _source(name: str) -> str:
    text = files("tasks.export.teach").joinpath(name).read_text(encoding="utf-8")
    if "</script" in text or "</style" in text or "<!--" in text:
        raise BundleError(f"{name}: holds text that would end its element early; write it apart")
    return text


def _script() -> str:
    parts = "\n".join(_source(name) for name in _SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}\n}})();\n'


def _policy(style: str, script: str) -> str:
    """What the page may do, for the browser to enforce: nothing over a network."""
    return "; ".join(
        [
            "default-src 'none'",
            # blob: is the worker's runtime; WebAssembly counts as evaluation.
            f"script-src '{_digest(script)}' blob: 'wasm-unsafe-eval'",
            "worker-src blob:",
            f"style-src '{_digest(style)}'",
            "img-src data: blob:",
            "media-src blob:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _packed(content: bytes) -> str:
    """Compressed, as text; without a time, so that the same content gives the same text."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True).replace("<", "\\u003c")
