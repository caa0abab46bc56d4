"""The content of every file that a source found, by SHA-256; read once, then remembered."""

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from tasks.artifacts.tile_cache import TileCache
from tasks.progress import Track
from tasks.sources.found import Found
from tasks.trees.tree import Refusal, Tree, printable
from tasks.workers import cores

_BATCH = 64


def place_of(tree: Tree) -> str:
    """What the files of a tree are remembered under, from whatever folder it is named."""
    return tree.root if "://" in tree.root else os.path.realpath(tree.root)


def fingerprints(found: Found, cache: TileCache, track: Track) -> list[tuple[str, str]]:
    """Tell what stands in a root.

    Args:
        found: its images.
        cache: remembers files by their marks; gets those that were read now.
        track: shows progress.

    Returns:
        Printable path and SHA-256 in hex, or the reason why it is not used, of each file.

    Raises:
        DataError: the root cannot be read any more.
    """
    place = place_of(found.tree)
    known = cache.known(place)
    marks = {image.path.encode("utf-8", "surrogateescape"): image.mark for image in found.images}
    rows = [(one.path, one.reason) for one in found.rejected]
    unread = []
    for path, mark in marks.items():
        before, sha256 = known.get(path, ("", b""))
        if before and before == mark:  # without a mark nobody knows
            rows.append((_text(path), sha256.hex()))
        else:
            unread.append(path)
    batches = [unread[start : start + _BATCH] for start in range(0, len(unread), _BATCH)]
    read = _read(found.tree, batches)
    for batch in track(read, "reading new files", len(batches)) if batches else ():
        cache.remember(place, ((path, marks[path], sha) for path, sha, _ in batch if sha))
        rows += [(_text(path), sha.hex() if sha else reason) for path, sha, reason in batch]
    cache.forget(place, known.keys() - marks.keys())
    return rows


def _read(
    tree: Tree, batches: Sequence[Sequence[bytes]]
) -> Iterator[list[tuple[bytes, bytes, str]]]:
    """Path, SHA-256 and, where it is empty, the reason, batch by batch."""
    if tree.sequential:
        yield from (_hash(tree, batch) for batch in batches)
        return
    with ThreadPoolExecutor(2 * cores()) as pool:
        waiting: deque[Future[list[tuple[bytes, bytes, str]]]] = deque()
        for batch in batches:
            waiting.append(pool.submit(_hash, tree, batch))
            if len(waiting) > 4 * cores():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _hash(tree: Tree, paths: Sequence[bytes]) -> list[tuple[bytes, bytes, str]]:
    names = [path.decode("utf-8", "surrogateescape") for path in paths]
    return [
        (path, b"", content.reason)
        if isinstance(content, Refusal)
        else (path, hashlib.sha256(content).digest(), "")
        for path, content in zip(paths, tree.read(names), strict=True)
    ]


def _text(path: bytes) -> str:
    return printable(path.decode("utf-8", "surrogateescape"))
