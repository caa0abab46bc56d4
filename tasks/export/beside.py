"""What stands beside the graphs for those who use them: the client, and the page to teach with."""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tasks.fewshot
from tasks.artifacts.contract import CLIENT, INT8, TEACH_PAGE, graph_file
from tasks.artifacts.files import sha256
from tasks.artifacts.user_cache import cache_folder
from tasks.errors import DataError
from tasks.export.parts import Parts
from tasks.export.teach.page import teach_page
from tasks.export.teach.runtime import PACKAGE, fetch_runtime
from tasks.params.export import Export

logger = logging.getLogger(__name__)


# DVC sees no change in a program that was installed; without --single-item it trains again.
LATER = "install Node.js, which brings npm, then `dvc repro --force --single-item export`"


def write_client(folder: Path) -> dict[str, Any]:
    """Copy `fewshot.py` into a bundle, as it is.

    Returns:
        What the manifest says of it.
    """
    shutil.copyfile(tasks.fewshot.__file__, folder / CLIENT)
    return {"file": CLIENT}


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
        What the manifest says of it: `file`, and which `runtime` is inside; or None for both, and
        the `reason`.
    """
    none = {"file": None, "runtime": None}
    if not section.teach_page:
        return {**none, "reason": "export.teach_page is false"}
    try:
        runtime = fetch_runtime(cache_folder())
    except DataError as fault:
        logger.warning(
            "%s: left out: %s; to make it later: %s; to go without: export.teach_page: false",
            *(TEACH_PAGE, fault, LATER),
        )
        # Nothing of the fault, which may name folders of this machine.
        return {**none, "reason": f"{PACKAGE} was not at hand; to make it later: {LATER}"}
    embedded_by = graph_file(INT8)
    if not (folder / embedded_by).exists():
        embedded_by = graph_file("encoder")
    settings = {
        "name": section.name,
        "embedding_dim": parts.dim,
        "feature_dim": parts.feature_dim,
        "encoder_sha256": sha256(folder / graph_file("encoder")),
        "embedded_by": embedded_by,
        "embedded_by_sha256": sha256(folder / embedded_by),
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
