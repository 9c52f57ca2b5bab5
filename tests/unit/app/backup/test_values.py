"""Rows as lines and back, beside what a reader of the format would make of them."""

import base64
import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import JSON, Boolean, Column, DateTime, Enum, Float, LargeBinary, MetaData, Numeric, String, Table
from sqlalchemy.dialects import postgresql, sqlite

from app.backup.values import Kind, binders, convert, from_lines, kind_of, to_lines
from app.db.base import BigId, UtcDateTime
from app.tables import Base

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.INTEGER: st.integers(-(2**63), 2**63 - 1),
    Kind.REAL: st.floats(),
    Kind.BOOLEAN: st.booleans(),
    Kind.TEXT: TEXT,
    Kind.JSON: TEXT,
    Kind.BYTES: st.binary(),
    Kind.MOMENT: st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(fold=0)),
}
KINDS = list(VALUES)


@given(st.lists(st.tuples(*(st.none() | VALUES[kind] for kind in KINDS))))
def test_rows_come_back_as_they_were(rows: list[tuple[Any, ...]]) -> None:
    lines = list(to_lines(rows, KINDS))
    found = from_lines(b"".join(lines).splitlines(), KINDS)
    assert list(map(repr, map(tuple, found))) == list(map(repr, rows))  # nan is not equal to itself, -0.0 is to 0.0
    assert [[type(value) for value in row] for row in found] == [[type(value) for value in row] for row in rows]


def test_a_line_is_json_that_anybody_can_read() -> None:
    moment = datetime(2026, 11, 22, 10, 11, 12, 123456, UTC)
    row = (2**62, math.inf, True, "退\n", '{"a": 1.0}', b"\0\xff", moment)
    (line,) = to_lines([row], KINDS)
    number, real, truth, text, stored, raw, written = json.loads(line)
    assert (number, float(real), truth, text, stored) == (2**62, math.inf, True, "退\n", '{"a": 1.0}')
    assert (base64.b64decode(raw), datetime.fromisoformat(written)) == (b"\0\xff", moment)
    assert line.endswith(b"\n") and line.count(b"\n") == 1


def test_every_column_of_every_table_has_a_kind() -> None:
    expected = {"metadata": Kind.JSON, "created_at": Kind.MOMENT, "answer": Kind.BYTES, "text": Kind.TEXT}
    kinds = {column.name: kind_of(column) for table in Base.metadata.tables.values() for column in table.columns}
    assert {name: kinds[name] for name in expected} == expected
    assert kind_of(Base.metadata.tables["record_labels"].c.record_id) is Kind.INTEGER


@pytest.mark.parametrize("type_", [Numeric(), DateTime(), Enum("a", "b"), postgresql.INTERVAL()])
def test_a_type_that_no_backup_holds_is_named(type_: Any) -> None:
    column = Column("strange", type_)
    Table("things", MetaData(), column)
    with pytest.raises(TypeError, match=r"things.strange has type .*give it a kind in app.backup.values"):
        kind_of(column)


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()])
def test_values_are_bound_as_the_tables_own_types_bind_them(dialect: Any) -> None:
    types = [BigId, Float(), Boolean(), String(9), JSON(), LargeBinary(), UtcDateTime()]
    dialect.dbapi = __import__("sqlite3")
    row: list[Any] = [7, 0.5, True, "text", {"a": 1}, b"raw", datetime(2026, 11, 22, 10, 11, 12, 5, UTC)]
    expected = []
    for type_, value in zip(types, row, strict=True):
        bind = type_.dialect_impl(dialect).bind_processor(dialect)
        expected.append(bind(value) if bind else value)
    row[4] = expected[4]  # a backup has the text
    rows = [list(row), [None] * len(row)]
    convert(rows, binders([kind_of(Column("c", type_)) for type_ in types], dialect))
    assert rows == [expected, [None] * len(row)]
