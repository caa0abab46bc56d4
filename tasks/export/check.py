"""The gate: the bundle is what anybody may verify."""

import logging
from pathlib import Path

from tasks.artifacts.verification import verify
from tasks.errors import BundleError

logger = logging.getLogger(__name__)


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
