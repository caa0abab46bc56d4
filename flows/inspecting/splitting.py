"""Searches for splits of the classes from which episodes can be drawn."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tasks.artifacts.image_store import SPLITS
from tasks.errors import ParametersError
from tasks.prepare.splits import By, ClassFound, Splitting, assign_splits
from tasks.randomness import entropy

WAY = 5
MANY_SHOTS = 5

_SHARES = (0.2, 0.25, 0.3)
_MOST_CLASSES = 0.8  # of all classes, which are to serve in the episodes that are chosen
_GROUPS = 5
_PINNED_AT_MOST = 100


@dataclass(frozen=True)
class Split:
    """One way to split classes.

    Attributes:
        queries: images of a class in an episode, beside its support.
        five: whether classes are to have five shots as well as one.
        splitting: the rules.
        split_of: class name -> split.
        needed: split -> images that one shot and the queries take.
        able: split -> how many classes have as many.
    """

    queries: int
    five: bool
    splitting: Splitting
    split_of: Mapping[str, str]
    needed: Mapping[str, int]
    able: Mapping[str, int]

    @property
    def fewest(self) -> int:
        """The least of the splits' able classes."""
        return min(self.able.values())


def best_split(
    classes: Sequence[ClassFound], usable: Mapping[str, int], *, table: bool, seed: int
) -> Split:
    """Find splits that all have classes enough.

    Episodes get as many queries as most classes allow, and five shots besides one if they can.
    The first rule that leaves each split five classes is taken: what the source says, or groups
    that stay together, or each class for itself; of these, shares of about a fifth by hash, then
    larger shares, then names one by one. Where none does, the best of them.

    Args:
        classes: all of the source.
        usable: class name -> how many of its images will do.
        table: whether the source has a table, whose splits count.
        seed: `seed` of `params.yaml`.
    """
    best: Split | None = None
    for queries, five in _demands(list(usable.values())):
        for splitting in _splittings(classes, usable, queries, table=table, seed=seed):
            tried = _try(classes, usable, queries, five, splitting)
            if tried and (best is None or min(tried.fewest, WAY) > min(best.fewest, WAY)):
                best = tried
        if best and best.fewest >= WAY:
            break
    assert best is not None  # a rule without lists never fails
    return best


def count_able(
    split_of: Mapping[str, str], usable: Mapping[str, int], split: str, images: int
) -> int:
    """How many classes of a split have at least so many images that will do."""
    return sum(usable[name] >= images for name, its in split_of.items() if its == split)


def _demands(sizes: Sequence[int]) -> Iterator[tuple[int, bool]]:
    """Numbers of queries, with and without five shots; first what most classes can serve."""
    served = sorted(size for size in sizes if size >= 2) or [0]
    common = served[int(len(served) * (1 - _MOST_CLASSES))]
    demands = [(queries, True) for queries in (15, 10, 5, 3, 2)]
    demands += [(queries, False) for queries in (5, 3, 2, 1)]
    fitting = [
        (queries, five)
        for queries, five in demands
        if queries + (MANY_SHOTS if five else 1) <= common
    ]
    return iter(fitting or demands[-1:])


def _splittings(
    classes: Sequence[ClassFound],
    usable: Mapping[str, int],
    queries: int,
    *,
    table: bool,
    seed: int,
) -> Iterator[Splitting]:
    told = {one.split for one in classes if one.split}
    groups = {one.group for one in classes if one.group}
    by: By = "table" if table and told else "group" if len(groups) >= _GROUPS else "share"
    kinds: list[By] = [by] if by == "share" else [by, "share"]
    if by == "table":
        kinds = ["table"]
    novel_told = "novel" in told
    none: Mapping[str, Sequence[str]] = {split: [] for split in SPLITS}
    for kind in kinds:
        for share in _SHARES:
            shares = {"validation": share, "novel": 0.0 if novel_told else share}
            yield Splitting(kind, shares, none, 1 + queries, seed, trusts_source=True)
        shares = {"validation": _SHARES[0], "novel": 0.0 if novel_told else _SHARES[0]}
        lists = _pinned(classes, usable, 1 + queries, kind, seed)
        if lists:
            yield Splitting(kind, shares, lists, 1 + queries, seed, trusts_source=True)


def _pinned(
    classes: Sequence[ClassFound], usable: Mapping[str, int], images: int, by: By, seed: int
) -> dict[str, list[str]]:
    """Split -> classes or groups by name, so that each gets its share; empty if too many."""
    members: dict[str, int] = {}
    for one in classes:
        if one.split in ("validation", "novel") or usable[one.name] < images:
            continue
        unit = one.group if by == "group" and one.group else one.name
        members[unit] = members.get(unit, 0) + 1
    if len(members) > _PINNED_AT_MOST:
        return {}
    total = sum(members.values())
    told = {one.split for one in classes}
    open_splits = [split for split in ("novel", "validation") if split not in told]
    wanted = max(min(WAY, total // (1 + len(open_splits))), round(_SHARES[0] * total))
    lists: dict[str, list[str]] = {split: [] for split in SPLITS}
    filled = dict.fromkeys(open_splits, 0)
    for unit in sorted(members, key=lambda name: entropy(seed, "inspect", "pin", name)):
        split = next((one for one in open_splits if filled[one] < wanted), "base")
        if split != "base":
            filled[split] += members[unit]
        lists[split].append(unit)
    return {split: sorted(names) for split, names in lists.items()}


def _try(
    classes: Sequence[ClassFound],
    usable: Mapping[str, int],
    queries: int,
    five: bool,
    splitting: Splitting,
) -> Split | None:
    try:
        split_of = assign_splits(classes, splitting).split_of
    except ParametersError:  # a class and a group of one name
        return None
    few = 1 + min(queries, WAY)
    needed = {"base": few, "validation": few, "novel": 1 + queries}
    able = {split: count_able(split_of, usable, split, needed[split]) for split in SPLITS}
    return Split(queries, five, splitting, split_of, needed, able)
