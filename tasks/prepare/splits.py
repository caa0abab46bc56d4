"""Which split each class belongs to: a function of its name, not of what else there is."""

import difflib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tasks.artifacts.image_store import SPLITS
from tasks.errors import ParametersError
from tasks.randomness import entropy

By = Literal["share", "group", "list", "table"]

_NAMED_AT_MOST = 10


@dataclass(frozen=True)
class ClassFound:
    """One class of a source.

    Attributes:
        name: unique in the source.
        group: empty where there are none.
        images: how many were found.
        split: where the source itself says it.
    """

    name: str
    group: str
    images: int
    split: str | None = None


@dataclass
class Assignment:
    """The split of each class.

    Attributes:
        split_of: class name -> split.
        left_out: classes that no list names, with `by: list`.
        notes: what a person should be told.
    """

    split_of: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Splitting:
    """How classes get their splits.

    Attributes:
        by: `share` hashes classes; `group` hashes groups, which stay together; `list` leaves out
            what no list names; `table` takes the source's word and hashes the rest.
        shares: of `validation` and `novel`; the rest is `base`.
        lists: split -> classes or groups.
        needed: images of a class from which it serves in some episode of that split.
        seed: `seed` of `params.yaml`.
    """

    by: By
    shares: Mapping[str, float]
    lists: Mapping[str, Sequence[str]]
    needed: Mapping[str, int]
    seed: int


def assign_splits(classes: Sequence[ClassFound], how: Splitting) -> Assignment:
    """Give every class a split.

    A class or group goes where a list names it, or else the source says, or else where the hash of
    its name and the seed falls: the unit interval is cut into `novel`, `validation` and `base` by
    their shares. Nothing else enters, so a class stays where it is when others come and go. With
    one exception: a class that no list names and that has too few images to serve in any episode
    of its split goes to `base`, where every image serves, as long as it is so small.

    Args:
        classes: all of the source.
        how: the rules.

    Raises:
        ParametersError: a list names what the source does not have, or a class and its group are
            in different lists.
    """
    listed = _by_name(how.lists)
    _check_known(listed, classes)
    result = Assignment()
    small = []
    for one in classes:
        named = _listed_split(one, listed)
        if named or one.split:
            result.split_of[one.name] = named or one.split or ""
            continue
        if how.by == "list":
            result.left_out.append(one.name)
            continue
        unit = one.group if how.by == "group" and one.group else one.name
        split = _hashed(unit, how.shares, how.seed)
        if how.by != "group" and one.images < how.needed.get(split, 0):
            small.append(f"{one.name} ({one.images} images, {split} needs {how.needed[split]})")
            split = "base"
        result.split_of[one.name] = split
    if small:
        result.notes.append(
            f"{len(small)} classes too small for the episodes of their split serve in base as "
            f"long as they are: {_some(small)}; name one in prepare.splits.base to keep it there"
        )
    if result.left_out:
        result.notes.append(
            f"{len(result.left_out)} classes are in none of the lists of prepare.splits and left "
            f"out: {_some(result.left_out)}"
        )
    return result


def too_small(
    counts: Mapping[str, Sequence[tuple[str, int]]], needed: Mapping[str, int]
) -> list[str]:
    """A line for each split in which some classes are too small for any episode.

    Args:
        counts: split -> name and number of images of each class.
        needed: as for `assign_splits`.
    """
    lines = []
    for split, classes in counts.items():
        small = [f"{name} ({count})" for name, count in classes if count < needed.get(split, 0)]
        if small:
            what = "train the classifier but" if split == "base" else ""
            lines.append(
                f"{len(small)} classes of {split} {what} serve in no episode, which takes "
                f"{needed[split]} images (shot + queries): {_some(small)}".replace("  ", " ")
            )
    return lines


def _by_name(lists: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {name: split for split in SPLITS for name in lists.get(split, ())}


def _listed_split(one: ClassFound, listed: Mapping[str, str]) -> str | None:
    by_class = listed.get(one.name) or listed.get(one.name.rpartition("/")[2])
    by_group = listed.get(one.group) if one.group else None
    if by_class and by_group and by_class != by_group:
        raise ParametersError(
            f"prepare.splits: class {one.name} is in {by_class} and its group {one.group} in "
            f"{by_group}; name one of the two"
        )
    return by_class or by_group


def _check_known(listed: Mapping[str, str], classes: Sequence[ClassFound]) -> None:
    known = {one.name for one in classes} | {one.group for one in classes}
    known |= {one.name.rpartition("/")[2] for one in classes}
    for name, split in listed.items():
        if name not in known:
            close = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
            there = close or sorted(known - {""})[:_NAMED_AT_MOST]
            raise ParametersError(
                f"prepare.splits.{split}: found no class or group {name!r}; there "
                f"{'is' if len(there) == 1 else 'are'} {', '.join(there)}"
            )


def _hashed(unit: str, shares: Mapping[str, float], seed: int) -> str:
    # Names that look the same to people must not end up on two sides.
    spelt = unicodedata.normalize("NFKC", unit).casefold()
    place = entropy(seed, "prepare", "split", spelt) / 2**128
    for split in ("novel", "validation"):
        place -= shares[split]
        if place < 0:
            return split
    return "base"


def _some(names: Iterable[str]) -> str:
    told = list(names)
    rest = len(told) - _NAMED_AT_MOST
    return ", ".join(told[:_NAMED_AT_MOST]) + (f" and {rest} more" if rest > 0 else "")
