"""Images at an address, each an object or file of its own, fetched many at a time."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from tasks.errors import DataError
from tasks.trees.remote_faults import fault
from tasks.trees.remote_files import RemoteStore, mark_of
from tasks.trees.tree import (
    MAXIMUM_FILE_BYTES,
    Leaf,
    Refusal,
    is_litter,
    leaf_or_refusal,
    name_refusal,
    size_refusal,
)

AT_ONCE = 32
FIRST_BYTES = 4 * 1024 * 1024  # of each of a chunk; what is larger is fetched again, alone


class RemoteTree:
    """Everything below an address of an object store or another file system of fsspec.

    Of a web server nothing can be listed, but files that a table names can be read.
    """

    def __init__(self, url: str) -> None:
        """Nothing is asked yet.

        Raises:
            DataError: the address names nothing.
        """
        self._store = RemoteStore(url)

    @property
    def root(self) -> str:
        """The address without credentials."""
        return self._store.shown

    @property
    def sequential(self) -> bool:
        """Never."""
        return False

    def walk(self) -> Iterator[Leaf | Refusal]:
        """All objects, by name.

        Raises:
            DataError: cannot be reached, is not there, may not be listed, or is a web server.
        """
        store = self._store
        if store.over_http:
            raise DataError(
                f"{store.shown}: files of a web server cannot be listed; needed the address of an "
                "archive (.zip, .tar, .tar.gz) or of a table (.csv, .parquet)"
            )
        kind = store.kind()  # which answers soon or not at all, where a listing may take minutes
        if kind == "file":
            raise DataError(f"{store.shown}: found a file, needed a folder or an archive")
        try:
            found = store.fs.find(store.name(), detail=True)
        except Exception as error:
            raise store.unreadable(error) from None
        if not found and not kind:
            raise DataError(f"{store.shown}: nothing is there, needed a folder of images")
        start = len(store.name()) + 1
        for name in sorted(found):
            info = found.pop(name)
            path = name[start:]
            parts = path.split("/")
            if info["type"] != "file" or path.endswith("/"):
                continue
            if ".." in parts:
                yield Refusal(path, "leads out of the root, needed a name without ..")
            elif not any(map(is_litter, parts)):
                yield leaf_or_refusal(path, int(info["size"] or 0), mark_of(info))

    def stat(self, paths: Sequence[str]) -> Iterator[Leaf | Refusal]:
        """The same for the named paths, with a request for each.

        Raises:
            DataError: the address cannot be reached.
        """
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for start in range(0, len(paths), 4 * AT_ONCE):
                yield from pool.map(self._look_up, paths[start : start + 4 * AT_ONCE])

    def read(self, paths: Sequence[str]) -> Iterator[bytes | Refusal]:
        """The content of objects.

        Raises:
            DataError: the address cannot be reached any more; what is lost is never left to chance.
        """
        for start in range(0, len(paths), AT_ONCE):
            yield from self._read_chunk(paths[start : start + AT_ONCE])

    def _look_up(self, path: str) -> Leaf | Refusal:
        if (refusal := name_refusal(path)) is not None:
            return refusal
        store = self._store
        try:
            info = store.fs.info(store.name(path))
        except Exception as error:
            return self._refused(path, error)
        if info["type"] != "file":
            return Refusal(path, "found a folder, needed an image")
        if info["size"] is None:  # some web servers tell it only with the file itself
            return Leaf(path, 0, mark_of(info))
        return leaf_or_refusal(path, int(info["size"]), mark_of(info))

    def _read_chunk(self, paths: Sequence[str]) -> Iterator[bytes | Refusal]:
        store = self._store
        refused = {path: name_refusal(path) for path in paths}
        names = {path: store.name(path) for path in paths if refused[path] is None}
        wanted = [*names.values()]
        try:
            contents = store.fs.cat_ranges(wanted, 0, FIRST_BYTES + 1, on_error="return")
        except Exception as error:
            raise store.unreadable(error) from None
        fetched = dict(zip(names, contents, strict=True))
        for path in paths:
            yield refused[path] or self._checked(path, names[path], fetched[path])

    def _checked(self, path: str, name: str, content: bytes | BaseException) -> bytes | Refusal:
        complete = isinstance(content, bytes) and len(content) <= FIRST_BYTES
        if isinstance(content, BaseException) and fault(content).lasting:
            return self._refused(path, content)
        if not complete:
            try:
                content = self._store.fs.cat_file(name, start=0, end=MAXIMUM_FILE_BYTES + 1)
            except Exception as error:
                return self._refused(path, error)
        assert isinstance(content, bytes)  # what is no error is content
        return size_refusal(path, len(content)) or content

    def _refused(self, path: str, error: BaseException) -> Refusal:
        found = fault(error)
        if not found.lasting:
            raise self._store.unreadable(error) from None
        return Refusal(path, found.words)
