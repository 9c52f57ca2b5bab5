"""Where a backup is restored: a new SQLite file, or an empty PostgreSQL database; whole or not at all."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, event, inspect, select, text
from sqlalchemy.exc import DBAPIError

from app.backup.manifest import Counter, TableEntry
from app.backup.values import binders, convert
from app.db import migrating
from app.db.faults import translated
from app.db.sqlite import sqlite_engine
from app.errors import BackupDamagedError, TargetNotEmptyError
from app.tables import Base, Group, Record
from model.contract.files import sync_path

_SQLITE_CACHE_KB: Final = 16_000

_WITHOUT_A_NET: Final = (
    "PRAGMA journal_mode=OFF",
    "PRAGMA synchronous=OFF",
    "PRAGMA foreign_keys=OFF",
    "PRAGMA secure_delete=OFF",
)
"""For a file that is thrown away unless all goes well: it is checked and flushed as a whole in the end."""


class Target(ABC):
    """An empty database to be filled."""

    @abstractmethod
    def filling(self, scratch: Path) -> AbstractContextManager[Connection]:
        """A connection to it, at no schema; what was done is there when the block has ended, durably and whole.

        Args:
            scratch: An empty folder, on the file system of the data folder.

        Raises:
            TargetNotEmptyError: Something is there; says what.
        """

    @abstractmethod
    def insert(self, connection: Connection, table: TableEntry, rows: list[list[Any]]) -> None:
        """Add rows, which may be changed by it."""

    @abstractmethod
    def count_on(self, connection: Connection, table: str, counter: Counter) -> None:
        """Let the table's next row get the number after the last one that was given."""

    @abstractmethod
    def settle(self, connection: Connection) -> None:
        """Check and write down all that is in it, so that hardly anything can go wrong afterwards."""


class SqliteTarget(Target):
    """A file that is not there yet.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def filling(self, scratch: Path) -> Iterator[Connection]:
        built = scratch / self._path.name
        engine = _bare_engine(built)
        try:
            with translated(), engine.connect() as connection:
                connection.begin()
                yield connection
        finally:
            engine.dispose()
        sync_path(built)
        built.rename(self._path)
        sync_path(self._path.parent)

    def insert(self, connection: Connection, table: TableEntry, rows: list[list[Any]]) -> None:
        convert(rows, binders([column.kind for column in table.columns], connection.dialect))
        places = ", ".join("?" * len(table.columns))
        connection.exec_driver_sql(f"INSERT INTO {_named(connection, table)} VALUES ({places})", list(map(tuple, rows)))

    def count_on(self, connection: Connection, table: str, counter: Counter) -> None:
        last = {"table": table, "last": counter.last}
        if not connection.execute(text("UPDATE sqlite_sequence SET seq = :last WHERE name = :table"), last).rowcount:
            connection.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :last)"), last)

    def settle(self, connection: Connection) -> None:
        _check_references(connection)
        _check_groups(connection)
        connection.commit()  # the file has another name until the end


class PostgresTarget(Target):
    """A database whose tables are missing or empty.

    Args:
        engine: Of it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def filling(self, scratch: Path) -> Iterator[Connection]:
        with translated(), self._engine.connect() as connection, connection.begin():
            _take_empty(connection)
            yield connection

    def insert(self, connection: Connection, table: TableEntry, rows: list[list[Any]]) -> None:
        raw = connection.connection.driver_connection
        assert raw is not None
        statement = f"COPY {_named(connection, table)} FROM STDIN"
        dbapi = connection.dialect.loaded_dbapi
        try:
            with raw.cursor() as cursor, cursor.copy(statement) as copy:
                for row in rows:
                    copy.write_row(row)
        except dbapi.Error as error:  # it went past SQLAlchemy, which would have wrapped it
            raise DBAPIError.instance(statement, None, error, dbapi.Error, hide_parameters=True) from error

    def count_on(self, connection: Connection, table: str, counter: Counter) -> None:
        if counter.last:  # a sequence begins before 1 by itself
            statement = text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)")
            connection.execute(statement, {"table": table, "column": counter.column, "last": counter.last})

    def settle(self, connection: Connection) -> None:
        _check_groups(connection)  # all else it has checked row by row, and has all rows


def _bare_engine(path: Path) -> Engine:
    engine = sqlite_engine(path, _SQLITE_CACHE_KB)

    def configure(connection: Any, _: object) -> None:
        for pragma in _WITHOUT_A_NET:
            connection.execute(pragma)

    event.listen(engine, "connect", configure)
    return engine


def _named(connection: Connection, table: TableEntry) -> str:
    """The table with its columns, quoted."""
    quote = connection.dialect.identifier_preparer.quote
    return f"{quote(table.name)} ({', '.join(quote(column.name) for column in table.columns)})"


def _check_references(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise _refers_to_nothing(broken[0], broken[2])


def _check_groups(connection: Connection) -> None:
    """What no foreign key does: see Record."""
    stray = select(Record.record_id).where(Record.group_id.is_not(None), Record.group_id.not_in(select(Group.id)))
    if connection.execute(stray.limit(1)).first() is not None:
        raise _refers_to_nothing(Record.__tablename__, Group.__tablename__)


def _refers_to_nothing(table: str, other: str) -> BackupDamagedError:
    return BackupDamagedError(
        f"the backup is damaged: a row of {table} refers to one of {other} that is not there; take another"
    )


def _take_empty(connection: Connection) -> None:
    """Make sure that the tables that are there are ours and empty, also while they are locked, and drop them."""
    found = sorted(set(inspect(connection).get_table_names()) & Base.metadata.tables.keys())
    if not found:
        return
    if migrating.find_revision(connection) is None:
        raise TargetNotEmptyError(f"the database has tables of another program ({', '.join(found)}): give an empty one")
    migrating.check_connection(connection)
    quoted = {name: connection.dialect.identifier_preparer.quote(name) for name in found}
    _refuse_rows(connection, quoted)  # a server that runs on it by mistake must not wait for a lock
    connection.exec_driver_sql(f"LOCK TABLE {', '.join(quoted.values())}")
    _refuse_rows(connection, quoted)
    migrating.clear(connection)


def _refuse_rows(connection: Connection, tables: dict[str, str]) -> None:
    counts = {
        name: connection.exec_driver_sql(f"SELECT count(*) FROM {at}").scalar_one() for name, at in tables.items()
    }
    found = ", ".join(f"{name}: {count:,}" for name, count in counts.items() if count)
    if found:
        raise TargetNotEmptyError(f"the database is not empty ({found}): give an empty one")
