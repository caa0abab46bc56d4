"""From what people name as the root to the tree of images that stands there."""

import os
import stat
from functools import partial
from pathlib import Path

from tasks.errors import DataError
from tasks.trees.archive_kinds import NEEDED, recognise
from tasks.trees.archive_members import ArchiveError
from tasks.trees.archive_tree import ArchiveTree
from tasks.trees.local_tree import LocalTree, kind_of, open_regular
from tasks.trees.remote_files import RemoteFile, RemoteStore
from tasks.trees.remote_tree import RemoteTree
from tasks.trees.tree import Tree, printable

_ARCHIVES = (".zip", ".tar", ".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz")
_THIS_MACHINE = "file://"


def open_tree(root: str) -> Tree:
    """The tree at a root.

    Args:
        root: a folder, an archive, or the address of either.

    Raises:
        DataError: nothing is there, or something else.
    """
    path = root.removeprefix(_THIS_MACHINE)
    if "://" in path:
        return _open_address(root)
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  to pathlib an empty name is this folder
    except (OSError, ValueError) as error:
        raise _missing(path, error) from None
    if stat.S_ISDIR(mode):
        return LocalTree(path)
    if stat.S_ISREG(mode):
        return ArchiveTree(path)
    raise DataError(f"{printable(path)}: found {kind_of(mode)}; {NEEDED}, or a folder")


def open_file_bytes(root: str, limit: int) -> bytes:
    """The content of one file, such as a table.

    Args:
        root: a file, or the address of one.
        limit: bytes to accept at most.

    Raises:
        DataError: it cannot be read, or is larger.
    """
    path = root.removeprefix(_THIS_MACHINE)
    if "://" in path:
        store = RemoteStore(root)
        name, content = store.shown, store.content(limit + 1)
    else:
        name, content = printable(path), _content(path, limit + 1)
    if len(content) > limit:
        raise DataError(f"{name}: found more than {limit:,} bytes, needed at most so many")
    return content


def _content(path: str, length: int) -> bytes:
    try:
        descriptor, _ = open_regular(Path(path))
        with os.fdopen(descriptor, "rb") as file:
            return file.read(length)
    except (OSError, ValueError) as error:
        raise _missing(path, error) from None


def _open_address(url: str) -> Tree:
    store = RemoteStore(url)
    if store.over_http:
        is_archive = store.shown.lower().endswith(_ARCHIVES) or _holds_archive(store)
    else:
        is_archive = store.kind() == "file"
    return ArchiveTree(store.shown, partial(RemoteFile, store)) if is_archive else RemoteTree(url)


def _holds_archive(store: RemoteStore) -> bool:
    """Whether an address of the web that does not say so leads to an archive."""
    if store.shown.endswith("/") or not store.kind():
        return False
    try:
        recognise(RemoteFile(store))
    except (ArchiveError, DataError):
        return False
    return True


def _missing(path: str, error: OSError | ValueError) -> DataError:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return DataError(
        f"{printable(path) or 'an empty name'}: cannot be read: {reason}; needed a folder, an "
        "archive, a table, or the address of one"
    )
