"""Rows of a Parquet file of images."""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tasks.errors import DataError
from tasks.sources.names import shown
from tasks.sources.table_rows import (
    FIELD_LIMIT,
    MAXIMUM_TABLE_BYTES,
    Row,
    place_columns,
    row_of,
)

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH = 512  # rows; a few, as a few bytes may stand for a long text in each of them


def read_parquet(name: str, content: bytes) -> tuple[list[str], Iterator[Row]]:
    """Read a Parquet file.

    Args:
        name: of the table, as people named it.
        content: of the file.

    Returns:
        The columns that are not read, and the rows.

    Raises:
        DataError: damaged, too large once unpacked, or a column is missing; from the iterator, too.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        schema = file.schema_arrow
    except Exception as error:  # Arrow answers damaged bytes with almost any exception
        raise _damaged(name, error) from None
    columns, unread = place_columns(name, schema.names)
    for column, index in columns.items():
        if pa.types.is_nested(schema.types[index]):
            raise DataError(f"{name}: column {column} holds lists or records; needed text")
    spelt = {column: schema.names[index] for column, index in columns.items()}
    return unread, _rows(name, file, spelt)


def _rows(name: str, file: Any, spelt: Mapping[str, str]) -> Iterator[Row]:
    number = 0
    size = 0
    try:
        for batch in file.iter_batches(_BATCH, columns=[*spelt.values()]):
            texts = {column: _texts(batch.column(held)) for column, held in spelt.items()}
            for fields in zip(*texts.values(), strict=True):
                number += 1
                size += sum(map(len, fields)) + len(fields)
                # A few bytes can stand for the same text a billion times.
                if size > MAXIMUM_TABLE_BYTES or max(map(len, fields)) > FIELD_LIMIT:
                    raise _too_large(name)
                yield row_of(f"row {number}", dict(zip(texts, fields, strict=True)))
    except (DataError, GeneratorExit):
        raise
    except Exception as error:  # as above
        raise _damaged(name, error) from None


def _texts(values: "pa.Array") -> list[str]:
    import pyarrow as pa
    import pyarrow.compute as pc

    held = values.dictionary if pa.types.is_dictionary(values.type) else values
    longest = pc.max(pc.binary_length(held)).as_py() if _is_binary(held.type) else None
    if longest is not None and longest > FIELD_LIMIT:
        raise ValueError(f"a text of {longest:,} bytes")  # before every row has its copy
    return [_text(value) for value in values.to_pylist()]


def _is_binary(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)
    return any(test(kind) for test in (*tests, pa.types.is_large_binary))


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # whole numbers become fractions where one of a column is missing
    return str(value)


def _damaged(name: str, error: Exception) -> DataError:
    reason = shown(" ".join(str(error).split()))[:200] or type(error).__name__
    return DataError(f"{name}: damaged Parquet ({reason}); write it anew")


def _too_large(name: str) -> DataError:
    limit = MAXIMUM_TABLE_BYTES // 1024**2
    return DataError(f"{name}: more than {limit} MB once unpacked; needed a smaller table")
