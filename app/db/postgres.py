"""PostgreSQL: ordinary transactions in a pool of threads."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

import orjson
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

from app.db.base import dump_json
from app.db.database import CHANGED, READERS, Database, closed, too_many_writes
from app.db.faults import translated
from app.db.notify import Announcer, Listener
from app.db.room import Room
from app.errors import ErasureError, OverloadedError, StartupError

T = TypeVar("T")

_WRITERS: Final = 8

_SCRUBBED: Final = "records, record_labels, kept_answers, feedback, releases"
"""The tables out of which erasing takes what people wrote; a test finds those that are missing."""

_CONNECT_TIMEOUT_S: Final = 5
_LOCK_MS: Final = 5_000
_LOOK_S: Final = 0.02

_NEXT: Final = "SELECT pg_snapshot_xmax(pg_current_snapshot())::xid::text"
_IS_ANY_OLDER: Final = """
    SELECT EXISTS (
        SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
        AND greatest(age(backend_xmin), age(backend_xid)) > age(CAST(:next AS xid))
    )
"""
"""Whether any transaction may still see what was deleted before that one; of other roles, only who may look knows."""

_STILL_READ: Final = (
    "the records are deleted, but the database's pages still hold them, since a long read goes on: "
    "repeat the request in a minute"
)

_UNANSWERED_MS: Final = 30_000
"""After so long without a sign of life a connection is given up; TCP alone would wait a quarter of an hour."""

_PROBES: Final = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4}
"""The same, in seconds, where an answer is waited for and nothing is on its way: there TCP would wait two hours."""

_OPTIONS: Final = {
    # a plan that was made for an empty table, and kept, makes a large import take the square of its rows
    "plan_cache_mode": "force_custom_plan",
    # an index is built in the transaction that has read its records: erasing waits for that one
    "idle_in_transaction_session_timeout": "0",
}
"""Whatever the role or the database has been given."""


class PostgresDatabase(Database):
    """One PostgreSQL database, perhaps shared with other servers.

    Args:
        url: postgresql://...; the driver is psycopg 3.
        max_queued: Units that may wait for a writer or be written.
    """

    def __init__(self, url: str, *, max_queued: int = 1024) -> None:
        engine = create_engine(
            _with_driver(url),
            hide_parameters=True,
            json_serializer=dump_json,
            json_deserializer=orjson.loads,
            pool_size=READERS + _WRITERS,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": _CONNECT_TIMEOUT_S,
                "tcp_user_timeout": _UNANSWERED_MS,
                **_PROBES,
                "options": " ".join(f"-c {name}={value}" for name, value in _OPTIONS.items()),
            },
        )
        super().__init__(engine)
        self._reading = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="db-write")
        self._room = Room(max_queued)
        self._announcer = Announcer(self.engine)
        self._listeners: list[Listener] = []

    @property
    def queued_writes(self) -> int:
        return self._room.taken

    def write(self, unit: Callable[[Session], T]) -> "Future[T]":
        if not self._room.take():
            raise too_many_writes(self._room.size)
        try:
            future = self._writers.submit(self._run, unit)
        except RuntimeError:
            self._room.give_back()
            raise closed() from None
        future.add_done_callback(lambda _: self._room.give_back())
        return future

    def scrub(self) -> None:
        try:
            self._vacuum()
        except OverloadedError:
            raise ErasureError(_STILL_READ) from None

    def _vacuum(self) -> None:
        # A plain VACUUM leaves the bytes in the pages. PostgreSQL's own log and backups are its administrator's.
        with translated(), self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            # whoever waits for the tables' locks keeps all others from them: not for as long as an export reads
            connection.exec_driver_sql(f"SET lock_timeout = {_LOCK_MS}")
            try:
                _wait_for_older(connection)
                connection.exec_driver_sql(f"VACUUM FULL {_SCRUBBED}")
            finally:
                connection.exec_driver_sql("SET lock_timeout = DEFAULT")

    def listen(self, heard: Callable[[], None]) -> None:
        self._listeners.append(Listener(self.engine, heard))

    def close(self) -> None:
        self._writers.shutdown()
        self._announcer.stop()
        for listener in self._listeners:
            listener.stop()
        super().close()

    def _read_session(self) -> Session:
        return Session(self._reading)

    def _run(self, unit: Callable[[Session], T]) -> T:
        with translated(), Session(self.engine) as session:
            done = unit(session)
            session.flush()
            has_changes = session.info.pop(CHANGED, False)
            with translated(commits=True):
                session.commit()
        if has_changes:
            self._announcer.announce()
        return done


def _wait_for_older(connection: Connection) -> None:
    """Wait for transactions that began before now: VACUUM keeps, without a word, what one of them may see still.

    Raises:
        ErasureError: It takes too long.
    """
    following = connection.exec_driver_sql(_NEXT).scalar_one()
    deadline = time.monotonic() + _LOCK_MS / 1_000
    while connection.execute(text(_IS_ANY_OLDER), {"next": following}).scalar_one():
        if time.monotonic() > deadline:
            raise ErasureError(_STILL_READ)
        time.sleep(_LOOK_S)


def _with_driver(url: str) -> str:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter of a port
        raise StartupError(
            "SAMESAY_DATABASE_URL is no database URL: give postgresql://user:password@host/name"
        ) from None
    if "@" in (parsed.host or ""):
        raise StartupError(
            "SAMESAY_DATABASE_URL has more than one @: write one of the password as %40, "
            "or leave the password out and set PGPASSWORD"
        )
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise StartupError(
            f"SAMESAY_DATABASE_URL names {parsed.get_backend_name()!r}: only postgresql://... is supported; "
            "for SQLite leave it unset"
        )
    return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
