"""Looks into some of the images: every file is read once, here, and framed on all cores."""

import resource
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile

import numpy as np
from numpy.typing import NDArray

from flows.inspecting.headers import Header, PeekedTree
from tasks.artifacts.tile_cache import Tile
from tasks.prepare.decoding import Request, TileSpec
from tasks.prepare.framing_pool import frame_batches
from tasks.progress import Track
from tasks.sources.found import FoundImage
from tasks.trees.tree import Tree
from tasks.workers import cores

MAXIMUM_PROCESSES = 16
_BATCH_BYTES = 8_000_000  # of files in one batch; several batches wait for each process
_FIRST_BATCH, _LARGEST_BATCH = 4, 64


@dataclass(frozen=True)
class Look:
    """Some images, as the pipeline would see them.

    Attributes:
        images: which.
        spec: how they are framed.
        tiles: `(image, side, side, channels)` uint8; zeros where an image cannot be used. They lie
            in a file without a name, so that many need no memory.
        digests: of the tiles, equal for images that look the same; empty where there is none.
        reasons: why an image cannot be used; empty where it can.
        headers: what the files say of themselves; None for what is no image.
        seconds_per_image: wall time on all processes, without their start.
        start_s: until the first images were framed.
        worker_peak_bytes: the most memory that one process held.
    """

    images: Sequence[FoundImage]
    spec: TileSpec
    tiles: NDArray[np.uint8]
    digests: Sequence[bytes]
    reasons: Sequence[str]
    headers: Sequence[Header | None]
    seconds_per_image: float
    start_s: float
    worker_peak_bytes: int

    @property
    def sound(self) -> NDArray[np.int64]:
        """Positions of the images that would be used: those that look like others left out."""
        twice = self.contradicted
        met: set[bytes] = set()
        positions = []
        for position, digest in enumerate(self.digests):
            if digest and digest not in met and digest not in twice:
                positions.append(position)
            met.add(digest)
        return np.array(positions, np.int64)

    @property
    def contradicted(self) -> set[bytes]:
        """Digests that stand under more than one class."""
        classes: defaultdict[bytes, set[str]] = defaultdict(set)
        for image, digest in zip(self.images, self.digests, strict=True):
            if digest:
                classes[digest].add(image.class_name)
        return {digest for digest, names in classes.items() if len(names) > 1}

    def doubles(self, *, across: bool) -> list[list[int]]:
        """Positions of images that look the same, a list a picture.

        Args:
            across: those under several classes, or else those within one.
        """
        alike: defaultdict[bytes, list[int]] = defaultdict(list)
        for position, digest in enumerate(self.digests):
            if digest:
                alike[digest].append(position)
        twice = self.contradicted
        return [
            some for digest, some in alike.items() if len(some) > 1 and (digest in twice) == across
        ]


def look_into(
    tree: Tree, images: Sequence[FoundImage], spec: TileSpec, track: Track, label: str
) -> Look:
    """Read and frame images.

    Args:
        tree: where they are.
        images: which; in the order that the tree reads fast in.
        spec: how to frame them.
        track: shows progress.
        label: what it is done for.

    Raises:
        DataError: the root cannot be read any more.
    """
    started = time.perf_counter()
    peeked = PeekedTree(tree)
    shape = (len(images), spec.size_px, spec.size_px, spec.channels)
    tiles = _room(shape)
    framed: list[Tile] = []
    first: tuple[int, float] | None = None
    for tile in track(_framed(peeked, images, spec), label, len(images)):
        if tile.pixels:
            tiles[len(framed)] = np.frombuffer(tile.pixels, np.uint8).reshape(shape[1:])
        framed.append(Tile(b"", tile.digest, tile.reason))
        first = first or (len(framed), time.perf_counter())
    done, at = first or (0, started)
    now = time.perf_counter()
    rest = len(framed) - done
    return Look(
        images=images,
        spec=spec,
        tiles=tiles,
        digests=[tile.digest for tile in framed],
        reasons=[tile.reason for tile in framed],
        headers=peeked.headers,
        seconds_per_image=(now - at) / rest if rest else (now - started) / max(1, done),
        start_s=at - started,
        worker_peak_bytes=_largest_child_bytes(),
    )


def usable(look: Look, counts: Mapping[str, int]) -> dict[str, int]:
    """How many images of each class will do, reckoned from those looked into.

    Args:
        look: some images of each class, or none.
        counts: class name -> images found.
    """
    sound = Counter(look.images[position].class_name for position in look.sound.tolist())
    looked = Counter(image.class_name for image in look.images)
    return {
        name: number * sound[name] // looked[name] if looked[name] else number
        for name, number in counts.items()
    }


def _framed(peeked: PeekedTree, images: Sequence[FoundImage], spec: TileSpec) -> Iterator[Tile]:
    requests = [Request(image.path, image.turned_deg) for image in images]
    processes = min(cores(), MAXIMUM_PROCESSES)
    for answers in frame_batches(peeked, _batches(requests, peeked), spec, processes):
        for answer in answers:
            yield answer.tile


def _batches(requests: Sequence[Request], peeked: PeekedTree) -> Iterator[Sequence[Request]]:
    """Batches of so many images as the files read so far allow."""
    at = 0
    while at < len(requests):
        size = _FIRST_BATCH
        if peeked.bytes_read:
            size = int(_BATCH_BYTES * len(peeked.headers) / peeked.bytes_read)
        size = max(1, min(size, _LARGEST_BATCH))
        yield requests[at : at + size]
        at += size


def _room(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    with TemporaryFile() as file:  # the mapping keeps it
        return np.memmap(file, np.uint8, "w+", shape=shape)


def _largest_child_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
