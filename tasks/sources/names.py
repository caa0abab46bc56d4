"""Names of classes and groups: printable, unique, and fit for a message."""

import unicodedata
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

from tasks.trees.tree import printable

_SHOWN = 10  # names in one message; a longer one is not read

Key = TypeVar("Key", bound=Hashable)


def name_classes(pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, str]]:
    """Name classes by their group and their own name, as file systems and tables spell them.

    Args:
        pairs: group and class, both raw; a class without a group has an empty one.

    Returns:
        For each pair its class name, `GROUP/CLASS` where there is a group, and its group's name.
        Where two would print the same, the one that is printable as it stands keeps the name.
    """
    pairs = set(pairs)
    groups = unique_names({group: group for group, _ in pairs})
    joined = {(group, name): f"{group}/{name}" if group else name for group, name in pairs}
    names = unique_names(
        joined,
        {
            (group, name): f"{groups[group]}/{printable(name)}" if group else printable(name)
            for group, name in pairs
        },
    )
    return {pair: (names[pair], groups[pair[0]]) for pair in pairs}


def unique_names(raw: Mapping[Key, str], wanted: Mapping[Key, str] | None = None) -> dict[Key, str]:
    """Give each key a printable name of its own; what prints alike is numbered from ` (2)` on.

    Args:
        raw: the key's name as it stands.
        wanted: the name to print, where that is more than the raw name made printable.
    """
    wanted = {key: printable(name) for key, name in raw.items()} if wanted is None else wanted
    names: dict[Key, str] = {}
    taken: set[str] = set()
    numbers: defaultdict[str, int] = defaultdict(lambda: 1)
    for key in sorted(raw, key=lambda key: (raw[key] != wanted[key], raw[key])):
        name = wanted[key]
        while name in taken:
            numbers[wanted[key]] += 1
            name = f"{wanted[key]} ({numbers[wanted[key]]})"
        taken.add(name)
        names[key] = name
    return names


def alike_notes(names: Iterable[str]) -> list[str]:
    """At most one note, of names that people and some file systems do not tell apart."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(set(names)):
        folded = unicodedata.normalize("NFD", name).casefold()
        alike[unicodedata.normalize("NFC", folded)].append(name)
    pairs = [(ones[0], other) for ones in alike.values() for other in ones[1:]]
    if not pairs:
        return []
    listed = ", ".join(f"{shown(one)} and {shown(other)}" for one, other in pairs[:_SHOWN])
    return [
        "classes whose names differ by upper and lower case or Unicode form alone are kept apart: "
        + listed
        + _more(len(pairs))
    ]


def listing(names: Iterable[str]) -> str:
    """The first ten of some names for a message, and how many more there are."""
    ordered = sorted(set(names))
    return ", ".join(shown(name) for name in ordered[:_SHOWN]) + _more(len(ordered))


def shown(name: str) -> str:
    """A name for a message of one line: printable, its line breaks and the like spelt out."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode()
        for one in printable(name)
    )


def _more(count: int) -> str:
    return f" and {count - _SHOWN:,} more" if count > _SHOWN else ""
