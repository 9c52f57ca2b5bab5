"""Both databases are migrated to what the tables say, and take rows afterwards."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateIndex

from app.db import migrating
from app.db.database import Database
from app.db.opening import connect_database, open_database
from app.errors import SchemaOutdatedError, SchemaTooNewError
from app.settings import Settings
from app.tables import Base, Collection, Group, KeptAnswer, Record
from tests.conftest import migrate, postgres_settings
from tests.fakes.running import wait_for
from tests.fakes.spawned import samesay


@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_the_tables_are_what_the_migrations_make(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_so_are_sqlite_s_indexes_of_expressions(database: Database) -> None:
    """Which a comparison leaves out: nothing tells what they are made of but their text."""
    if database.engine.dialect.name != "sqlite":
        pytest.skip("of PostgreSQL they are compared")
    found = dict(database.read(lambda session: session.execute(text("SELECT name, sql FROM sqlite_master")).all()))
    wanted = [CreateIndex(index).compile(database.engine) for index in Base.metadata.tables["records"].indexes]
    assert wanted
    assert {str(statement) for statement in wanted} <= set(found.values())


def test_rows_can_be_inserted_and_moments_are_aware(database: Database) -> None:
    def unit(session):  # type: ignore[no-untyped-def]
        collection = Collection(name="faq", settings={"description": "常见问题"})
        session.add(collection)
        session.flush()
        session.add(Group(collection_id=collection.id, key="g", title=None, payload=None))
        session.flush()

    database.write(unit).result()
    name, settings, created = database.read(
        lambda session: session.execute(select(Collection.name, Collection.settings, Collection.created_at)).one()
    )
    assert (name, settings) == ("faq", {"description": "常见问题"})
    assert created.utcoffset().total_seconds() == 0


def test_record_ids_are_never_reused(database: Database) -> None:
    def insert_record(session, key):  # type: ignore[no-untyped-def]
        row: dict[str, object] = {"collection_id": 1, "id": key, "text": "t", "role": "example", "source": "api"}
        row |= {"content_hash": "", "seq": 1, "metadata": {}}
        return session.execute(insert(Record.__table__).values(**row)).inserted_primary_key[0]

    database.write(lambda session: session.add(Collection(name="faq", settings={}))).result()
    first = database.write(lambda session: insert_record(session, "a")).result()
    database.write(lambda session: session.execute(text("DELETE FROM records"))).result()
    assert database.write(lambda session: insert_record(session, "b")).result() > first


def test_a_database_at_another_schema_is_refused_or_upgraded(settings: Settings) -> None:
    if settings.database_url is None:
        open_database(settings).close()  # SQLite is upgraded on the way
        return
    with pytest.raises(SchemaOutdatedError, match="samesay db upgrade"):
        open_database(settings)


def test_a_database_of_a_newer_version_is_left_alone(settings: Settings) -> None:
    """Whatever is run on it: a server, `samesay db upgrade`, a backup; none of them can know what is in it."""
    migrate(settings)
    database = connect_database(settings)
    try:
        with database.engine.connect().execution_options(writes=True) as connection, connection.begin():
            connection.execute(text("UPDATE alembic_version SET version_num = '9876'"))
        for refused in (
            lambda: open_database(settings),
            lambda: migrating.upgrade(database.engine),
            lambda: migrating.check(database.engine),
        ):
            with pytest.raises(SchemaTooNewError, match=f"schema 9876, and this version knows .* {migrating.head()} "):
                refused()
        with database.engine.connect() as connection:
            assert migrating.find_revision(connection) == "9876"
    finally:
        database.close()


def move(database: Database, direction: Callable[[Config, str], None], revision: str) -> None:
    """Upgrade or downgrade to a revision."""
    with database.engine.connect().execution_options(writes=True) as connection, connection.begin():
        direction(migrating._config(connection), revision)


def test_changes_get_a_tag_and_lose_it_again(settings: Settings) -> None:
    """Rows from before have tag 0; what is inserted afterwards keeps its own; going back keeps the rows."""
    database = connect_database(settings)
    try:
        move(database, command.upgrade, "0001")
        faq = "(name, settings, last_seq, active_release, version) VALUES ('faq', '{}', 2, 1, 1)"
        database.write(lambda session: session.execute(text(f"INSERT INTO collections {faq}"))).result()
        entry = "INSERT INTO changes (collection_id, seq, record_id, op"
        database.write(lambda session: session.execute(text(f"{entry}) VALUES (1, 1, 7, 'upsert')"))).result()
        move(database, command.upgrade, "0002")
        database.write(
            lambda session: session.execute(text(f"{entry}, tag) VALUES (1, 2, 8, 'delete', {2**62 - 1})"))
        ).result()
        tags = database.read(lambda session: session.execute(text("SELECT seq, tag FROM changes ORDER BY seq")).all())
        assert tags == [(1, 0), (2, 2**62 - 1)]
        move(database, command.downgrade, "0001")
        rows = database.read(lambda session: session.execute(text("SELECT * FROM changes ORDER BY seq")).all())
        assert rows == [(1, 1, 7, "upsert"), (1, 2, 8, "delete")]
        move(database, command.upgrade, "0002")
    finally:
        database.close()


def test_kept_answers_get_a_collection_and_those_about_new_ones_go(settings: Settings) -> None:
    """An answer about a new collection has no etag; the others are kept, there and back."""
    database = connect_database(settings)
    add = text("INSERT INTO kept_answers (key, fingerprint, answer, created_at) VALUES (:key, 'f', :answer, :at)")
    keys, at = text("SELECT key FROM kept_answers ORDER BY key"), "2026-01-01 00:00:00"
    answers = {"made": b'{"name":"faq","dim":32}', "stored": b'{"items":[],"seq":1}', "other": b'\xff{"name":', "": b""}

    def fill(session: Session) -> None:
        for key, answer in answers.items():
            session.execute(add, {"key": key, "answer": answer, "at": at})

    try:
        move(database, command.upgrade, "0006")
        database.write(fill).result()
        move(database, command.upgrade, "0008")
        assert database.read(lambda session: session.scalars(keys).all()) == ["", "other", "stored"]
        assert database.read(lambda session: set(session.scalars(select(KeptAnswer.collection)))) == {None}
        move(database, command.downgrade, "0006")
        assert database.read(lambda session: session.scalars(keys).all()) == ["", "other", "stored"]
        move(database, command.upgrade, "0008")
    finally:
        database.close()


def test_feedback_gets_the_group_that_was_named_as_far_as_it_is_known(settings: Settings) -> None:
    """Nothing is lost there and back, but a group that nobody named of what was rejected after all."""
    database = connect_database(settings)
    faq = "INSERT INTO collections (name, settings, last_seq, active_release, version) VALUES ('faq', '{}', 2, 1, 1)"
    add = text(
        """INSERT INTO feedback (key, collection_id, source, text, text_key, verdict, group_key, metadata, state, count,
                                 awaits_training, created_by, created_at, last_seen_at)
           VALUES (:key, 1, 'client', 't', 'k', :verdict, :group, '{}', :state, 1, FALSE, 'x', :at, :at)"""
    )
    items = [
        ("pending", "right_group", "a"),
        ("accepted", "right_group", "b"),
        ("accepted", "wrong_answer", "c"),
        ("rejected", "right_group", "d"),
        ("rejected", None, "e"),
        ("rejected", "wrong_answer", None),
    ]

    def fill(session: Session) -> None:
        session.execute(text(faq))
        for number, (state, verdict, group) in enumerate(items):
            row = {"key": str(number), "verdict": verdict, "group": group, "state": state, "at": "2026-01-01 00:00:00"}
            session.execute(add, row)

    groups = text("SELECT group_key FROM feedback ORDER BY key")
    named = text("SELECT named_group FROM feedback ORDER BY key")
    try:
        move(database, command.upgrade, "0010")
        database.write(fill).result()
        move(database, command.upgrade, "0011")
        assert database.read(lambda session: session.scalars(named).all()) == ["a", "b", None, "d", None, None]
        move(database, command.downgrade, "0010")
        assert database.read(lambda session: session.scalars(groups).all()) == ["a", "b", "c", "d", None, None]
        move(database, command.upgrade, "0011")
    finally:
        database.close()


def test_the_foreign_key_of_groups_goes_and_comes_back_and_no_row_with_it(settings: Settings) -> None:
    """Nor a label, nor what tells that an id was given out before; who reads meanwhile sees it at once."""
    from sqlalchemy import inspect

    database = connect_database(settings)
    faq = "INSERT INTO collections (name, settings, last_seq, active_release, version) VALUES ('faq', '{}', 2, 1, 1)"
    add = """INSERT INTO records (collection_id, id, text, group_id, role, source, metadata, content_hash, seq, version)
             VALUES (1, :id, 't', 1, 'example', 'api', '{}', '', 1, 1)"""

    def fill(session: Session) -> None:
        session.execute(text(faq))
        session.execute(text("INSERT INTO groups (collection_id, key, version) VALUES (1, 'g', 1)"))
        for key in ("a", "b"):
            session.execute(text(add), {"id": key})
        session.execute(text("INSERT INTO record_labels (record_id, label) VALUES (1, 'billing')"))
        session.execute(text("DELETE FROM records WHERE id = 'b'"))

    def tables_named() -> set[str]:
        return {key["referred_table"] for key in inspect(database.engine).get_foreign_keys("records")}

    def found() -> list[tuple[object, ...]]:
        wanted = (
            "SELECT record_id, id, group_id, label FROM records LEFT JOIN record_labels USING (record_id) ORDER BY 1"
        )
        return [tuple(row) for row in database.read(lambda session: session.execute(text(wanted)).all())]

    try:
        move(database, command.upgrade, "0009")
        database.write(fill).result()
        before = found()
        assert before == [(1, "a", 1, "billing")]
        for direction, revision, named in (
            (command.upgrade, "0010", {"collections"}),
            (command.downgrade, "0009", {"collections", "groups"}),
            (command.upgrade, "0010", {"collections"}),
        ):
            move(database, direction, revision)
            assert (tables_named(), found()) == (named, before)
        database.write(lambda session: session.execute(text(add), {"id": "c"})).result()
        database.write(lambda session: session.execute(text("DELETE FROM groups"))).result()
        assert found() == [*before, (3, "c", 1, None)]
        if database.engine.dialect.name == "sqlite":
            checked = database.read(lambda session: session.execute(text("PRAGMA integrity_check")).scalar())
            assert checked == "ok"
    finally:
        database.close()


def count_waiting(connection: Connection) -> int:
    """Connections of this PostgreSQL database that wait for a lock."""
    waiting = "SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_database d ON d.oid = database"
    return int(connection.scalar(text(f"{waiting} WHERE NOT granted AND datname = current_database()")))


def test_two_who_upgrade_at_once_do_it_once(postgres: str, tmp_path: Path) -> None:
    """As servers do that are started together."""
    settings = postgres_settings(postgres, tmp_path / "data")
    assert settings.database_url is not None
    named = {"SAMESAY_DATABASE_URL": settings.database_url.get_secret_value(), "SAMESAY_DATA": str(settings.data)}
    database = connect_database(settings)
    try:
        move(database, command.upgrade, "0009")
        with ThreadPoolExecutor(2) as threads, database.engine.connect() as connection:
            connection.execute(text("SELECT count(*) FROM records"))  # keeps the first one from its end
            both = [threads.submit(samesay, "db", "upgrade", **named) for _ in range(2)]
            wait_for(lambda: count_waiting(connection) == 2)
            connection.rollback()
            assert [one.result().stderr for one in both] == ["", ""]
        migrating.check(database.engine)
    finally:
        database.close()


@pytest.mark.parametrize(("first", "then"), [("groups", "records"), ("records", "groups")])
def test_an_upgrade_and_who_reads_both_tables_wait_for_each_other(
    first: str, then: str, postgres: str, tmp_path: Path
) -> None:
    """The list of groups reads the one way, whoever stores records the other: neither is ended for the other's sake."""
    settings = postgres_settings(postgres, tmp_path / "data")
    database, reader = connect_database(settings), connect_database(settings)
    try:
        move(database, command.upgrade, "0009")
        with ThreadPoolExecutor(1) as thread, reader.engine.connect() as connection:
            connection.execute(text(f"SELECT count(*) FROM {first}"))
            upgraded = thread.submit(migrating.upgrade, database.engine)
            wait_for(lambda: count_waiting(connection))
            assert connection.execute(text(f"SELECT count(*) FROM {then}")).scalar_one() == 0
            connection.rollback()
            upgraded.result()
        migrating.check(database.engine)
    finally:
        reader.close()
        database.close()


def test_downgrade_leaves_nothing(settings: Settings) -> None:
    from sqlalchemy import inspect

    database = connect_database(settings)
    try:
        migrating.upgrade(database.engine)
        move(database, command.downgrade, "base")
        assert set(inspect(database.engine).get_table_names()) <= {"alembic_version"}
    finally:
        database.close()
