"""Writes are whole and durable, one at a time or many together; trouble is named and loses nothing."""

import asyncio
import os
import socket
import sqlite3
import threading
import time
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, func, insert, select, text
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from app.db import postgres as db_postgres
from app.db.database import Database
from app.db.migrating import upgrade
from app.db.room import Room
from app.db.sqlite import SqliteDatabase
from app.errors import (
    ConflictError,
    NotReadyError,
    OverloadedError,
    StorageError,
    StorageFullError,
    WorkerDeadError,
)
from app.tables import Collection, Group

postgres_only = pytest.mark.parametrize("settings", ["postgresql"], indirect=True)


def add(name: str) -> Any:
    return lambda session: session.execute(insert(Collection).values(name=name, settings={}))


def names(database: Database) -> list[str]:
    return database.read(lambda session: list(session.scalars(select(Collection.name).order_by(Collection.name))))


def test_a_unit_that_fails_leaves_nothing_and_harms_nobody(database: Database) -> None:
    def half(session: Session) -> None:
        add("half")(session)
        raise ValueError("in the middle")

    futures: list[Future[Any]] = [database.write(unit) for unit in (add("a"), half, add("b"), add("a"), add("c"))]
    errors = [future.exception() for future in futures]
    assert isinstance(errors[1], ValueError)
    assert sum(isinstance(error, ConflictError) for error in errors) == 1  # one of the two that are called a
    assert names(database) == ["a", "b", "c"]


def test_a_database_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db_postgres, "_CONNECT_TIMEOUT_S", 2)  # the least that libpq knows
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        database = db_postgres.PostgresDatabase(f"postgresql://nobody@127.0.0.1:{port}/x")
        with pytest.raises(StorageError, match="cannot be reached"):
            database.read(lambda session: session.execute(text("SELECT 1")))
        database.close()


@postgres_only
@pytest.mark.parametrize(
    ("moment", "told"), [("commit", "may be stored or not"), ("before_cursor_execute", "nothing was stored")]
)
def test_a_connection_that_is_lost_says_what_is_known_of_the_write(database: Database, moment: str, told: str) -> None:
    def lose(connection: Connection, *_: object) -> None:
        pid = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
        if pid in doomed:
            doomed.remove(pid)
            with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
                other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

    def unit(session: Session) -> None:
        add("a")(session)
        doomed.add(session.connection().connection.driver_connection.info.backend_pid)  # type: ignore[union-attr]
        session.add(Collection(name="b", settings={}))  # sent by the flush at the end

    doomed: set[int] = set()
    event.listen(database.engine, moment, lose)
    with pytest.raises(StorageError, match=told):
        database.write(unit).result()
    event.remove(database.engine, moment, lose)
    assert not doomed
    database.write(add("c")).result()
    assert names(database) == ["c"]


