"""The one seam to SQL: the `Database` interface, which runs units of work. Nobody else calls commit()."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from app.db.faults import translated
from app.db.room import Room
from app.errors import NotReadyError, OverloadedError

T = TypeVar("T")

READERS: Final = 8
"""Threads, and so connections, that read at the same time."""

MOST_READS: Final = 1024
"""Reads of requests that may wait or run."""

CHANGED: Final = "samesay.changed"
"""Set in `session.info` by a unit of work that followers want to hear of."""


class Database(ABC):
    """Runs units of work, each a function of a session.

    A unit must not commit. A read unit sees one consistent state; a write unit is durable when its future resolves.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="db-read")
        self._read_room = Room(MOST_READS)

    @property
    def is_alive(self) -> bool:
        """Whether writes are still being done; False once a thread of ours has died."""
        return True

    @property
    def queued_reads(self) -> int:
        """Reads of requests that wait or run, of `MOST_READS`."""
        return self._read_room.taken

    @property
    @abstractmethod
    def queued_writes(self) -> int:
        """Units that wait for a writer, or have one."""

    def read(self, unit: Callable[[Session], T]) -> T:
        """Run a unit that only reads, in this thread."""
        with translated(), self._read_session() as session:
            return unit(session)

    async def read_async(self, unit: Callable[[Session], T]) -> T:
        """Run a unit that only reads, off the event loop.

        Raises:
            OverloadedError: Too many reads wait already.
        """
        if not self._read_room.take():
            raise OverloadedError(f"{MOST_READS} reads wait already: repeat the request in a second")
        future = self._readers.submit(self.read, unit)
        future.add_done_callback(lambda _: self._read_room.give_back())
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
