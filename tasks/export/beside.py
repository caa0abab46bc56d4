"""What stands beside the graphs for those who use them: the client, and the page to teach with."""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tasks.fewshot
from tasks.artifacts.contract import CLIENT, INT8, graph_file
from tasks.artifacts.files import sha256
from tasks.errors import DataError
from tasks.export.parts import Parts
from tasks.export.teach.page import TEACH_PAGE, teach_page
from tasks.export.teach.runtime import default_cache_folder, fetch_runtime
from tasks.params.export import Export

logger = logging.getLogger(__name__)


def write_client(folder: Path) -> None:
    """Copy `fewshot.py` into a bundle, as it is."""
    shutil.copyfile(tasks.fewshot.__file__, folder / CLIENT)


def write_teach_page(
    folder: Path, section: Export, parts: Parts, unknown: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Make the teach page of a bundle whose graphs are written, if it is wanted and can be made.

    Args:
        folder: the bundle.
        section: name and limits, and whether there is to be a page.
        parts: what the graphs are made of.
        unknown: section `unknown` of the manifest, or None.

    Returns:
        What the manifest says of it: `file`, or None, and which `runtime` is inside.
    """
    none = {"file": None, "runtime": None}
    if not section.teach_page:
        return none
    try:
        runtime = fetch_runtime(default_cache_folder())
    except DataError as fault:
        logger.warning("%s: left out: %s; or set export.teach_page to false", TEACH_PAGE, fault)
        return none
    embedded_by = graph_file(INT8)
    if not (folder / embedded_by).exists():
        embedded_by = graph_file("encoder")
    settings = {
        "name": section.name,
        "embedding_dim": parts.dim,
        "feature_dim": parts.feature_dim,
        "encoder_sha256": sha256(folder / graph_file("encoder")),
        "embedded_by": embedded_by,
        "unknown": unknown,
        "limits": {
            "maximum_batch": section.maximum_batch,
            "maximum_image_side_px": section.maximum_image_side_px,
        },
        "drawing": parts.encoder.framing.mode == "ink",
    }
    files = {"encoder": embedded_by, "adapt": graph_file("adapt"), "predict": graph_file("predict")}
    graphs = {name: (folder / file).read_bytes() for name, file in files.items()}
    page = teach_page(settings, graphs, runtime)
    (folder / TEACH_PAGE).write_bytes(page)
    logger.info("%s: %.1f MB, with %s inside", TEACH_PAGE, len(page) / 1e6, embedded_by)
    return {"file": TEACH_PAGE, "runtime": f"onnxruntime-web {runtime.version}"}
