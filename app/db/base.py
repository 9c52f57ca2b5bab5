"""What the tables are made of: the declarative base, column types, and small helps for statements."""

from datetime import UTC, datetime
from typing import Any, Final, cast

import orjson
from sqlalchemy import BigInteger, DateTime, Dialect, Integer, MetaData, Table, text
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

BigId = BigInteger().with_variant(Integer, "sqlite")
"""int64 key; SQLite counts up only columns called INTEGER."""

NOW: Final = text("CURRENT_TIMESTAMP")
"""Default of moments; both databases know it, while SQLite knows no now()."""

_NAMING: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of every table."""

    metadata = MetaData(naming_convention=_NAMING)


def table_of(entity: type[Base]) -> Table:
    """The table behind a class, for statements over many rows."""
    return cast(Table, entity.__table__)


def sought(name: str) -> str:
    """A name as it can be looked for: PostgreSQL takes no NUL, not even for that. No name has what it becomes."""
    return name.replace("\0", "\1")


def dump_json(value: Any) -> str:
    """Columns of JSON as they are stored; everything in them has been checked to be JSON."""
    return orjson.dumps(value).decode()


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, always aware and in UTC; SQLite keeps no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
