"""Rows that go to the driver directly: all of them, as they are, by a handful of statements."""

from sqlalchemy import event, select
from sqlalchemy.orm import Session

from app.db.base import table_of
from app.db.database import Database
from app.db.insert import insert_returning, insert_rows
from app.tables import Collection, Group, RecordLabel

GROUPS = table_of(Group)
ODD = ("it's", '"', "%s %(x)s ?", "我要退款", "🙂", "\t\n", ":name", "")


def test_as_many_rows_come_back_as_went_in_by_few_statements(database: Database) -> None:
    """Each has its own plan, which drivers keep: batches of every size must not make a statement each."""
    statements: set[str] = set()

    def unit(session: Session) -> dict[str, int]:
        session.add(Collection(name="faq", settings={}, last_seq=0))
        session.flush()
        event.listen(session.connection(), "before_cursor_execute", lambda *call: statements.add(call[2]))
        found: dict[str, int] = {}
        for n in range(60):
            rows = [(1, f"{n}-{number}", 1) for number in range(n)]
            inserted = dict(insert_returning(session, GROUPS, ("collection_id", "key", "version"), rows, ("key", "id")))
            assert inserted.keys() == {key for _, key, _ in rows}
            found |= inserted
        return found

    found = database.write(unit).result()
    assert len(found) == len(set(found.values())) == 60 * 59 // 2
    assert dict(database.read(lambda session: session.execute(select(GROUPS.c.key, GROUPS.c.id)).all())) == found
    sizes = {statement.count("(") - 1 for statement in statements if statement.startswith("INSERT INTO groups")}
    assert sizes == {1, 2, 4, 8, 16, 32}


def test_values_are_stored_as_they_are(database: Database) -> None:
    def unit(session: Session) -> None:
        insert_rows(session, table_of(RecordLabel), ("record_id", "label"), [])
        session.add(Collection(name="faq", settings={}, last_seq=0))
        session.flush()
        insert_rows(session, GROUPS, ("collection_id", "key", "title", "version"), [(1, key, None, 1) for key in ODD])

    database.write(unit).result()
    found = database.read(lambda session: session.execute(select(GROUPS.c.key, GROUPS.c.title)).all())
    assert sorted(found) == sorted((key, None) for key in ODD)
