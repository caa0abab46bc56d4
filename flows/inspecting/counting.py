"""What a listing alone tells: how many images each class and group has, and what is left out."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tasks.sources.found import Found

EXAMPLES = 3  # of each kind of reason
_BINS = 10

# What differs between reasons of one kind: what follows these words, and numbers.
_TAIL = re.compile(
    r"(?:[:;] | \(|, needed |, to ).*|(?<=^duplicate) of .*|(?<=^the same folder) as .*"
    r"|(?<=^also under label) .*",
    re.DOTALL,
)
_NUMBER = re.compile(r"\d[\d,.]*(?= |$)")


@dataclass(frozen=True)
class ClassCount:
    """One class, and how many images were found of it."""

    name: str
    group: str
    images: int


@dataclass(frozen=True)
class GroupCount:
    """One group, and how much was found of it."""

    name: str
    classes: int
    images: int


@dataclass(frozen=True)
class Bin:
    """How many of some numbers lie between two, both included."""

    low: int
    high: int
    count: int

    @property
    def label(self) -> str:
        """For example `20` or `30-39`."""
        high = f"-{self.high:,}" if self.high > self.low else ""
        return f"{self.low:,}{high}"


@dataclass(frozen=True)
class Reason:
    """One kind of reason why files are not used.

    Attributes:
        kind: the words that all of them share.
        count: how many files.
        examples: path and full reason of the first ones.
    """

    kind: str
    count: int
    examples: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Counted:
    """A source as listed, before any image is opened.

    Attributes:
        root: as messages call it.
        images: how many.
        classes: sorted by images, the smallest first, then by name.
        groups: sorted by name; empty where there are none.
        left_out: what is not used, by kind, the most frequent first.
        lost: how many images are among it.
        notes: what the source says about its arrangement.
    """

    root: str
    images: int
    classes: Sequence[ClassCount]
    groups: Sequence[GroupCount]
    left_out: Sequence[Reason]
    lost: int
    notes: Sequence[str]

    @property
    def histogram(self) -> list[Bin]:
        """Classes by their number of images."""
        return bins([one.images for one in self.classes])

    @property
    def median(self) -> float:
        """Images of the class in the middle."""
        sizes = [one.images for one in self.classes]
        return (sizes[(len(sizes) - 1) // 2] + sizes[len(sizes) // 2]) / 2


def count(found: Found, root: str) -> Counted:
    """Count what was found.

    Args:
        found: all of a source.
        root: of it, as people named it.
    """
    images = Counter(image.class_name for image in found.images)
    group_of = {image.class_name: image.group for image in found.images}
    classes = [ClassCount(name, group_of[name], number) for name, number in images.items()]
    classes.sort(key=lambda one: (one.images, one.name))
    sizes: defaultdict[str, list[int]] = defaultdict(list)
    for one in classes:
        sizes[one.group].append(one.images)
    groups = [GroupCount(name, len(some), sum(some)) for name, some in sorted(sizes.items())]
    return Counted(
        root=root,
        images=len(found.images),
        classes=classes,
        groups=groups if any(group.name for group in groups) else [],
        left_out=by_kind((one.path, one.reason) for one in found.rejected),
        lost=found.lost,
        notes=found.notes,
    )


def by_kind(refused: Iterable[tuple[str, str]]) -> list[Reason]:
    """Group paths and their reasons by what the reasons share, the most frequent kind first."""
    kinds: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for path, reason in refused:
        kind = kind_of(reason)
        counts[kind] += 1
        if len(kinds[kind]) < EXAMPLES:
            kinds[kind].append((path, reason))
    return [Reason(kind, number, kinds[kind]) for kind, number in counts.most_common()]


def kind_of(reason: str) -> str:
    """What a reason has in common with others: without names, numbers and what was needed."""
    return _NUMBER.sub("N", _TAIL.sub("", reason)).strip() or reason


def bins(numbers: Sequence[int]) -> list[Bin]:
    """A histogram of at most about ten bins between round numbers; empty ones inside stay.

    Numbers that spread far apart get bins that double in width.
    """
    if not numbers:
        return []
    counts = Counter(numbers)
    low, high = min(numbers), max(numbers)
    if len(counts) == 1 or high - low < _BINS:
        return [Bin(at, at, counts[at]) for at in range(low, high + 1)]
    if low > 0 and high / low >= 2**6:
        starts = [2**power for power in range(low.bit_length() - 1, high.bit_length() + 1)]
    else:
        step = _step((high - low) / _BINS)
        starts = list(range(low // step * step, high + step + 1, step))
    found = [
        Bin(start, end - 1, sum(counts[at] for at in counts if start <= at < end))
        for start, end in pairwise(starts)
    ]
    while found and not found[-1].count:
        found.pop()
    return found


def extremes(classes: Sequence[ClassCount], number: int) -> tuple[list[ClassCount], ...]:
    """The smallest and the largest classes; no class is in both."""
    if len(classes) <= 2 * number:
        half = -(-len(classes) // 2)
        return list(classes[:half]), list(reversed(classes[half:]))
    return list(classes[:number]), list(reversed(classes[-number:]))


def sizes_of(classes: Sequence[ClassCount]) -> Mapping[str, int]:
    """Class name -> images found."""
    return {one.name: one.images for one in classes}


def _step(width: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50 ... that is no less than `width`."""
    unit = 1
    while True:
        for factor in (1, 2, 5):
            if factor * unit >= width:
                return factor * unit
        unit *= 10
