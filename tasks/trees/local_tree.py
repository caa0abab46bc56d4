"""A folder of this machine as a tree: nothing outside of it is ever read, and nothing blocks."""

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks.errors import DataError
from tasks.trees.tree import (
    Leaf,
    Refusal,
    has_image_suffix,
    is_litter,
    leaf_or_refusal,
    name_refusal,
    printable,
    size_refusal,
)

_CIRCLE = "a link in a circle"
_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISDIR, "a folder"),
)


class LocalTree:
    """Everything below one folder.

    Links are followed where they stay below the root. Each folder is entered once, by its own name
    where it has one that is walked, so circles end and a linked folder is not counted twice.
    """

    def __init__(self, root: str | Path) -> None:
        self._root = str(root)
        self._start = Path(root).absolute()

    @property
    def root(self) -> str:
        """As people named it."""
        return self._root

    @property
    def sequential(self) -> bool:
        """Never."""
        return False

    def walk(self) -> Iterator[Leaf | Refusal]:
        """Files of a folder by name, then its folders by name; what links lead to comes last.

        Raises:
            DataError: the root is no folder, or cannot be read.
        """
        top = self._top()
        entered: dict[Path, str] = {}
        folders = [("", top)]
        links: deque[tuple[str, Path]] = deque()
        while folders or links:
            folder, resolved = folders.pop() if folders else links.popleft()
            if resolved in entered:
                yield _seen_before(top, folder, resolved, entered[resolved])
                continue
            entered[resolved] = folder
            try:
                entries = _entries(resolved)
            except OSError as error:
                if not folder:
                    raise self._unreadable(error) from None
                yield Refusal(folder, f"a folder that cannot be read: {error.strerror}")
                continue
            if folder and not entries:
                yield Refusal(folder, "an empty folder", counts=False)
            deeper: list[tuple[str, Path]] = []
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                found = _plain_file(path, entry) or _look(top, path, Path(entry.path))
                if isinstance(found, Path):
                    (links if entry.is_symlink() else deeper).append((path, found))
                else:
                    yield found
            folders.extend(reversed(deeper))

    def stat(self, paths: Sequence[str]) -> Iterator[Leaf | Refusal]:
        """The same for the named paths.

        Raises:
            DataError: the root is no folder, or cannot be read.
        """
        top = self._top()
        for path in paths:
            yield name_refusal(path) or _look_up(top, path)

    def read(self, paths: Sequence[str]) -> Iterator[bytes | Refusal]:
        """The content of files.

        Raises:
            DataError: the root is gone.
        """
        top = self._top()
        folders: dict[str, Path] = {}
        for path in paths:
            yield name_refusal(path) or _content(top, path, folders)

    def _top(self) -> Path:
        try:
            top = self._start.resolve(strict=True)
            if not top.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        except OSError as error:
            raise self._unreadable(error) from None
        except RuntimeError:  # what pathlib makes of ELOOP
            raise DataError(f"{printable(self._root)}: found {_CIRCLE}, needed a folder") from None
        return top

    def _unreadable(self, error: OSError) -> DataError:
        return DataError(
            f"{printable(self._root)}: cannot be read as a folder of images: {error.strerror}"
        )


def kind_of(mode: int) -> str:
    """What a file of this mode is, in words."""
    return next((words for test, words in _KINDS if test(mode)), "a file")


def open_regular(path: Path) -> tuple[int, os.stat_result]:
    """Open a file for reading, without waiting for whoever might write to a pipe.

    Returns:
        A descriptor, and what is known of the file behind it.

    Raises:
        OSError: it cannot be opened, or is no regular file; `strerror` says what was found.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"found {kind_of(status.st_mode)}, needed a file")
    return descriptor, status


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        wanted = [entry for entry in entries if not is_litter(entry.name)]
    return sorted(wanted, key=lambda entry: entry.name)


def _plain_file(path: str, entry: os.DirEntry[str]) -> Leaf | Refusal | None:
    """What a file is that is neither link nor anything odd, as nearly all are; else None."""
    try:
        if not entry.is_file(follow_symlinks=False):
            return None
        return _regular(path, entry.stat(follow_symlinks=False))
    except OSError as error:
        return Refusal(path, _fault(error), has_image_suffix(path))


def _regular(path: str, status: os.stat_result) -> Leaf | Refusal:
    mark = f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}"
    return leaf_or_refusal(path, status.st_size, mark)


def _look(top: Path, path: str, full: Path) -> Leaf | Refusal | Path:
    """What lies at one place; a folder is its resolved path."""
    counts = has_image_suffix(path)
    try:
        status = full.lstat()
        if stat.S_ISLNK(status.st_mode):
            target = full.resolve(strict=True)
            if not target.is_relative_to(top):
                return Refusal(path, f"a link out of the root, to {printable(str(target))}")
            status = target.stat()
            full = target
    except RuntimeError:
        return Refusal(path, _CIRCLE, counts)
    except OSError as error:
        return Refusal(path, _fault(error), counts)
    if stat.S_ISDIR(status.st_mode):
        return full
    if not stat.S_ISREG(status.st_mode):
        return Refusal(path, f"found {kind_of(status.st_mode)}, needed a file", counts)
    return _regular(path, status)


def _look_up(top: Path, path: str) -> Leaf | Refusal:
    try:
        full = _resolved(top, path)
    except OSError as error:
        return Refusal(path, _fault(error))
    found = _look(top, path, full)
    return Refusal(path, "found a folder, needed an image") if isinstance(found, Path) else found


def _content(top: Path, path: str, folders: dict[str, Path]) -> bytes | Refusal:
    try:
        # Resolved again: a folder on the way may be a link by now.
        descriptor, status = open_regular(_place(top, path, folders))
        with os.fdopen(descriptor, "rb") as file:
            refusal = size_refusal(path, status.st_size)
            content = b"" if refusal else file.read(status.st_size + 1)
    except OSError as error:
        return Refusal(path, _fault(error))
    if refusal is None and len(content) != status.st_size:
        return Refusal(path, "changed while it was read")
    return refusal or content


def _place(top: Path, path: str, folders: dict[str, Path]) -> Path:
    """Where a file really lies; the folders met are remembered, for resolving takes time."""
    folder, _, name = path.rpartition("/")
    if folder not in folders:
        folders[folder] = _resolved(top, folder)
    full = folders[folder] / name
    return _resolved(top, path) if "\0" in name or full.is_symlink() else full


def _resolved(top: Path, path: str) -> Path:
    try:
        full = (top / path).resolve(strict=True)
    except RuntimeError:
        raise OSError(errno.ELOOP, _CIRCLE) from None
    except ValueError as error:  # a NUL in a name that a table gave
        raise OSError(errno.EINVAL, str(error)) from None
    if not full.is_relative_to(top):
        raise OSError(errno.EXDEV, f"a link out of the root, to {printable(str(full))}")
    return full


def _fault(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "gone, or a link to nothing"
    if error.errno == errno.ELOOP:
        return _CIRCLE
    return f"cannot be read: {error.strerror}"


def _seen_before(top: Path, folder: str, resolved: Path, first: str) -> Refusal:
    place = (top / folder).parent.resolve()
    if place.is_relative_to(resolved):
        return Refusal(folder, _CIRCLE, counts=False)
    return Refusal(folder, f"the same folder as {printable(first)}", counts=False)
