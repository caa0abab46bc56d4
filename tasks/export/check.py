"""The gate: a graph is what the contract says, and the bundle is what anybody may verify."""

import logging
from pathlib import Path

import onnx

from tasks.artifacts import graph_form
from tasks.artifacts.contract import GraphContract
from tasks.artifacts.verification import verify
from tasks.errors import BundleError

logger = logging.getLogger(__name__)


def check_graph(model: onnx.ModelProto, name: str, contract: GraphContract) -> None:
    """Check a graph's form: valid, closed, of the right versions, with the names promised.

    Args:
        model: the graph.
        name: of its file, for messages.
        contract: what it promises.

    Raises:
        BundleError: it is anything else.
    """
    graph_form.check_graph(model, name, contract)


def verify_bundle(folder: Path) -> None:
    """Check the whole bundle as `headstart verify` does, in a process without PyTorch.

    Args:
        folder: complete, with its manifest.

    Raises:
        BundleError: a check found a fault; the text holds the first.
    """
    verification = verify(folder)
    for check in verification.checks:
        logger.info(check.line)
    if verification.failed:
        raise BundleError(f"verifying the bundle: {verification.failed[0].words}")
    logger.info("verified: %s", verification.summary)
