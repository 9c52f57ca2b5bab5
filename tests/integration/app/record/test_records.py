"""Records, their groups and their change log, on both databases."""

import asyncio
import json
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.collection.repository import CollectionRepository
from app.db.database import Database
from app.group.repository import GroupRepository
from app.record.content import content_hash
from app.record.repository import RecordRepository
from app.record.schemas import RecordDraft
from app.record.writer import RecordWriter, Written
from app.tables import ChangeLogEntry, Collection, Group, Record


@pytest.fixture
def faq(database: Database) -> int:
    def unit(session: Session) -> int:
        collection = Collection(name="faq", settings={})
        CollectionRepository(session).add(collection)
        return collection.id

    return database.write(unit).result()


def draft(key: str, text: str = "a text", **fields: Any) -> RecordDraft:
    return RecordDraft(id=key, text=text, **fields)


def upsert(database: Database, *drafts: RecordDraft) -> list[Written]:
    def unit(session: Session) -> list[Written]:
        collection = CollectionRepository(session).get_locked("faq")
        return RecordWriter(session, collection.id).upsert(drafts)

    return database.write(unit).result()


def delete(database: Database, *ids: str) -> dict[str, int]:
    def unit(session: Session) -> dict[str, int]:
        collection = CollectionRepository(session).get_locked("faq")
        return RecordWriter(session, collection.id).delete(ids)

    return database.write(unit).result()


def log(database: Database) -> list[tuple[int, int, str]]:
    columns = (ChangeLogEntry.seq, ChangeLogEntry.record_id, ChangeLogEntry.op)
    return database.read(lambda s: [tuple(row) for row in s.execute(select(*columns).order_by(ChangeLogEntry.seq))])


def last_seq(database: Database) -> int:
    return database.read(lambda session: session.scalars(select(Collection.last_seq)).one())


def test_a_record_keeps_its_record_id_and_counts_its_versions(database: Database, faq: int) -> None:
    one, other = draft("r1"), draft("r1", "another")
    written = [upsert(database, one)[0], upsert(database, other)[0]]
    (first, second) = log(database)
    assert written == [
        Written(1, first[1], 1, content_hash(one), created=True, changed=True),
        Written(2, first[1], 2, content_hash(other), created=False, changed=True),
    ]
    assert (first[0], first[2]) == (1, "upsert")
    assert second == (2, first[1], "upsert")


def test_the_same_content_is_not_written_again(database: Database, faq: int) -> None:
    given = draft("r1", group="g", labels=("b", "a"), metadata={"x": 1.5, "y": ["z"]})
    (first,) = upsert(database, given)
    again = draft("r1", group="g", labels=("a", "b", "a"), metadata={"y": ["z"], "x": 1.5}, source="import")
    assert upsert(database, again) == [first._replace(created=False, changed=False)]
    assert last_seq(database) == 1
    for changed in (
        {"metadata": {"x": 1}},
        {"labels": ("a",)},
        {"role": "out_of_scope", "group": None},
        {"group": "h"},
        {"text": "t"},
    ):
        assert upsert(database, given.model_copy(update=changed))[0].changed
        assert upsert(database, given)[0].changed
    assert last_seq(database) == 11


def test_what_is_stored_is_what_was_given(database: Database, faq: int) -> None:
    text = " 我要退款 \n\U0001f600 full　width "
    upsert(
        database,
        draft("r/1".replace("/", ":"), text, group="退款", labels=("b", "a"), metadata={"n": 2**40, "ok": True}),
    )
    record = database.read(lambda session: RecordRepository(session, faq).get("r:1"))
    assert (record.text, record.group, record.labels) == (text, "退款", ["a", "b"])
    assert record.metadata == {"n": 2**40, "ok": True}
    assert record.metadata["ok"] is True


def test_an_unknown_group_is_made_and_shared(database: Database, faq: int) -> None:
    upsert(database, draft("r1", group="g"), draft("r2", group="g"), draft("r3", group="h"))
    counts = database.read(
        lambda session: {
            group.key: GroupRepository(session, faq).count_records([group])[group.id]
            for group in session.scalars(select(Group))
        }
    )
    assert counts == {"g": 2, "h": 1}


def test_a_delete_is_logged_and_an_absent_one_is_not(database: Database, faq: int) -> None:
    upsert(database, draft("r1", labels=("a",)), draft("r2"))
    assert delete(database, "r2", "nobody", "r1") == {"r2": 3, "r1": 4}
    assert [entry[2] for entry in log(database)] == ["upsert", "upsert", "delete", "delete"]
    assert database.read(lambda session: list(session.scalars(select(Record.id)))) == []


def test_a_group_is_detached_or_deleted_with_its_records(database: Database, faq: int) -> None:
    upsert(database, draft("r1", group="g"), draft("r2", group="g"), draft("r3", group="h"))

    def detach(session: Session) -> None:
        group = GroupRepository(session, faq).get("g")
        RecordWriter(session, faq).detach_group(group.id)
        GroupRepository(session, faq).delete(group)

    def delete_all(session: Session) -> None:
        RecordWriter(session, faq).delete_group(GroupRepository(session, faq).get("h").id)

    database.write(detach).result()
    database.write(delete_all).result()
    found = database.read(lambda session: [record for _, record in RecordRepository(session, faq).list_page(0, 10)])
    assert [(record.id, record.group, record.seq, record.version) for record in found] == [
        ("r1", None, 4, 2),
        ("r2", None, 5, 2),
    ]
    assert upsert(database, draft("r1"))[0].changed  # what it is now must be written, whatever it was before
    assert [entry[0] for entry in log(database)] == [1, 2, 3, 4, 5, 6, 7]


