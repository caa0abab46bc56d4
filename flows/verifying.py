"""What `headstart verify` tells: every check of a bundle, one line each, and what it all shows."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flows.predicting import printable
from tasks.artifacts.verification import NO_AUTHOR, Verification


def verification_lines(found: Verification) -> Iterator[str]:
    """Lines for a terminal.

    Args:
        found: of a bundle that may hold names made to steer a terminal.
    """
    for check in found.checks:
        yield printable(check.line)
    yield f"{found.summary}. {NO_AUTHOR}"


def verification_json(found: Verification, folder: Path) -> dict[str, Any]:
    """The same for programs.

    Args:
        found: of a bundle.
        folder: where it lies.
    """
    return {
        "bundle": str(folder),
        "sound": not found.failed,
        "summary": found.summary,
        "hashes": NO_AUTHOR,
        "checks": [asdict(check) for check in found.checks],
    }
