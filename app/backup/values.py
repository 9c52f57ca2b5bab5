"""Rows as lines of JSON, and back: every value exactly as it was, whichever kind of database it comes from."""

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import orjson
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Dialect,
    Enum,
    Float,
    Integer,
    LargeBinary,
    String,
    Text,
    cast,
)
from sqlalchemy.types import TypeEngine

from app.db.base import UtcDateTime


class Kind(StrEnum):
    """How the values of a column are written; an absent value is always null."""

    INTEGER = "integer"
    REAL = "real"  # as a string, which also holds nan and inf
    BOOLEAN = "boolean"
    TEXT = "text"
    JSON = "json"  # the text that is stored, in a string: parsing it could lose digits
    BYTES = "bytes"  # base64
    MOMENT = "moment"  # ISO 8601 in UTC, to the microsecond


_KINDS: Final[Sequence[tuple[type[TypeEngine[Any]], Kind]]] = (
    (Integer, Kind.INTEGER),
    (Float, Kind.REAL),
    (Boolean, Kind.BOOLEAN),
    (JSON, Kind.JSON),
    (LargeBinary, Kind.BYTES),
    (UtcDateTime, Kind.MOMENT),
    (String, Kind.TEXT),
)
_TYPES: Final[dict[Kind, TypeEngine[Any]]] = {
    Kind.INTEGER: BigInteger(),
    Kind.REAL: Float(),
    Kind.BOOLEAN: Boolean(),
    Kind.JSON: Text(),
    Kind.BYTES: LargeBinary(),
    Kind.MOMENT: UtcDateTime(),
    Kind.TEXT: Text(),
}
_ENCODERS: Final[dict[Kind, Callable[[Any], Any]]] = {
    Kind.REAL: repr,
    Kind.BYTES: lambda value: b64encode(value).decode(),
}
_DECODERS: Final[dict[Kind, Callable[[Any], Any]]] = {
    Kind.REAL: float,
    Kind.BYTES: b64decode,
    Kind.MOMENT: datetime.fromisoformat,
}


def kind_of(column: Column[Any]) -> Kind:
    """How a column's values are written.

    Raises:
        TypeError: Nobody has said how yet.
    """
    for type_, kind in _KINDS:
        if isinstance(column.type, type_) and not isinstance(column.type, Enum):
            return kind
    raise TypeError(f"{column} has type {column.type!r}, which no backup holds yet: give it a kind in {__name__}")


def selected(column: Column[Any]) -> ColumnElement[Any]:
    """What to select of a column so that `to_lines` can write it."""
    return cast(column, Text) if kind_of(column) is Kind.JSON else column


def to_lines(rows: Iterable[Sequence[Any]], kinds: Sequence[Kind]) -> Iterator[bytes]:
    """Each row as a line: an array of its values. Keep none: orjson leaves kilobytes allocated behind each.

    Args:
        rows: Their values in the order of the columns.
        kinds: Of the columns.
    """
    lists = [[*row] for row in rows]
    convert(lists, [_ENCODERS.get(kind) for kind in kinds])
    return (orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in lists)


def from_lines(lines: Sequence[bytes], kinds: Sequence[Kind]) -> list[list[Any]]:
    """The rows of some lines.

    Args:
        lines: As `to_lines` made them, with or without their ends.
        kinds: Of the columns.
    """
    rows: list[list[Any]] = [orjson.loads(line) for line in lines]
    convert(rows, [_DECODERS.get(kind) for kind in kinds])
    return rows


def convert(rows: list[list[Any]], converters: Sequence[Callable[[Any], Any] | None]) -> None:
    """Apply to each value its column's converter, in place; absent values and columns without one stay."""
    for at, converter in enumerate(converters):
        if converter is None:
            continue
        for row in rows:
            if row[at] is not None:
                row[at] = converter(row[at])


def binders(kinds: Sequence[Kind], dialect: Dialect) -> list[Callable[[Any], Any] | None]:
    """What makes of each column's values those that the driver of a database takes."""
    return [_TYPES[kind].dialect_impl(dialect).bind_processor(dialect) for kind in kinds]
