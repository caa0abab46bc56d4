"""What every source looks like to the rest: a tree of image files that can be walked and read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from tasks.artifacts.image_files import SUFFIXES


@dataclass(frozen=True, slots=True)
class Leaf:
    """A file that may be an image.

    Attributes:
        path: below the root, parts joined by `/`, as the file system or archive spells it; it may
            hold anything, lone surrogates for bytes that are no UTF-8 included.
        size_bytes: as listed, before anything is read.
        mark: cheap to get, and another one whenever the content may be another: for a local file
            its size, times and inode, for an object its ETag. Empty where nothing tells, and then
            the file counts as changed at every look.
    """

    path: str
    size_bytes: int
    mark: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something in the tree that is not used, and why, in words for `rejected.csv`.

    Attributes:
        path: as for `Leaf`.
        reason: what was found and what was needed.
        counts: whether it is an image lost, for `prepare.max_rejected_share`; a text file lying
            beside the images is not.
    """

    path: str
    reason: str
    counts: bool = True


class Tree(Protocol):
    """Files below one root, read-only. Picklable: a spawned process may read from its copy."""

    @property
    def root(self) -> str:
        """As people named it, for messages."""
        ...

    @property
    def sequential(self) -> bool:
        """Whether only one process, reading in the order of `walk`, reads fast: a packed tar."""
        ...

    def walk(self) -> Iterator[Leaf | Refusal]:
        """Everything below the root except what systems leave lying about (see `is_litter`).

        The order is the same every time, and that of `read` where `sequential`.

        Raises:
            DataError: the root cannot be read at all.
        """
        ...

    def stat(self, paths: Sequence[str]) -> Iterator[Leaf | Refusal]:
        """The same for the named paths alone, in their order; for tables.

        Raises:
            DataError: the root cannot be read at all.
        """
        ...

    def read(self, paths: Sequence[str]) -> Iterator[bytes | Refusal]:
        """The content of files that `walk` gave, in the order named.

        A file that is gone, grew beyond `MAXIMUM_FILE_BYTES` or cannot be read is a Refusal.

        Raises:
            DataError: the root cannot be read any more.
        """
        ...


MAXIMUM_FILE_BYTES = 256 * 1024 * 1024

_LITTER_FOLDERS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN")
_LITTER_FILES = ("thumbs.db", "desktop.ini")


def is_litter(name: str) -> bool:
    """Whether one part of a path is hidden, or left by a system and never meant as data."""
    return name.startswith(".") or name in _LITTER_FOLDERS or name.lower() in _LITTER_FILES


def printable(path: str) -> str:
    r"""The same text with bytes that are no UTF-8 spelt `\xff`, so that it can be written."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def has_image_suffix(path: str) -> bool:
    """Whether a file calls itself an image."""
    return path.lower().endswith(SUFFIXES)


def leaf_or_refusal(path: str, size_bytes: int, mark: str) -> Leaf | Refusal:
    """What name and size alone tell of a file that could be read."""
    if not has_image_suffix(path):
        suffix = PurePosixPath(path).suffix
        reason = f"suffix {printable(suffix)} is not an image's" if suffix else "no suffix"
        return Refusal(path, f"{reason}; needed one of {', '.join(SUFFIXES)}", counts=False)
    return size_refusal(path, size_bytes) or Leaf(path, size_bytes, mark)


def size_refusal(path: str, size_bytes: int) -> Refusal | None:
    """Why no image is so small or so large; None where it may be one."""
    if size_bytes == 0:
        return Refusal(path, "empty file, needed an image")
    if size_bytes > MAXIMUM_FILE_BYTES:
        return Refusal(
            path, f"found {size_bytes:,} bytes, needed at most {MAXIMUM_FILE_BYTES:,} a file"
        )
    return None


def name_refusal(path: str) -> Refusal | None:
    """Why a path that a table names is not looked up; None where it may be."""
    parts = path.split("/")
    if path.startswith("/") or ".." in parts:
        return Refusal(path, "leads out of the root, needed a path below it")
    if path.strip("./") == "":
        return Refusal(path, "names no file")
    hidden = next((part for part in parts if part != "." and is_litter(part)), None)
    if hidden is not None:
        return Refusal(path, f"hidden, or left by a system ({printable(hidden)})")
    return None
