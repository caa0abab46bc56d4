"""Rows of a CSV file of images."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO, TextIOWrapper

from tasks.errors import DataError
from tasks.sources.table_rows import COLUMNS, FIELD_LIMIT, NEEDED, Row, place_columns, row_of

_DELIMITERS = ",;\t"


def read_csv(name: str, content: bytes) -> tuple[list[str], Iterator[Row]]:
    """Read a CSV file with a header, in UTF-8, its fields separated by comma, semicolon or tab.

    Args:
        name: of the table, as people named it.
        content: of the file.

    Returns:
        The columns that are not read, and the rows.

    Raises:
        DataError: not UTF-8, not CSV, or a column is missing; from the iterator, too.
    """
    csv.field_size_limit(FIELD_LIMIT)  # of the whole process; Python's own, unless it was raised
    headers = {delimiter: _header(name, content, delimiter) for delimiter in _DELIMITERS}
    delimiter = max(_DELIMITERS, key=lambda one: (_fit(headers[one]), len(headers[one])))
    if not headers[delimiter]:
        next(_records(name, content, delimiter), None)  # says what is wrong, if anything
        raise DataError(f"{name}: empty; {NEEDED}")
    columns, unread = place_columns(name, headers[delimiter])
    return unread, _rows(name, content, delimiter, columns)


def _header(name: str, content: bytes, delimiter: str) -> list[str]:
    try:
        return next((record for _, record in _records(name, content, delimiter)), [])
    except DataError:
        return []  # quotes close before another delimiter than this


def _rows(name: str, content: bytes, delimiter: str, columns: Mapping[str, int]) -> Iterator[Row]:
    records = _records(name, content, delimiter)
    _, header = next(records)
    for line, record in records:
        place = f"line {line}"
        if len(record) == len(header):
            fields = {column: record[index] for column, index in columns.items()}
            yield row_of(place, fields)
        else:
            path = record[columns["path"]] if columns["path"] < len(record) else ""
            fault = f"{place}: found {len(record)} fields, needed {len(header)} as in the header"
            yield Row(place, path, fault=fault)


def _records(name: str, content: bytes, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """First line and fields of each record that is not blank."""
    text = TextIOWrapper(BytesIO(content), "utf-8-sig", newline="")
    records = csv.reader(text, delimiter=delimiter, strict=True)
    line = 1
    try:
        for record in records:
            if record:
                yield line, record
            line = records.line_num + 1
    except csv.Error as error:
        raise DataError(f"{name}, line {line}: not valid CSV: {error}") from None
    except UnicodeDecodeError:
        raise DataError(f"{name}{_wrong_line(content)}: not UTF-8; save it as UTF-8") from None


def _wrong_line(content: bytes) -> str:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return f", line {line}"
    return ""


def _fit(header: Sequence[str]) -> int:
    names = {name.strip().lower() for name in header}
    return sum(column in names for column in COLUMNS[:2])
