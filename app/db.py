"""The one seam to SQL: the declarative base, column types and the `Database` interface. Nobody else calls commit()."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, TypeVar, cast

import orjson
from sqlalchemy import BigInteger, DateTime, Dialect, Engine, Integer, MetaData, Table, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

from app.errors import (
    ConflictError,
    NotReadyError,
    OverloadedError,
    ServiceError,
    StorageError,
    StorageFullError,
)

T = TypeVar("T")

READERS: Final = 8
"""Threads, and so connections, that read at the same time."""

MOST_READS: Final = 1024
"""Reads of requests that may wait or run."""

CHANGED: Final = "samesay.changed"
"""Set in `session.info` by a unit of work that followers want to hear of."""

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


class Database(ABC):
    """Runs units of work, each a function of a session.

    A unit must not commit. A read unit sees one consistent state; a write unit is durable when its future resolves.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="db-read")
        self._read_room = threading.Semaphore(MOST_READS)

    @property
    def is_alive(self) -> bool:
        """Whether writes are still being done; False once a thread of ours has died."""
        return True

    def read(self, unit: Callable[[Session], T]) -> T:
        """Run a unit that only reads, in this thread."""
        with translated(), self._read_session() as session:
            return unit(session)

    async def read_async(self, unit: Callable[[Session], T]) -> T:
        """Run a unit that only reads, off the event loop.

        Raises:
            OverloadedError: Too many reads wait already.
        """
        if not self._read_room.acquire(blocking=False):
            raise OverloadedError(f"{MOST_READS} reads wait already: repeat the request in a second")
        future = self._readers.submit(self.read, unit)
        future.add_done_callback(lambda _: self._read_room.release())
        return await asyncio.wrap_future(future)

    @abstractmethod
    def write(self, unit: Callable[[Session], T]) -> "Future[T]":
        """Run a unit in a transaction of its own and commit it.

        Returns:
            Resolves with the unit's result once it is durable, or with what it raised, and then nothing was stored;
            but for a StorageError that says that it may be.

        Raises:
            OverloadedError: Too many units wait already.
        """

    async def write_async(self, unit: Callable[[Session], T]) -> T:
        """`write`, awaited."""
        return await asyncio.wrap_future(self.write(unit))

    @abstractmethod
    def scrub(self) -> None:
        """Overwrite, in the database's files, what was deleted or replaced; blocks, and waits for readers.

        Raises:
            ErasureError: It could not be done now.
        """

    def listen(self, heard: Callable[[], None]) -> None:  # noqa: B027  # SQLite tells nobody
        """Call `heard`, on another thread, when another process has committed something."""

    def close(self) -> None:
        """Finish what is running and close every connection."""
        self._readers.shutdown()
        self.engine.dispose()

    @abstractmethod
    def _read_session(self) -> Session: ...


def too_many_writes(most: int) -> OverloadedError:
    """What to raise of a write for which there is no room."""
    return OverloadedError(f"{most} writes wait already: nothing was stored; repeat the request in a second")


def closed() -> NotReadyError:
    """What to raise of a write after `close`."""
    return NotReadyError("the server is stopping: nothing was stored; repeat the request")


@contextmanager
def translated(*, commits: bool = False) -> Iterator[None]:
    """Raise our errors in place of the driver's; `commits` says that what is done is a commit."""
    try:
        yield
    except DBAPIError as error:
        raise translate(error, commits=commits) from error


def translate(error: DBAPIError, *, commits: bool = False) -> Exception:
    """The error to answer in place of the driver's; the driver's own where it means a defect of ours."""
    sqlite = getattr(error.orig, "sqlite_errorcode", None)
    state = getattr(error.orig, "sqlstate", None)
    if sqlite is not None:
        found = _SQLITE_ERRORS.get(sqlite) or _SQLITE_ERRORS.get(sqlite & 0xFF)  # the low byte is the kind
    else:
        found = _POSTGRES_ERRORS.get(state or "")
    if found is not None:
        return found[0](found[1])
    if isinstance(error, OperationalError) or error.connection_invalidated:
        return StorageError((_UNHEARD if commits else _AWAY).format(type(error.orig).__name__))
    return error


_AWAY: Final = "the database cannot be reached or used ({}): nothing was stored; try again later"
_UNHEARD: Final = (
    "the database did not say whether it stored the write ({}): it may be stored or not; "
    "see what is there, then repeat the request"
)
_FULL: Final = "the disk of the database is full: nothing was stored; free some space, then repeat the request"
_BUSY: Final = "the database is busy: nothing was stored; repeat the request"
_UNUSABLE: Final = (
    "the database's files cannot be read or written: nothing was stored; "
    "look at the disk, its free space and its rights"
)
_NOT_FLUSHED: Final = (
    "the disk did not make the write durable: it may be stored or not, and the next start decides; "
    "look at the disk, then repeat the request"
)
_READ_ONLY: Final = (
    "the database is read-only, as a standby is, or one whose disk is nearly full: nothing was stored; "
    "make it writable, or repeat the request when it is"
)
_DAMAGED: Final = "the database file is damaged or is no SQLite file: `samesay restore` a backup into a new folder"
_RACE: Final = "another request changed the same thing at the same moment: nothing was stored; repeat the request"

_Known = dict[Any, tuple[type[ServiceError], str]]
_SQLITE_ERRORS: Final[_Known] = {
    5: (OverloadedError, _BUSY),
    6: (OverloadedError, _BUSY),
    8: (StorageError, _UNUSABLE),
    10: (StorageError, _UNUSABLE),
    10 | 4 << 8: (StorageError, _NOT_FLUSHED),  # the bytes are in the WAL, and SQLite may find them there after a crash
    13: (StorageFullError, _FULL),
    11: (StorageError, _DAMAGED),
    14: (StorageError, _UNUSABLE),
    19: (ConflictError, _RACE),
    26: (StorageError, _DAMAGED),
}
_POSTGRES_ERRORS: Final[_Known] = {
    "25006": (StorageError, _READ_ONLY),
    "23505": (ConflictError, _RACE),
    "23503": (ConflictError, _RACE),
    "40001": (OverloadedError, _BUSY),
    "40P01": (OverloadedError, _BUSY),
    "55P03": (OverloadedError, _BUSY),
    "53100": (StorageFullError, _FULL),
}
