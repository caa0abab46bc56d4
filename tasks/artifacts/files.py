"""Whole or not at all: folders and files appear under their name when they are complete."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from csv import DictWriter
from pathlib import Path
from typing import Any

from tasks.errors import DataError


@contextmanager
def complete_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder to write to; it takes the place of `path` when the block ends well.

    A block that raises leaves `path` as it was. What a killed process left behind is cleared.

    Args:
        path: the folder to make or to replace.

    Raises:
        OSError: the place is read-only or full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_remains(path)
    partial, replaced = _places_beside(path)
    partial.mkdir()
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if path.exists():
        path.rename(replaced)
    partial.rename(path)
    shutil.rmtree(replaced, ignore_errors=True)


def clear_remains(path: Path) -> None:
    """Clear what a killed process left half-done of a complete folder; what it replaced returns.

    Args:
        path: the folder that was to be made; nobody is at work on it any more.

    Raises:
        OSError: the place is read-only.
    """
    partial, replaced = _places_beside(path)
    if replaced.exists() and not path.exists():
        replaced.rename(path)  # killed between the two renames of `complete_folder`
    for remains in (partial, replaced):
        if remains.exists():
            shutil.rmtree(remains)


def _places_beside(path: Path) -> tuple[Path, Path]:
    """Where a complete folder is written, and where the one that it replaces waits."""
    return path.with_name(f".{path.name}.partial"), path.with_name(f".{path.name}.replaced")


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, text: str) -> None:
    """Write a text file whole or not at all; what stood there stands until then.

    Raises:
        OSError: the place is read-only or full.
    """
    partial = path.with_name(f".{path.name[:200]}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON for people and machines, whole: indented, keys as given, text as it is."""
    write_whole(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path, made_by: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: the file.
        made_by: the stage that writes it, for the message.

    Raises:
        DataError: the file is missing, or holds no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: not found; stage {made_by} makes it: `headstart run`") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: damaged ({error}); run stage {made_by} again") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: found {type(content).__name__}, needed a JSON object")
    return content


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write a table with a header; `columns` names the fields and their order."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
