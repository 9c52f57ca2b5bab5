"""SQLite: WAL, synchronous=FULL, and one writer thread that commits many writes at once (group commit)."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Any, Final, TypeVar

import orjson
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.db.base import dump_json
from app.db.database import READERS, Database, closed, too_many_writes
from app.db.faults import translate, translated
from app.db.turn import WriteTurn
from app.errors import ErasureError, StorageError, StorageFullError, WorkerDeadError

T = TypeVar("T")

MOST_UNITS: Final = 64
"""Units that share a commit at most: bounds how long the first of them waits for the others."""

_BUSY_TIMEOUT_MS: Final = 10_000

_CHECKPOINT_PAGES: Final = 4_000
"""Pages of the WAL (16 MB) from which a commit moves them to the file: seldom, as that commit waits for it."""

_READER_CACHE_KB: Final = 2_000
_WRITER_CACHE_KB: Final = 16_000
"""Of a connection's pages at most; with 2 MB, updates all over a large collection take a fifth longer."""

_PRAGMAS: Final = (
    f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA secure_delete=ON",  # what was deleted or replaced is overwritten
    f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}",
)


def sqlite_engine(path: Path, cache_kb: int = _READER_CACHE_KB) -> Engine:
    """An engine whose transactions begin when SQLAlchemy says so, not when the driver guesses.

    Args:
        path: The database file.
        cache_kb: Of each connection's pages, at most.
    """
    engine = create_engine(
        URL.create("sqlite", database=str(path.absolute())),  # in a string, ? and % of a folder's name have a meaning
        hide_parameters=True,
        json_serializer=dump_json,
        json_deserializer=_load_json,
        pool_size=READERS + 4,
        max_overflow=8,
    )
    event.listen(engine, "connect", lambda connection, _: _configure(connection, cache_kb))
    event.listen(engine, "begin", _begin)
    return engine


def _load_json(value: Any) -> Any:
    """What a JSON column holds: SQLite keeps the text of a bare number as a number."""
    return value if isinstance(value, int | float) else orjson.loads(value)


def _configure(connection: sqlite3.Connection, cache_kb: int) -> None:
    connection.isolation_level = None  # the driver would begin only at the first change, and break savepoints
    for pragma in (*_PRAGMAS, f"PRAGMA cache_size=-{cache_kb}"):
        connection.execute(pragma)


def _begin(connection: Connection) -> None:
    # a writer that first reads and then writes would fail with "busy" instead of waiting
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")


class SqliteDatabase(Database):
    """One file, many readers, one writer thread.

    Args:
        path: The database file; its folder exists.
        max_queued: Units that may wait for the writer.
    """

    def __init__(self, path: Path, *, max_queued: int = 1024) -> None:
        super().__init__(sqlite_engine(path))
        self._writing = sqlite_engine(path, _WRITER_CACHE_KB)
        self._turn = WriteTurn(path)
        self._queue: Queue[_Unit | None] = Queue(max_queued)
        self._closed = False
        self._door = threading.Lock()  # guards _closed against a write that slips in behind the final None
        self._thread = threading.Thread(target=self._run, name="db-write", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def queued_writes(self) -> int:
        return self._queue.qsize()

    def write(self, unit: Callable[[Session], T]) -> "Future[T]":
        future: Future[T] = Future()
        with self._door:
            if self._closed:
                raise closed()
            if not self.is_alive:
                raise WorkerDeadError("the writer has died: nothing was stored; restart the server, its log says why")
            try:
                self._queue.put_nowait((unit, future))
            except Full:
                raise too_many_writes(self._queue.maxsize) from None
        return future

    def scrub(self) -> None:
        # secure_delete has overwritten the pages; their former content is in the log until that is emptied
        with translated(), self.engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            (busy, _, _) = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise ErasureError(
                "the records are deleted, but the database's log still holds them, since a long read goes on: "
                "repeat the request in a minute"
            )

    def close(self) -> None:
        with self._door:
            already, self._closed = self._closed, True
        if not already:
            self._queue.put(None)
            self._thread.join()
            self._writing.dispose()
            self._turn.close()
            super().close()

    def _read_session(self) -> Session:
        return Session(self.engine)

    def _run(self) -> None:
        while True:
            units, last = self._take()
            if units:
                with self._turn:
                    _commit_together(self._writing, units)
            if last:
                return

    def _take(self) -> tuple[list["_Unit"], bool]:
        """Wait for a unit, then take all that came meanwhile."""
        item = self._queue.get()
        units: list[_Unit] = []
        while item is not None:
            if item[1].set_running_or_notify_cancel():
                units.append(item)
            if len(units) == MOST_UNITS:
                return units, False
            try:
                item = self._queue.get_nowait()
            except Empty:
                return units, False
        return units, True


_Unit = tuple[Callable[[Session], Any], "Future[Any]"]


def _commit_together(engine: Engine, units: list[_Unit]) -> None:
    """Run each unit in a savepoint and commit once; a unit that fails fails alone, a failing disk fails all."""
    outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
    try:
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            for unit, future in units:
                outcomes.append((future, *_run_in_savepoint(connection, unit)))
    except BaseException as error:  # the thread must live on, and every caller must hear
        mended = _cause(error)
        for _, future in units:
            future.set_exception(mended)
        return
    for future, result, failure in outcomes:
        if failure is not None:
            future.set_exception(failure)
        else:
            future.set_result(result)


def _run_in_savepoint(connection: Connection, unit: Callable[[Session], Any]) -> tuple[Any, BaseException | None]:
    session = Session(connection, join_transaction_mode="create_savepoint")
    try:
        with _cursors_closed(connection):
            result = unit(session)
        session.commit()  # releases the savepoint only
        return result, None
    except DBAPIError as error:
        mended = translate(error)
        if isinstance(mended, StorageError | StorageFullError):
            # SQLite may have ended the whole transaction: nothing of it can be trusted
            raise _TransactionLostError(mended) from error
        session.rollback()
        return None, mended
    except Exception as error:  # handed to the caller by its future
        session.rollback()
        return None, error
    finally:
        with suppress(DBAPIError):  # after such an end there is no savepoint to go back to
            session.close()


@contextmanager
def _cursors_closed(connection: Connection) -> Iterator[None]:
    """Close what a unit leaves half read: SQLite ends no transaction while a statement that writes is running."""
    cursors: list[sqlite3.Cursor] = []

    def remember(_connection: Connection, cursor: sqlite3.Cursor, *_: object) -> None:
        cursors.append(cursor)

    event.listen(connection, "after_cursor_execute", remember)
    try:
        yield
    finally:
        event.remove(connection, "after_cursor_execute", remember)
        for cursor in cursors:
            cursor.close()


class _TransactionLostError(Exception):
    """Carries the reason past the errors that clearing up causes."""


def _cause(error: BaseException) -> BaseException:
    """What to tell the callers of a transaction that failed as a whole."""
    lost: BaseException | None = error
    while lost is not None and not isinstance(lost, _TransactionLostError):
        lost = lost.__context__
    if lost is not None:
        reason: BaseException = lost.args[0]
        return reason
    return translate(error) if isinstance(error, DBAPIError) else error
