"""What way and shot the images can carry, once their classes are split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flows.inspecting.splitting import MANY_SHOTS, WAY, Split, best_split, count_able
from tasks.artifacts.image_store import SPLITS
from tasks.prepare.splits import ClassFound, Splitting

SHOTS = (1, 5, 10)
QUERIES = (15, 5, 1)
LARGE_WAY, SMALLEST_WAY = 20, 2


@dataclass(frozen=True)
class Able:
    """How many classes of each split can serve in one kind of episode."""

    shot: int
    queries: int
    classes: Mapping[str, int]


@dataclass(frozen=True)
class Episodes:
    """Numbers for the sections of `params.yaml`, as many as the classes can carry.

    Attributes:
        queries: of `evaluate`.
        few_queries: of `metatrain` and of both selections.
        way: of `metatrain`.
        selection_way: of both selections.
        protocols: way and shot of each kind of episode on novel classes.
    """

    queries: int
    few_queries: int
    way: int
    selection_way: int
    protocols: Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Fit:
    """How classes are best split, and what they can carry then.

    Attributes:
        splitting: as `prepare.splits` has it.
        split_of: class name -> split.
        sizes: split -> number of classes and of usable images.
        able: for some shots and numbers of queries.
        episodes: None where there are too few classes for any.
        notes: what a person should know of it.
        obstacles: why no run is possible; empty where one is.
    """

    splitting: Splitting
    split_of: Mapping[str, str]
    sizes: Mapping[str, tuple[int, int]]
    able: Sequence[Able]
    episodes: Episodes | None
    notes: Sequence[str]
    obstacles: Sequence[str]

    def class_sizes(
        self, classes: Sequence[ClassFound], usable: Mapping[str, int]
    ) -> dict[str, list[tuple[str, int]]]:
        """Group and number of usable images of each class, by split."""
        sizes: dict[str, list[tuple[str, int]]] = {split: [] for split in SPLITS}
        for one in classes:
            if one.name in self.split_of:
                sizes[self.split_of[one.name]].append((one.group, usable[one.name]))
        return sizes


def fit(
    classes: Sequence[ClassFound],
    usable: Mapping[str, int],
    *,
    table: bool,
    drawings: bool,
    seed: int,
) -> Fit:
    """Choose splits and episodes.

    Args:
        classes: all of the source.
        usable: class name -> how many of its images will do.
        table: whether the source has a table, whose splits count.
        drawings: whether episodes of 20 classes are wanted; photographs are harder.
        seed: `seed` of `params.yaml`.
    """
    best = best_split(classes, usable, table=table, seed=seed)
    split_of = best.split_of
    sizes = {}
    for split in SPLITS:
        some = [usable[name] for name, its in split_of.items() if its == split and usable[name]]
        sizes[split] = (len(some), sum(some))
    able = [
        Able(
            shot,
            queries,
            {split: count_able(split_of, usable, split, shot + queries) for split in SPLITS},
        )
        for shot in SHOTS
        for queries in sorted({*QUERIES, best.queries}, reverse=True)
    ]
    obstacles = [
        f"{_classes(found)} of {split} with {best.needed[split]} images or more (shot + "
        f"queries), needed at least {SMALLEST_WAY}: bring more classes, or more images of those "
        "that have few"
        for split, found in best.able.items()
        if found < SMALLEST_WAY
    ]
    episodes = None if obstacles else _episodes(best, usable, drawings=drawings)
    return Fit(best.splitting, split_of, sizes, able, episodes, _notes(best, classes), obstacles)


def _classes(found: int) -> str:
    return "found one class" if found == 1 else f"found {found or 'no'} classes"


def _notes(best: Split, classes: Sequence[ClassFound]) -> list[str]:
    notes = []
    few = [f"{found} of {split}" for split, found in best.able.items() if found < WAY]
    if few:
        notes.append(
            f"few classes can serve in episodes, {', '.join(few)}: figures of them say little; "
            f"bring more, so that there are {WAY} of each"
        )
    if any(best.splitting.lists.values()):
        notes.append(
            "too few classes to leave the splits to chance, so they are named one by one; those "
            "that come later fall by their names' hash"
        )
    if not best.five:
        notes.append("too few images a class for five shots beside queries: one shot alone")
    if any(one.split == "novel" for one in classes):
        notes.append("novel classes are those that the source says")
    return notes


def _episodes(best: Split, usable: Mapping[str, int], *, drawings: bool) -> Episodes:
    protocols = []
    for shot in (1, MANY_SHOTS):
        able = count_able(best.split_of, usable, "novel", shot + best.queries)
        if shot == 1 or (best.five and able >= SMALLEST_WAY):
            ways = {min(WAY, able)}
            if drawings and able >= LARGE_WAY:
                ways.add(LARGE_WAY)
            protocols += [(way, shot) for way in ways]
    wanted = LARGE_WAY if drawings else WAY
    return Episodes(
        queries=best.queries,
        few_queries=min(best.queries, WAY),
        way=min(wanted, best.able["base"]),
        selection_way=min(wanted, best.able["validation"]),
        protocols=sorted(protocols),
    )
