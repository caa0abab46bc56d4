"""Found images -> parts of the image store, decoding only what no earlier run has decoded."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.artifacts.image_store import REJECTED, SPLITS, PartWriter, Rejected, write_rejected
from tasks.artifacts.layout import LISTING, STATE
from tasks.artifacts.listing import check_listing
from tasks.artifacts.tile_cache import Tile, TileCache, tile_key
from tasks.errors import DataError
from tasks.prepare.decoding import Answer, Request, TileSpec
from tasks.prepare.framing_pool import frame_batches
from tasks.prepare.splits import ClassFound, Splitting, assign_splits
from tasks.progress import Track
from tasks.sources.fingerprints import fingerprints, place_of
from tasks.sources.found import Found, FoundImage
from tasks.sources.quarter_turns import QUARTER_TURNS, UPRIGHT, Turned
from tasks.trees.tree import printable
from tasks.workers import cores

logger = logging.getLogger(__name__)

BATCH = 64
BATCH_BYTES = 8 << 20
KEPT_AT_ONCE = 512
UNFIT = STATE / REJECTED  # where a run that is stopped leaves what it rejected
_WORST_FOLDERS = 10


@dataclass
class Written:
    """What came of all images.

    Attributes:
        entries: of the manifest, by split.
        rejected: images that were not used, in the order met.
        decoded: how many images were read and decoded, not taken from the cache.
    """

    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)
    decoded: int = 0


def write_found(
    folder: Path,
    found: Found,
    check: Callable[[Mapping[str, list[tuple[str, int]]]], None],
    track: Track,
    *,
    spec: TileSpec,
    splitting: Splitting,
    max_rejected_share: float,
    watched: bool,
) -> tuple[dict[str, dict[str, Any]], list[Rejected]]:
    """Give every class found a split, and write a part of the store for each.

    Args:
        folder: of the store.
        found: the images.
        check: is called with group and number of images of each class before anything is decoded,
            and raises if they do not do.
        track: shows progress.
        spec: how images are framed.
        splitting: which class goes where.
        max_rejected_share: of the images found, what may be of no use.
        watched: whether stage scan has listed what stands in the root.

    Returns:
        The parts' entries for the manifest, and what was left out.

    Raises:
        DataError: too many images cannot be used, or the root cannot be read any more.
        MovedInputsError: the root holds something else than listed.
        ParametersError: a list names what there is not.
    """
    for note in found.notes:
        logger.info("%s", note)
    cache = TileCache()
    if watched:
        check_listing(LISTING, fingerprints(found, cache, track))
    classes = _classes(found)
    assignment = assign_splits(classes, splitting)
    for note in assignment.notes:
        logger.warning("%s", note)
    split_of = _turned_for_training_alone(found, assignment.split_of)
    sizes: dict[str, list[tuple[str, int]]] = {split: [] for split in SPLITS}
    for one in classes:
        if one.name in split_of:
            sizes[split_of[one.name]].append((one.group, one.images))
    check(sizes)
    written = write_images(folder, found, split_of, spec, cache, track)
    rejected = [*found.rejected, *written.rejected]
    lost = found.lost + len(written.rejected)
    _check_share(rejected, lost, len(found.images) + found.lost, max_rejected_share)
    known = len(found.images) - written.decoded
    logger.info(
        "%d images decoded, %d known from %s", written.decoded, max(known, 0), cache.path.parent
    )
    unlisted = "in none of the lists of prepare.splits"
    left_out = [Rejected(name, name, unlisted) for name in assignment.left_out]
    return written.entries, rejected + left_out


def write_images(
    folder: Path,
    found: Found,
    split_of: Mapping[str, str],
    spec: TileSpec,
    cache: TileCache,
    track: Track,
    processes: int | None = None,
) -> Written:
    """Read, frame and write every image of every class that has a split.

    Images that look the same once framed are written once; under two class names, not at all.

    Args:
        folder: of the store.
        found: the images.
        split_of: class name -> split.
        spec: how images are framed.
        cache: tiles of earlier runs; gets those of this one.
        track: shows progress.
        processes: how many read and decode; None is one a core.

    Raises:
        DataError: the root cannot be read any more.
    """
    order = _in_order(found, split_of)
    written = Written()
    writers = {
        split: PartWriter(folder, split, (spec.size_px, spec.size_px, spec.channels))
        for split in SPLITS
    }
    doubles = _Doubles()
    tiles = _tiles(found, order, spec, cache, written, processes)
    for image, tile in track(tiles, "reading images", len(order)):
        name = image.class_name
        if tile.reason:
            written.rejected.append(_rejected(image, tile.reason))
        elif reason := doubles.meet(image, tile.digest, written):
            written.rejected.append(_rejected(image, reason))
        else:
            row = writers[split_of[name]].append(tile.pixels, doubles.class_key(name))
            doubles.wrote(tile.digest, image, row)
    groups = {image.class_name: image.group for image in order}
    for split, writer in writers.items():
        classes = {
            doubles.class_key(name): (name, group)
            for name, group in sorted(groups.items())
            if split_of[name] == split
        }
        written.entries[split] = writer.close(classes, doubles.dropped_of(split, split_of))
    return written


def _turned_for_training_alone(found: Found, split_of: Mapping[str, str]) -> dict[str, str]:
    """Leave classes that were made by turning others out of what measures."""
    turned = {image.class_name for image in found.images if image.turned_deg}
    return {
        name: split for name, split in split_of.items() if split == "base" or name not in turned
    }


def _check_share(rejected: Sequence[Rejected], lost: int, total: int, allowed: float) -> None:
    """Stop where too much of the data is of no use, naming the worst folders."""
    if lost <= allowed * total:
        return
    write_rejected(UNFIT, rejected)
    places = Counter(_folder_of(one) for one in rejected)
    example = {_folder_of(one): one for one in reversed(rejected)}
    worst = [
        f"  {place}: {count}, such as {example[place].path}: {example[place].reason}"
        for place, count in places.most_common(_WORST_FOLDERS)
    ]
    raise DataError(
        f"found {lost} of {total} images ({100 * lost / total:.1f} %) that cannot be used, needed "
        f"at most {100 * allowed:g} % (prepare.max_rejected_share); each of them stands in "
        f"{UNFIT}. The worst folders:\n" + "\n".join(worst)
    )


def _folder_of(one: Rejected) -> str:
    return one.path.rpartition("/")[0] or "."


def _classes(found: Found) -> list[ClassFound]:
    counts = Counter(image.class_name for image in found.images)
    any_of = {image.class_name: image for image in found.images}
    return [
        ClassFound(
            name, any_of[name].group, counts[name], any_of[name].split, any_of[name].identity
        )
        for name in sorted(counts)
    ]


@dataclass
class _Doubles:
    """Finds images that look the same."""

    first: dict[bytes, tuple[str, str, int]] = field(default_factory=dict)  # class, path, row
    contradicted: dict[bytes, str] = field(default_factory=dict)
    dropped: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    keys: dict[str, int] = field(default_factory=dict)

    def class_key(self, name: str) -> int:
        return self.keys.setdefault(name, len(self.keys))

    def meet(self, image: FoundImage, digest: bytes, written: Written) -> str:
        """Why this image is not written; empty if it is the first that looks so."""
        if digest in self.contradicted:
            return f"the same image also stands under another label: {self.contradicted[digest]}"
        if digest not in self.first:
            return ""
        name, path, row = self.first[digest]
        where = printable(path)
        if name == image.class_name:
            return f"duplicate of {where}"
        # Nobody can tell which label is right, so neither image is used.
        self.contradicted[digest] = where
        self.dropped[name].add(row)
        other = f"the same image also stands under another label: {printable(image.path)}"
        written.rejected.append(Rejected(name, where, other))
        return f"the same image also stands under another label: {where}"

    def wrote(self, digest: bytes, image: FoundImage, row: int) -> None:
        self.first[digest] = (image.class_name, image.path, row)

    def dropped_of(self, split: str, split_of: Mapping[str, str]) -> set[int]:
        rows: set[int] = set()
        for name, dropped in self.dropped.items():
            if split_of[name] == split:
                rows |= dropped
        return rows


def _in_order(found: Found, split_of: Mapping[str, str]) -> list[FoundImage]:
    """Images that have a split: by split, class and path, unless the tree reads in one order."""
    used = [image for image in found.images if image.class_name in split_of]
    if found.tree.sequential:
        return used
    place = {split: index for index, split in enumerate(SPLITS)}
    return sorted(used, key=lambda image: place[split_of[image.class_name]])


def _tiles(
    found: Found,
    order: Sequence[FoundImage],
    spec: TileSpec,
    cache: TileCache,
    written: Written,
    processes: int | None,
) -> Iterator[tuple[FoundImage, Tile]]:
    """The tile of each image in order, from the cache where it has it."""
    place = place_of(found.tree)
    known = cache.known(place)
    text = {turned: spec.key(turned) for turned in (UPRIGHT, *QUARTER_TURNS)}
    keys: list[bytes | None] = []
    for image in order:
        mark, sha256 = known.get(_bytes(image.path), ("", b""))
        same = mark and mark == image.mark  # without a mark nobody knows
        keys.append(tile_key(sha256, text[image.turned_deg]) if same else None)
    kept = cache.holds([key for key in keys if key is not None])
    batches = list(_batches(order))
    unread = [[index for index in batch if keys[index] not in kept] for batch in batches]
    requests = (
        [Request(order[index].path, order[index].turned_deg) for index in batch] for batch in unread
    )
    needed = min(processes or cores(), sum(map(bool, unread)))
    answers = frame_batches(found.tree, requests, spec, max(1, needed))
    keeper = _Keeper(cache, place, text)
    for batch, missing, read in zip(batches, unread, answers, strict=True):
        fresh = dict(zip(missing, read, strict=True))
        for index, answer in fresh.items():
            keeper.keep(order[index], answer)
        written.decoded += len(fresh)
        stored = cache.get([key for i in batch if i not in fresh and (key := keys[i]) is not None])
        # Damaged, or trimmed meanwhile by another run.
        gone = [index for index in batch if index not in fresh and keys[index] not in stored]
        if gone:
            again = [Request(order[index].path, order[index].turned_deg) for index in gone]
            [reread] = frame_batches(found.tree, [again], spec, 1)
            fresh |= dict(zip(gone, reread, strict=True))
            written.decoded += len(gone)
        for index in batch:
            key = keys[index]
            tile = fresh[index].tile if index in fresh else stored[key] if key else None
            assert tile is not None  # it is fresh or stored
            yield order[index], tile
    keeper.flush()
    cache.trim()


def _batches(order: Sequence[FoundImage]) -> Iterator[range]:
    """Consecutive images, few enough that their files fit into memory several times over."""
    start, size_bytes = 0, 0
    for index, image in enumerate(order):
        size_bytes += image.size_bytes
        if index - start + 1 == BATCH or size_bytes >= BATCH_BYTES:
            yield range(start, index + 1)
            start, size_bytes = index + 1, 0
    if start < len(order):
        yield range(start, len(order))


class _Keeper:
    """Puts what was read into the cache, many at a time: a transaction takes a millisecond."""

    def __init__(self, cache: TileCache, place: str, text: Mapping[Turned, str]) -> None:
        self._cache = cache
        self._place = place
        self._text = text
        self._marks: list[tuple[bytes, str, bytes]] = []
        self._tiles: dict[bytes, Tile] = {}

    def keep(self, image: FoundImage, answer: Answer) -> None:
        if not answer.sha256:
            return  # it could not be read, and may be another time
        self._marks.append((_bytes(image.path), image.mark, answer.sha256))
        self._tiles[tile_key(answer.sha256, self._text[image.turned_deg])] = answer.tile
        if len(self._marks) >= KEPT_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        if self._marks:
            self._cache.remember(self._place, self._marks)
            self._cache.put(self._tiles)
        self._marks, self._tiles = [], {}


def _rejected(image: FoundImage, reason: str) -> Rejected:
    return Rejected(image.class_name, printable(image.path), reason)


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
