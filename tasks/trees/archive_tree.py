"""Images inside an archive: listed and read where they lie, never unpacked to disk."""

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tasks.errors import DataError
from tasks.trees.archive_kinds import Kind, recognise
from tasks.trees.archive_members import (
    Archive,
    ArchiveError,
    Member,
    RandomAccess,
    Tally,
    inner_path,
)
from tasks.trees.inflating import Inflating, bzip2, gzip, xz
from tasks.trees.local_tree import open_regular
from tasks.trees.tar_archive import TarArchive
from tasks.trees.tree import (
    Leaf,
    Refusal,
    has_image_suffix,
    is_litter,
    leaf_or_refusal,
    name_refusal,
    printable,
)
from tasks.trees.zip_archive import ZipArchive

_DECODERS = {"gzip": gzip, "bzip2": bzip2, "xz": xz}


class LocalFile:
    """An archive on this machine; several threads may read it at once."""

    def __init__(self, path: Path) -> None:
        self._descriptor, status = open_regular(path)
        self.size_bytes = status.st_size
        self.mark = f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}"

    def read_at(self, offset: int, length: int) -> bytes:
        """So many bytes from there; fewer only where the archive ends."""
        length = min(length, self.size_bytes - offset)
        pieces = []
        while length > 0:
            piece = os.pread(self._descriptor, length, offset)
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Give back the descriptor."""
        os.close(self._descriptor)


class ArchiveTree:
    """An archive as a tree.

    What has been listed goes along when the tree is pickled; the file is opened again.
    """

    def __init__(
        self, root: str | Path, open_archive: Callable[[], RandomAccess] | None = None
    ) -> None:
        """Open the archive and see what kind it is.

        Args:
            root: as people named it; the file's path where nothing else opens it.
            open_archive: opens it again and again, also in another process.

        Raises:
            DataError: it cannot be read, or is no archive of a kind that is known.
        """
        self._root = str(root)
        self._open = open_archive or partial(LocalFile, Path(root).absolute())
        self._lock = threading.Lock()
        self._source: RandomAccess | None = None
        self._archive: Archive | None = None
        self._places: dict[str, bytes] | None = None
        self._refused: dict[str, Refusal] = {}
        self._last: tuple[str, bytes | Refusal] | None = None
        source = self._opened()
        self._mark = source.mark
        try:
            self._kind: Kind = recognise(source)
        except (ArchiveError, OSError) as error:
            raise self._unreadable(error) from None

    @property
    def root(self) -> str:
        """As people named it."""
        return self._root

    @property
    def sequential(self) -> bool:
        """Whether it is a packed tar."""
        return self._kind in _DECODERS

    def walk(self) -> Iterator[Leaf | Refusal]:
        """Files in the order of the archive.

        Raises:
            DataError: damaged, cut short, changed since it was opened, or a bomb.
        """
        source = self._opened()
        tally = Tally(source.size_bytes)
        archive = self._new_archive(source, tally.add_bytes)
        places: dict[str, bytes] = {}
        refused: dict[str, Refusal] = {}
        try:
            for member in archive.members(tally):
                found = _found(member, archive, places, refused)
                if found is not None:
                    yield found
        except (ArchiveError, OSError) as error:
            raise self._unreadable(error) from None
        self._places, self._refused = places, refused

    def stat(self, paths: Sequence[str]) -> Iterator[Leaf | Refusal]:
        """The same for the named paths.

        Raises:
            DataError: as for `walk`.
        """
        places, archive = self._listed()
        for path in paths:
            if path not in places:
                yield self._missing(path)
                continue
            place = places[path]
            yield Leaf(path, *archive.size_and_mark(place))

    def read(self, paths: Sequence[str]) -> Iterator[bytes | Refusal]:
        """The content of files; of a packed tar fast only onwards in the order of `walk`.

        Raises:
            DataError: the archive is gone, or changed since it was listed.
        """
        places, archive = self._listed()
        for path in paths:
            if not self.sequential:
                yield self._content(archive, path, places.get(path))
                continue
            # An image that is used turned as well comes several times in a row.
            if self._last is None or self._last[0] != path:
                self._last = path, self._content(archive, path, places.get(path))
            yield self._last[1]

    def _content(self, archive: Archive, path: str, place: bytes | None) -> bytes | Refusal:
        if place is None:
            return self._missing(path)
        try:
            return archive.content(place)
        except ArchiveError as error:
            return Refusal(path, str(error))
        except OSError as error:
            return Refusal(path, f"cannot be read: {error.strerror}")

    def _missing(self, path: str) -> Refusal:
        return (
            self._refused.get(path)
            or name_refusal(path)
            or Refusal(path, "not in the archive, needed a path inside it")
        )

    def _listed(self) -> tuple[dict[str, bytes], Archive]:
        if self._places is None:
            for _ in self.walk():
                pass
        source = self._opened()
        if self._archive is None:
            self._archive = self._new_archive(source)
        assert self._places is not None  # a walk to the end leaves them
        return self._places, self._archive

    def _new_archive(
        self, source: RandomAccess, count: Callable[[int], None] = lambda _: None
    ) -> Archive:
        if self._kind == "zip":
            return ZipArchive(source)
        if self._kind == "tar":
            return TarArchive(source, source.mark)
        unpacked = Inflating(source, 0, source.size_bytes, _DECODERS[self._kind], count)
        return TarArchive(unpacked, source.mark)

    def _opened(self) -> RandomAccess:
        with self._lock:
            if self._source is None:
                try:
                    self._source = self._open()
                except OSError as error:
                    raise self._unreadable(error) from None
                weakref.finalize(self, self._source.close)
        if getattr(self, "_mark", self._source.mark) != self._source.mark:
            raise DataError(f"{printable(self._root)}: changed while it was read; run again")
        return self._source

    def _unreadable(self, error: ArchiveError | OSError) -> DataError:
        reason = str(error)
        if isinstance(error, OSError):
            reason = f"cannot be read: {error.strerror}"
        return DataError(f"{printable(self._root)}: {reason}")

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in ("_lock", "_source", "_archive", "_last"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()
        self._source = self._archive = self._last = None


def _found(
    member: Member, archive: Archive, places: dict[str, bytes], refused: dict[str, Refusal]
) -> Leaf | Refusal | None:
    """What a member is to the rest, noted for later; None for what is passed over."""
    path = inner_path(member.name)
    if path is None:
        reason = "leads out of the archive (absolute, a drive, a backslash or ..)"
        return Refusal(member.name, reason, has_image_suffix(member.name))
    if not path or any(map(is_litter, path.split("/"))):
        return None
    if path in places or path in refused:
        return Refusal(path, "a second file of this name", has_image_suffix(path))
    if member.fault:
        found: Leaf | Refusal = Refusal(path, member.fault, has_image_suffix(path))
    else:
        found = leaf_or_refusal(path, *archive.size_and_mark(member.place))
    if isinstance(found, Leaf):
        places[path] = member.place
    else:
        refused[path] = found
    return found
