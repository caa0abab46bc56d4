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
        identity: what is hashed; the name, where it is empty.
    """

    name: str
    group: str
    images: int
    split: str | None = None
    identity: str = ""


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
            what no list names; `table` takes the table's word and hashes the rest.
        shares: of `validation` and `novel`; the rest is `base`.
        lists: split -> classes or groups.
        minimum_images: a class with fewer serves in base, whatever its hash says.
        seed: `seed` of `params.yaml`.
        trusts_source: whether the split that a source itself gives a class counts.
    """

    by: By
    shares: Mapping[str, float]
    lists: Mapping[str, Sequence[str]]
    minimum_images: int
    seed: int
    trusts_source: bool = False


def assign_splits(classes: Sequence[ClassFound], how: Splitting) -> Assignment:
    """Give every class a split.

    A class or group goes where a list names it, or else the source says, or else where the hash of
    its name and the seed falls: the unit interval is cut into `novel`, `validation` and `base` by
    their shares. Nothing else enters, so a class stays where it is when others come and go. With
    one exception: a class that no list names and that has fewer images than `minimum_images` goes
    to `base`, where every image trains the classifier, as long as it is so small.

    Args:
        classes: all of the source.
        how: the rules.

    Raises:
        ParametersError: a list names what the source does not have, a class and its group are in
            different lists, or the table that is to say the splits says none.
    """
    listed = _by_name(how.lists)
    _check_known(listed, classes)
    if how.by == "table" and not any(one.split for one in classes):
        raise ParametersError(
            "prepare.splits.by: table, but no class has a split; needed a table with a column "
            "split (base, validation, novel), or by: share"
        )
    result = Assignment()
    small = []
    for one in classes:
        named = _listed_split(one, listed)
        if named is None and how.by == "list":
            result.left_out.append(one.name)
            continue
        said = one.split if how.trusts_source else None
        split = named or said or _hashed(_unit(one, how.by), how.shares, how.seed)
        if not named and not said and split != "base" and one.images < how.minimum_images:
            small.append(f"{one.name} ({one.images})")
            split = "base"
        result.split_of[one.name] = split
    if small:
        result.notes.append(
            f"{len(small)} classes of fewer than {how.minimum_images} images "
            f"(prepare.splits.minimum_images) serve in base as long as they are so small: "
            f"{_some(small)}; name one in prepare.splits.base to keep it there"
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
        needed: split -> images of a class from which it serves in some episode.
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


def _unit(one: ClassFound, by: By) -> str:
    """What is hashed for a class."""
    return one.group if by == "group" and one.group else one.identity or one.name


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