@postgres_only
def test_a_lost_listener_comes_back_and_shows_no_traceback(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    heard, connect, refusals = threading.Event(), database.engine.raw_connection, iter([True])

    def refused_once() -> Any:
        if next(refusals, False):  # as while the database restarts
            with socket.create_server(("127.0.0.1", 0)) as closed:
                port = closed.getsockname()[1]
            return db_postgres.PostgresDatabase(f"postgresql://nobody@127.0.0.1:{port}/x").engine.raw_connection()
        return connect()

    database.listen(heard.set)
    assert heard.wait(10)
    lost = "datname = current_database() AND query LIKE 'LISTEN%'"
    with database.engine.connect() as other, capture_logs() as logs:
        monkeypatch.setattr(database.engine, "raw_connection", refused_once)
        heard.clear()
        other.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {lost}"))
        assert heard.wait(10)
    assert [(entry["event"], entry["exc_info"]) for entry in logs] == [("listening_failed", False)] * 2


@postgres_only
def test_a_host_that_dies_while_it_is_asked_is_noticed_within_a_minute(database: Database) -> None:
    """Nothing is on its way then that could stay unacknowledged; by itself TCP asks after two hours."""
    with database.engine.connect() as connection:
        descriptor = os.dup(connection.connection.driver_connection.fileno())  # type: ignore[union-attr]
        with socket.socket(fileno=descriptor) as asked:
            assert asked.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            idle, each, count = (
                asked.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
            assert idle + each * count <= 60


@postgres_only
def test_a_database_that_has_become_read_only_is_said(database: Database) -> None:
    """As after a failover, or where its disk is nearly full: no defect of ours, and jobs wait for its end."""
    set_for_database(database, "default_transaction_read_only = on")
    with pytest.raises(StorageError, match="is read-only, as a standby is"):
        database.write(add("a")).result()
    assert names(database) == []
    set_for_database(database, "default_transaction_read_only = off")
    database.write(add("a")).result()
    assert names(database) == ["a"]


@postgres_only
def test_what_an_administrator_sets_for_the_database_breaks_no_long_transaction(database: Database) -> None:
    """An index is built in the transaction that has read its records, while the connection is idle."""
    set_for_database(database, "idle_in_transaction_session_timeout = '100ms'")
    read = database.read(lambda session: [session.scalar(text("SELECT 1")), time.sleep(0.5)])
    assert read[0] == 1


@postgres_only
def test_who_waits_too_long_for_a_lock_hears_that_the_database_is_busy(database: Database) -> None:
    database.write(add("a")).result()
    set_for_database(database, "lock_timeout = '100ms'")
    with database.engine.connect() as other:
        other.execute(select(Collection).with_for_update())
        with pytest.raises(OverloadedError, match="is busy: nothing was stored"):
            database.write(lambda session: session.execute(text("UPDATE collections SET version = 7"))).result()


@postgres_only
def test_a_connection_that_is_ended_for_any_reason_is_no_defect_of_ours(database: Database) -> None:
    """Some of the reasons are internal errors, by their class."""

    def unit(session: Session) -> None:
        session.execute(text("SET idle_in_transaction_session_timeout = '50ms'"))
        time.sleep(0.3)
        add("a")(session)

    with pytest.raises(StorageError, match=r"\(IdleInTransactionSessionTimeout\): nothing was stored"):
        database.write(unit).result()


def set_for_database(database: Database, setting: str) -> None:
    """Have every connection from now on begin with a setting."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET default_transaction_read_only = off"))
        connection.execute(text(f"ALTER DATABASE {database.engine.url.database} SET {setting}"))
    database.engine.dispose()


def test_a_dead_writer_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = SqliteDatabase(tmp_path / "x.db")
    monkeypatch.setattr(database._thread, "is_alive", lambda: False)
    with pytest.raises(WorkerDeadError, match="restart the server"):
        database.write(add("a"))
    monkeypatch.undo()
    database.close()


def test_a_closed_database_takes_no_more(database: Database) -> None:
    database.write(add("a")).result()
    database.close()
    with pytest.raises(NotReadyError):
        database.write(add("b")).result()


def test_a_full_queue_refuses(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "x.db", max_queued=2)
    upgrade(database.engine)
    entered, gate = threading.Event(), threading.Event()

    def slow(_: Session) -> None:
        entered.set()
        gate.wait(5)

    running = database.write(slow)
    assert entered.wait(5)
    waiting = [database.write(add("a")), database.write(add("b"))]
    with pytest.raises(OverloadedError, match="2 writes wait"):
        database.write(add("c"))
    gate.set()
    for future in (running, *waiting):
        future.result(5)
    assert names(database) == ["a", "b"]
    database.close()


def test_writes_that_wait_share_one_commit(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "x.db")
    upgrade(database.engine)
    gate = threading.Event()
    first = database.write(lambda _: gate.wait(5))
    commits = []
    event.listen(database.engine, "commit", lambda _: commits.append(1))
    futures = [database.write(add(f"c{number}")) for number in range(50)]
    gate.set()
    for future in (first, *futures):
        future.result(5)
    assert len(commits) <= 3
    assert len(names(database)) == 50
    database.close()


def test_sqlite_is_set_to_survive_power_loss(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "x.db")

    def pragmas(session: Session) -> list[Any]:
        return [
            session.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous", "foreign_keys")
        ]

    assert database.read(pragmas) == ["wal", 2, 1]
    assert database.write(pragmas).result() == ["wal", 2, 1]
    database.close()


@pytest.mark.parametrize("name", ["a?b", "a%20b", "a%b#c", "file:d"])
def test_the_file_is_in_its_folder_whatever_that_is_called(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a URL ? begins options and %20 is a space: two folders shared a file that lay in neither."""
    monkeypatch.chdir(tmp_path)
    path = Path(name) / "x.db"
    path.parent.mkdir()
    database = SqliteDatabase(path)
    database.write(lambda session: session.execute(text("CREATE TABLE t (n INTEGER)"))).result()
    database.close()
    assert [file.name for file in tmp_path.iterdir()] == [name]
    with closing(sqlite3.connect(f"{(tmp_path / path).as_uri()}?mode=ro", uri=True)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("t",)]


def test_what_is_deleted_is_overwritten_in_the_file_of_sqlite(tmp_path: Path) -> None:
    """Large enough for pages of its own, small enough to share one; the last checkpoint empties the WAL."""
    path = tmp_path / "x.db"
    database = SqliteDatabase(path)
    upgrade(database.engine)
    texts = [f"short secret {n} " for n in range(50)] + ["long secret " * 2000]
    for text_ in texts:
        database.write(
            lambda s, t=text_: s.execute(insert(Collection).values(name=t[:60], settings={"text": t}))
        ).result()
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()
        assert b"short secret 49" in path.read_bytes()
        database.write(lambda session: session.execute(text("DELETE FROM collections WHERE id > 1"))).result()
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()
    content = path.read_bytes()
    assert b"short secret 0" in content, "the one that stays"
    for secret in (b"secret 1 ", b"secret 49", b"long secret"):
        assert secret not in content
    database.close()


def test_a_full_disk_is_said_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "x.db")
    upgrade(database.engine)
    database.write(add("kept")).result()
    pages = database.read(lambda session: session.execute(text("PRAGMA page_count")).scalar())

    def limit(most: int) -> Any:
        return lambda session: session.execute(text(f"PRAGMA max_page_count={most}")).scalar()

    def large(session: Session) -> None:
        session.execute(insert(Collection).values(name="large", settings={"x": "y" * 1_000_000}))

    assert database.write(limit(pages + 1)).result() == pages + 1
    with pytest.raises(StorageFullError, match="free some space"):
        database.write(large).result()
    assert names(database) == ["kept"]
    database.write(limit(1_000_000)).result()
    database.write(large).result()
    assert names(database) == ["kept", "large"]
    database.close()


def test_concurrent_writes_of_both_databases(database: Database) -> None:
    database.write(add("faq")).result()

    def count(session: Session) -> None:
        statement = select(Collection).with_for_update()
        session.scalars(statement).one().version += 1

    futures = [database.write(count) for _ in range(100)]
    for future in futures:
        future.result(20)
    assert database.read(lambda session: session.scalars(select(func.sum(Collection.version))).one()) == 101


def test_a_unit_that_fails_with_an_open_cursor_fails_alone(database: Database) -> None:
    left_open: list[object] = []

    def half_read(session: Session) -> None:
        statement = insert(Collection).values(name="half", settings={}).returning(Collection.id)
        left_open.append(session.execute(statement))
        raise ValueError("before it was read")

    def forgotten(session: Session) -> None:
        left_open.append(session.execute(select(Collection.id)))
        add("b")(session)

    units = (lambda _: threading.Event().wait(0.05), add("a"), half_read, forgotten, add("c"))
    errors = [future.exception(20) for future in [database.write(unit) for unit in units]]
    assert [type(error) for error in errors] == [type(None), type(None), ValueError, type(None), type(None)]
    assert names(database) == ["a", "b", "c"]


def test_too_many_reads_are_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(database, "_read_room", Room(2))
        gate, entered = threading.Event(), threading.Semaphore(0)

        def slow(_: Session) -> str:
            entered.release()
            assert gate.wait(5)
            return "read"

        reads = [asyncio.ensure_future(database.read_async(slow)) for _ in range(2)]
        await asyncio.to_thread(lambda: [entered.acquire(timeout=5) for _ in reads])
        assert database.queued_reads == 2
        with pytest.raises(OverloadedError, match="reads wait"):
            await database.read_async(slow)
        gate.set()
        assert await asyncio.gather(*reads, database_read_later(database, slow)) == ["read"] * 3
        assert database.queued_reads == 0

    asyncio.run(scenario())


async def database_read_later(database: Database, unit: Any) -> Any:
    """Read as soon as there is room again."""
    while True:
        try:
            return await database.read_async(unit)
        except OverloadedError:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("payload", [5, -0.5, 1e300, "5", "x", True, None, [], {}])
def test_json_of_any_kind_comes_back_as_it_was(database: Database, payload: Any) -> None:
    """SQLite takes columns of JSON for numeric: a bare number must not break who reads it."""

    def add(session: Session) -> None:
        collection = Collection(name="faq", settings={})
        session.add(collection)
        session.flush()
        session.add(Group(collection_id=collection.id, key="g", payload=payload))

    database.write(add).result()
    assert database.read(lambda session: session.scalars(select(Group)).one().payload) == payload
