"""A backup taken while others write is what was there at one moment: nothing half, nothing missing."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.backup import backing_up
from app.collection.repository import CollectionRepository
from app.db.database import Database
from app.db.opening import open_database
from app.record.schemas import RecordDraft
from app.record.writer import RecordWriter
from app.settings import Settings
from app.tables import ChangeLogEntry, Collection, Group, Record, RecordLabel
from tests.conftest import migrate
from tests.fakes.backups import restore_backup, write_backup
from tests.fakes.populated import populate
from tests.fakes.running import make_settings, wait_for

N_RECORDS = 300


def write_some(session: Session, number: int) -> None:
    """Change, add and delete records in one unit, each with a label and in a group that tell which unit it was."""
    collection_id, _ = CollectionRepository(session).lock("faq")
    writer = RecordWriter(session, collection_id)
    ids = {f"r{(number * 7 + n) % N_RECORDS}" for n in range(10)}
    name = f"unit {number}"
    writer.upsert([RecordDraft(id=key, text=name, group=name, labels=(name,)) for key in sorted(ids)])
    writer.delete([f"r{(number * 13) % N_RECORDS}"])


@contextmanager
def writing(database: Database) -> Iterator[list[int]]:
    """A thread that writes until the block ends; the numbers of the units that are acknowledged."""
    done: list[int] = []
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            database.write(lambda session: write_some(session, len(done))).result(20)
            done.append(len(done))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join(30)


def check_consistent(session: Session) -> int:
    """What holds of every moment; returns the last sequence number."""
    last = session.scalars(select(Collection.last_seq)).one()
    log = session.execute(select(ChangeLogEntry).order_by(ChangeLogEntry.seq)).scalars().all()
    assert [entry.seq for entry in log] == list(range(1, last + 1))
    newest = {entry.record_id: (entry.seq, entry.op) for entry in log}
    records = {record.record_id: record for record in session.scalars(select(Record))}
    expected = {record_id: seq for record_id, (seq, op) in newest.items() if op == "upsert"}
    assert {record_id: record.seq for record_id, record in records.items()} == expected
    labels = dict(session.execute(select(RecordLabel.record_id, RecordLabel.label)).all())
    groups = dict(session.execute(select(Group.id, Group.key)).all())
    assert labels == {record_id: record.text for record_id, record in records.items()}
    assert {record.text: groups[record.group_id] for record in records.values()} == {t: t for t in labels.values()}
    return last


def test_a_backup_while_others_write_is_of_one_moment(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backing_up, "PART_BYTES", 2000)
    monkeypatch.setattr(backing_up, "_ROWS", 10)
    migrate(settings)
    database = open_database(settings)
    database.write(lambda session: session.add(Collection(name="faq", settings={}))).result()
    for number in range(50):
        database.write(lambda session, n=number: write_some(session, n)).result()
    told: list[tuple[int, int]] = []

    with writing(database) as done:

        def tell(what: str, at: int, total: int) -> None:
            """Let the writer get ahead at every table, and again in the middle of one."""
            told.append((at, total))
            if at in (0, total) or len(told) % 10 == 0:
                seen = len(done)
                wait_for(lambda: len(done) > seen + 2)

        write_backup(settings, tmp_path / "backup.tar", tell)
    now = database.read(check_consistent)
    database.close()
    assert any(0 < at < total for at, total in told), "a table in one part proves nothing"
    target = make_settings(tmp_path / "restored")
    restore_backup(tmp_path / "backup.tar", target)
    restored = open_database(target)
    assert 50 < restored.read(check_consistent) < now
    restored.close()


def test_a_bundle_that_is_removed_while_the_tables_are_read_is_in_the_backup(tmp_path: Path, tiny_bundle: Path) -> None:
    """As a server does with one that went with its last release; the tables of that moment still need it."""
    settings = make_settings(tmp_path / "data")
    populate(settings, tiny_bundle)

    def tell(what: str, at: int, total: int) -> None:
        if what == "records":
            shutil.rmtree(settings.data / "encoders", ignore_errors=True)

    write_backup(settings, tmp_path / "backup.tar", tell)
    assert not (settings.data / "encoders").exists()
    target = make_settings(tmp_path / "restored")
    restore_backup(tmp_path / "backup.tar", target)
    (restored,) = (target.data / "encoders").iterdir()
    files = {file.name: file.read_bytes() for file in restored.iterdir()}
    assert files == {file.name: file.read_bytes() for file in tiny_bundle.iterdir()}


def test_a_restored_database_goes_on_where_the_backup_ended(settings: Settings, tmp_path: Path) -> None:
    """Writes after a restore take the next numbers, and none that was given."""
    migrate(settings)
    database = open_database(settings)
    database.write(lambda session: session.add(Collection(name="faq", settings={}))).result()
    for number in range(20):
        database.write(lambda session, n=number: write_some(session, n)).result()

    def highest(session: Session) -> Any:
        return session.execute(select(func.max(ChangeLogEntry.record_id), func.max(ChangeLogEntry.seq))).one()

    record_id, seq = database.read(highest)
    database.write(lambda s: RecordWriter(s, 1).delete([f"r{n}" for n in range(N_RECORDS)])).result()
    write_backup(settings, tmp_path / "backup.tar")
    database.close()
    target = make_settings(tmp_path / "restored")
    restore_backup(tmp_path / "backup.tar", target)
    restored = open_database(target)
    deleted = restored.read(highest)
    assert deleted[0] == record_id
    assert deleted[1] > seq
    restored.write(lambda session: write_some(session, 100)).result()
    assert restored.read(highest)[0] == record_id + 10
    assert restored.read(check_consistent) == deleted[1] + 11  # ten written, one of them deleted
    restored.close()
