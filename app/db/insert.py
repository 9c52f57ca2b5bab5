"""Inserting many rows by the driver: what SQLAlchemy makes of each value costs as much as storing it does."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

from sqlalchemy import Table
from sqlalchemy.orm import Session

_MOST_VALUES: Final = 10_000
"""Of one statement; SQLite takes 32,766."""


def insert_rows(session: Session, table: Table, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows whose values are what the database is to hold: JSON as its text, enumerations as theirs.

    Args:
        session: Of the unit of work.
        table: Where to.
        columns: Names, in the order of a row's values. What only Python has a default for is to be among them.
        rows: May be none.
    """
    if rows:
        connection = session.connection()
        connection.exec_driver_sql(_insert(table, columns, 1, connection.dialect.paramstyle), list(rows))


def insert_returning(
    session: Session, table: Table, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]], returned: tuple[str, ...]
) -> Iterator[Any]:
    """As `insert_rows`, and hand out these columns of what was inserted, in no order."""
    connection, start = session.connection(), 0
    while start < len(rows):
        part = rows[start : start + _power_of_two(min(len(rows) - start, _MOST_VALUES // len(columns)))]
        statement = _insert(table, columns, len(part), connection.dialect.paramstyle)
        statement += f" RETURNING {', '.join(returned)}"
        yield from connection.exec_driver_sql(statement, tuple(chain.from_iterable(part)))
        start += len(part)


def _power_of_two(n: int) -> int:
    """The largest up to n: drivers keep the statements that they have parsed, a megabyte for a thousand rows."""
    return 1 << (n.bit_length() - 1)


@lru_cache
def _insert(table: Table, columns: tuple[str, ...], n_rows: int, paramstyle: str) -> str:
    row = f"({', '.join(['?' if paramstyle == 'qmark' else '%s'] * len(columns))})"
    return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES {', '.join([row] * n_rows)}"