def test_a_record_that_is_detached_tells_when_that_was(database: Database, faq: int) -> None:
    upsert(database, draft("r1", group="g"))
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)

    def detach(session: Session) -> datetime:
        session.execute(update(Record).values(updated_at=long_ago))
        RecordWriter(session, faq).detach_group(GroupRepository(session, faq).get("g").id)
        return RecordRepository(session, faq).get("r1").updated_at

    assert database.write(detach).result() > long_ago


def test_an_imported_payload_is_stored_even_where_python_calls_both_equal(database: Database, faq: int) -> None:
    found = [_described(database, faq, payload) for payload in (1, True, True, [1], [1.0], [1.0], [True])]
    assert found == [("1", 2), ("true", 3), ("true", 3), ("[1]", 4), ("[1.0]", 5), ("[1.0]", 5), ("[true]", 6)]


@pytest.mark.parametrize("payload", [1.0, -0.0, 1e300, -(2.0**51), 2.0**60, 0.5])
def test_a_bare_number_that_is_put_again_is_no_change(database: Database, faq: int, payload: float) -> None:
    first, again = _described(database, faq, payload), _described(database, faq, payload)
    assert first == again
    assert json.loads(first[0]) == payload


def _described(database: Database, faq: int, payload: Any) -> tuple[str, int]:
    """The payload, as JSON, and the version of a group after an import has told its payload."""
    database.write(lambda session: GroupRepository(session, faq).describe({"g": {"payload": payload}})).result()
    group = database.read(lambda session: GroupRepository(session, faq).get("g"))
    return json.dumps(group.payload), group.version


def test_changes_carry_the_tag_of_the_unit_that_made_them(database: Database, faq: int) -> None:
    upsert(database, draft("r1"), draft("r2"))
    upsert(database, draft("r1", "another"))
    delete(database, "r1", "r2")
    tags = database.read(lambda s: list(s.scalars(select(ChangeLogEntry.tag).order_by(ChangeLogEntry.seq))))
    assert all(0 < tag < 2**62 for tag in tags)
    assert tags[0] == tags[1] and tags[3] == tags[4]
    assert len({tags[0], tags[2], tags[3]}) == 3


def test_deleting_a_collection_leaves_nothing_of_it(database: Database, faq: int) -> None:
    upsert(database, draft("r1", group="g", labels=("a",)))

    def unit(session: Session) -> None:
        CollectionRepository(session).delete(CollectionRepository(session).get_locked("faq"))

    database.write(unit).result()
    for table in (Collection, Group, Record, ChangeLogEntry):
        assert database.read(lambda session, table=table: session.execute(select(table)).all()) == []


def test_the_sequence_has_no_gap_under_eight_writers_and_rollbacks(database: Database, faq: int) -> None:
    """Commit order is sequence order: a reader that polls the log never sees a number before all smaller ones."""
    seen: list[int] = []
    done = False

    def write_many(writer: int) -> int:
        rng, changes = random.Random(writer), 0
        for step in range(25):
            drafts = [draft(f"w{writer}-{step}-{n}") for n in range(rng.randint(1, 5))]
            if rng.random() < 0.2:

                def failing(session: Session, drafts: list[RecordDraft] = drafts) -> None:
                    collection = CollectionRepository(session).get_locked("faq")
                    RecordWriter(session, collection.id).upsert(drafts)
                    raise ValueError("changed my mind")

                with pytest.raises(ValueError, match="changed my mind"):
                    database.write(failing).result(20)
            else:
                changes += sum(written.changed for written in upsert(database, *drafts))
        return changes

    async def follow() -> None:
        while not done:
            after = seen[-1] if seen else 0
            statement = select(ChangeLogEntry.seq).where(ChangeLogEntry.seq > after).order_by(ChangeLogEntry.seq)
            seen.extend(await database.read_async(lambda s, statement=statement: list(s.scalars(statement))))

    with ThreadPoolExecutor(9) as pool:
        follower = pool.submit(lambda: asyncio.run(follow()))
        try:
            total = sum(pool.map(write_many, range(8)))
        finally:
            done = True
        follower.result(20)
    assert last_seq(database) == total
    assert [entry[0] for entry in log(database)] == list(range(1, total + 1))
    assert seen == list(range(1, len(seen) + 1))


def test_writers_of_the_same_record_wait_for_each_other(database: Database, faq: int) -> None:
    def write_many(writer: int) -> list[int]:
        return [upsert(database, draft("r1", f"{writer} {step}"))[0].version for step in range(10)]

    with ThreadPoolExecutor(8) as pool:
        versions = [version for each in pool.map(write_many, range(8)) for version in each]
    assert sorted(versions) == list(range(1, 81))
    assert last_seq(database) == 80
