"""Images named in a table: a path and a label a row, with a group and a split if need be."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from tasks.artifacts.image_store import Rejected
from tasks.errors import DataError
from tasks.sources.csv_rows import read_csv
from tasks.sources.found import Found, FoundImage, Split
from tasks.sources.image_folder import sort_images
from tasks.sources.names import alike_notes, listing, name_classes, shown
from tasks.sources.parquet_rows import read_parquet
from tasks.sources.table_rows import Row
from tasks.trees.tree import Leaf, Tree, printable

SUFFIXES = (".csv", ".tsv", ".parquet")

_SPLITS: dict[str, Split] = {"base": "base", "validation": "validation", "novel": "novel"}
_ALIASES: dict[str, Split] = {
    "train": "base",
    "val": "validation",
    "valid": "validation",
    "test": "novel",
}

Pair = tuple[str, str]  # raw group and raw label


@dataclass
class _Listing:
    """What the rows say, before any image is looked for.

    Attributes:
        table: its name, for messages.
        classes: path -> class.
        others: path -> its classes, where a path is named under several.
        splits: class -> split and the place that said so first.
        refused: class where it is known, path, reason.
        lost: how many of the refused are images.
        aliases: values of split that were read as another one.
    """

    table: str
    classes: dict[str, Pair] = field(default_factory=dict)
    others: dict[str, dict[Pair, None]] = field(default_factory=dict)
    splits: dict[Pair, tuple[Split | None, str]] = field(default_factory=dict)
    refused: list[tuple[Pair | None, str, str]] = field(default_factory=list)
    lost: int = 0
    aliases: set[str] = field(default_factory=set)

    def refuse(self, pair: Pair | None, path: str, reason: str, counts: bool = True) -> None:
        self.refused.append((pair, path, reason))
        self.lost += counts


def is_table(root: str) -> bool:
    """Whether a root is a table, by its suffix."""
    return root.lower().endswith(SUFFIXES)


def arrange(tree: Tree, name: str, content: bytes) -> Found:
    """Give every image that a table names its class, group and split.

    Args:
        tree: the folder that the table stands in, where its paths begin.
        name: of the table, as people named it; its suffix tells the format.
        content: of the table.

    Raises:
        DataError: the table is damaged, a column is missing, a split is unknown, a class stands in
            two splits, or no row names an image that can be used.
    """
    name = shown(name)
    read = read_parquet if name.lower().endswith(".parquet") else read_csv
    unread, rows = read(name, content)
    listed = _read(name, rows)
    _refuse_contradicted(listed)
    names = name_classes(listed.splits)
    images = []
    for pair, one in zip(listed.classes.values(), tree.stat([*listed.classes]), strict=True):
        if isinstance(one, Leaf):
            split, _ = listed.splits[pair]
            images.append(FoundImage(one.path, one.mark, *names[pair], split))
        else:
            listed.refuse(pair, one.path, one.reason)
    rejected = [
        Rejected(names[pair][0] if pair else "", printable(path), reason)
        for pair, path, reason in listed.refused
    ]
    if not images:
        first = f"; the first: {shown(rejected[0].path)}: {rejected[0].reason}" if rejected else ""
        raise DataError(f"{name}: {len(rejected):,} rows, none names an image to use{first}")
    if not tree.sequential:
        sort_images(images)
    notes = [f"columns that are not read: {listing(unread)}"] if unread else []
    notes += [
        f"split {alias} of the table is read as {_ALIASES[alias]}"
        for alias in sorted(listed.aliases)
    ]
    notes += alike_notes(class_name for class_name, _ in names.values())
    return Found(tree, images, rejected, listed.lost, notes)


def _read(table: str, rows: Iterable[Row]) -> _Listing:
    listed = _Listing(table)
    for row in rows:
        pair = (row.group, row.label) if row.label else None
        path, fault = _below(row.path)
        if row.fault or pair is None:
            listed.refuse(None, row.path, row.fault or "no label")
            continue
        _note_split(listed, pair, row)
        if fault:
            listed.refuse(pair, row.path, fault)
        elif path not in listed.classes:
            listed.classes[path] = pair
        elif pair in (known := listed.others.get(path) or {listed.classes[path]: None}):
            listed.refuse(pair, path, f"named twice: again at {row.place}", counts=False)
        else:
            listed.others[path] = known
            known[pair] = None
    return listed


def _note_split(listed: _Listing, pair: Pair, row: Row) -> None:
    value = row.split.lower()
    split = _SPLITS.get(value) or _ALIASES.get(value)
    if value and split is None:
        raise DataError(
            f"{listed.table}, {row.place}: found split {shown(row.split)}; needed one of "
            f"{', '.join(_SPLITS)}"
        )
    if value in _ALIASES:
        listed.aliases.add(value)
    first, place = listed.splits.setdefault(pair, (split, row.place))
    if first != split:
        name, _ = name_classes([pair])[pair]
        raise DataError(
            f"{listed.table}, {row.place}: class {shown(name)} has split {split or 'none'} here "
            f"and {first or 'none'} at {place}; needed one split for all images of a class"
        )


def _refuse_contradicted(listed: _Listing) -> None:
    names = name_classes(listed.splits) if listed.others else {}
    for path, pairs in listed.others.items():
        del listed.classes[path]
        first, second, *more = pairs
        for pair in pairs:
            other, _ = names[second if pair == first else first]
            rest = f" and {len(more)} more" if more else ""
            reason = f"also under label {shown(other)}{rest}"
            listed.refuse(pair, path, reason, counts=pair == first)


def _below(path: str) -> tuple[str, str]:
    """The path without detours, and why it is none below the table's folder."""
    if not path.strip():
        return "", "no path"
    if path.startswith(("/", "\\")) or re.match(r"[a-z]:[\\/]|[a-z][a-z0-9+.-]*://", path, re.I):
        return "", "an absolute path; needed one that begins in the table's folder"
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and not parts:
            return "", "leads out of the table's folder"
        if part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    if not parts or "\0" in path:
        return "", "names no file"
    return "/".join(parts), ""
