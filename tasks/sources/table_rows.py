"""What a row of a table of images holds, whatever the table's format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.errors import DataError
from tasks.sources.names import listing

COLUMNS = ("path", "label", "group", "split")
NEEDED = "needed path and label, and where there are any, group and split"
MAXIMUM_TABLE_BYTES = 512 * 1024 * 1024
FIELD_LIMIT = 131_072  # characters; a longer field is a quote that was never closed


@dataclass(frozen=True, slots=True)
class Row:
    """One row, as the table spells it.

    Attributes:
        place: for messages.
        path: of the image; may be anything.
        label: without the spaces around it, as are the next two; empty where there is none.
        group: empty where there is none.
        split: empty where there is none.
        fault: why this is no row; empty where it is one.
    """

    place: str
    path: str
    label: str = ""
    group: str = ""
    split: str = ""
    fault: str = ""


def row_of(place: str, fields: Mapping[str, str]) -> Row:
    """A row from its fields, by column."""
    rest = {column: text.strip() for column, text in fields.items() if column != "path"}
    return Row(place, fields["path"], **rest)


def place_columns(name: str, header: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """Find the columns by their names, in upper or lower case.

    Args:
        name: of the table, for messages.
        header: the names as the table spells them.

    Returns:
        Where each of `COLUMNS` stands that is there, and the names of the others.

    Raises:
        DataError: path or label is missing, or a column is there twice.
    """
    names = [one.strip().lower() for one in header]
    missing = [column for column in COLUMNS[:2] if column not in names]
    if missing:
        raise DataError(
            f"{name}: found no column {' and no column '.join(missing)} among {listing(header)}; "
            f"{NEEDED}"
        )
    for column in COLUMNS:
        if names.count(column) > 1:
            raise DataError(f"{name}: found two columns {column}; needed one")
    unread = [one for one, known in zip(header, names, strict=True) if known not in ("", *COLUMNS)]
    return {column: names.index(column) for column in COLUMNS if column in names}, unread
