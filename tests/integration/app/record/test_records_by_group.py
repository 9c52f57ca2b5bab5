"""The index of records by group lies in parts: it is used, and it finds what a dict of all records finds."""

import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Select, event, func, insert, select
from sqlalchemy.orm import Session

from app.db.database import Database
from app.feedback.resolving import Resolver
from app.feedback.schemas import FeedbackPatch
from app.group.repository import GroupRepository
from app.record.by_group import in_any_part
from app.record.tables import PART_BITS
from app.record.writer import RecordWriter
from app.tables import Collection, Feedback, Group, Record

N_GROUPS = 7


@pytest.fixture
def groups(database: Database) -> dict[int, int | None]:
    """The group of each record of the first of two collections, by record_id: ids with gaps of some parts."""
    rng = random.Random(0)
    ids = [*rng.sample(range(1, 5 << PART_BITS), 60), (9 << PART_BITS) - 1, 9 << PART_BITS]
    wanted = {key: rng.choice([None, *range(1, N_GROUPS + 1)]) for key in ids}
    others = {7 << PART_BITS: N_GROUPS + 1, (8 << PART_BITS) - 1: None}

    def fill(session: Session) -> None:
        for name in ("faq", "other"):
            session.add(Collection(name=name, settings={}, last_seq=0))
        session.flush()
        for number in range(1, N_GROUPS + 2):  # the last one is the other collection's
            session.add(Group(collection_id=1 + number // (N_GROUPS + 1), key=f"g{number}"))
        session.flush()
        for collection_id, records in ((1, wanted), (2, others)):
            session.execute(insert(Record), [_row(key, collection_id, group) for key, group in records.items()])

    database.write(fill).result()
    return wanted


def _row(record_id: int, collection_id: int, group_id: int | None) -> dict[str, object]:
    content = {"text": "t", "role": "example", "source": "api", "metadata_": {}, "content_hash": "", "seq": 1}
    place = {"record_id": record_id, "collection_id": collection_id, "id": str(record_id), "group_id": group_id}
    return place | content


def test_records_of_groups_are_counted_over_all_parts(database: Database, groups: dict[int, int | None]) -> None:
    def unit(session: Session) -> dict[int, int]:
        return GroupRepository(session, 1).count_records(session.scalars(select(Group)).all())

    wanted = Counter(group for group in groups.values() if group is not None)
    assert database.read(unit) == {**wanted, N_GROUPS + 1: 1}


def test_a_group_is_emptied_over_all_parts_and_no_other(database: Database, groups: dict[int, int | None]) -> None:
    def unit(session: Session) -> dict[int, int | None]:
        writer = RecordWriter(session, 1)
        writer.delete_group(1)
        writer.detach_group(2)
        found = select(Record.record_id, Record.group_id).where(Record.collection_id == 1)
        return dict(session.execute(found).all())

    wanted = {key: None if group == 2 else group for key, group in groups.items() if group != 1}
    assert database.write(unit).result() == wanted


def test_nothing_is_found_where_there_are_no_records(database: Database) -> None:
    found = database.read(lambda session: session.scalars(select(Record.record_id).where(in_any_part(session))).all())
    assert found == []


def test_sqlite_looks_into_the_index_for_each_part(database: Database, groups: dict[int, int | None]) -> None:
    if database.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL plans by its statistics, which a few rows do not make")

    def plan(session: Session, statement: Select[*tuple[object, ...]]) -> str:
        words = statement.compile(database.engine, compile_kwargs={"literal_binds": True})
        return session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {words}").first()[3]

    def unit(session: Session) -> list[str]:
        part = in_any_part(session)
        counted = select(Record.group_id, func.count()).where(part, Record.group_id.in_([1, 2]))
        asked = (counted.group_by(Record.group_id), select(Record).where(part, Record.group_id == 1))
        return [plan(session, statement) for statement in asked]

    for told in database.read(unit):
        assert "ix_records_group_id (<expr>=? AND group_id=?)" in told


def test_so_it_does_where_feedback_is_accepted(database: Database, groups: dict[int, int | None]) -> None:
    """Else it reads the whole collection, while every other writer waits."""
    if database.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL plans by its statistics, which a few rows do not make")
    plans: list[str] = []

    def explain(_: object, cursor: Any, statement: str, parameters: Any, *rest: object) -> None:
        if "records.text IN" in statement:
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.append(cursor.fetchone()[3])

    def unit(session: Session) -> None:
        item = {"collection_id": 1, "source": "client", "text": "t", "text_key": "", "metadata_": {}}
        session.add_all(Feedback(key=key, state="pending", **item) for key in ("a", "b"))
        session.flush()
        event.listen(session.connection(), "before_cursor_execute", explain)
        resolver = Resolver(session, 1, "somebody", datetime.now(UTC))
        for key, place in (("a", {"group": "g1"}), ("b", {"role": "out_of_scope"})):
            resolver.resolve([key], FeedbackPatch.model_validate({"state": "accepted", **place}))

    database.write(unit).result()
    assert len(plans) == 2
    for told in plans:
        assert "ix_records_group_id (<expr>=? AND group_id=?)" in told
