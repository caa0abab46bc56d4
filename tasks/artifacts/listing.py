"""What stood in the root of the images when it was last looked through: every file, by content.

Stage scan writes it, DVC watches it, and stage prepare holds it against what it finds itself.
"""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from tasks.errors import DataError, MovedInputsError

Row = tuple[str, str]  # printable path, SHA-256 in hex or why the file is not used


def write_listing(path: Path, rows: Iterable[Row]) -> None:
    """Write the listing; the same content leaves the same bytes.

    Args:
        path: where to.
        rows: of all files, in any order.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(_content(rows))
    partial.replace(path)


def check_listing(path: Path, rows: Iterable[Row]) -> None:
    """Check that the root still holds what was listed.

    Raises:
        DataError: there is no listing.
        MovedInputsError: the root holds something else by now.
    """
    try:
        listed = path.read_bytes()
    except OSError:
        raise DataError(
            f"{path}: not found; stage scan makes it: `headstart run`, or prepare.watch: []"
        ) from None
    if listed != _content(rows):
        raise MovedInputsError(
            f"the images changed since {path} was written; run it again to take them all in"
        )


def _content(rows: Iterable[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "sha256"])
    writer.writerows(sorted(rows))
    return text.getvalue().encode()
