"""What is restored is what was backed up: every value of every table, from each kind of database to each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from app.db.database import Database
from app.db.opening import open_database
from app.settings import Settings
from app.tables import Base, Collection, Group, KeptAnswer, Record
from tests.conftest import migrate, postgres_settings
from tests.fakes.backups import read_all, restore_backup, write_backup
from tests.fakes.populated import populate, storage_classes
from tests.fakes.running import make_settings

KINDS = ("sqlite", "postgresql")

Make = Callable[[str, str], Settings]


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Settings over an empty database of a kind, with a data folder of this name."""

    def make(kind: str, name: str) -> Settings:
        if kind == "sqlite":
            return make_settings(tmp_path / name)
        return postgres_settings(request.getfixturevalue("postgres"), tmp_path / name)

    return make


def next_ids(database: Database) -> list[int]:
    """The numbers that new rows get."""

    def unit(session: Any) -> list[int]:
        rows: list[tuple[Any, dict[str, Any]]] = [
            (Collection, {"name": "next", "settings": {}}),
            (Group, {"collection_id": 1, "key": "next"}),
            (KeptAnswer, {"key": "next", "fingerprint": "", "answer": b"", "created_at": func.current_timestamp()}),
        ]
        record = {"collection_id": 1, "id": "next", "text": "t", "role": "example", "source": "api", "content_hash": ""}
        rows.append((Record, {**record, "seq": 1, "metadata": {}}))
        return [session.execute(insert(t.__table__).values(**row)).inserted_primary_key[0] for t, row in rows]

    return database.write(unit).result()


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
def test_every_row_arrives_as_it_was(source: str, target: str, make: Make, tiny_bundle: Path, tmp_path: Path) -> None:
    file, other_file = tmp_path / "backup.tar", tmp_path / "again.tar"
    before, after, back = make(source, "before"), make(target, "after"), make(source, "back")
    migrate(before)
    populate(before, tiny_bundle)
    expected = read_all(before)
    assert all(expected.values()), "a table without rows proves nothing: fill it in tests/fakes/populated.py"
    write_backup(before, file)
    restore_backup(file, after)
    assert read_all(after) == expected
    write_backup(after, other_file)
    restore_backup(other_file, back)
    assert read_all(back) == expected
    for settings in (after, back):
        assert [path.name for path in (settings.data / "encoders").iterdir()] == [expected["encoders"][0][0]]
        assert not (settings.data / ".restore").exists()
    if source == target == "sqlite":
        classes = storage_classes(before.data / "samesay.db")
        assert storage_classes(after.data / "samesay.db") == storage_classes(back.data / "samesay.db") == classes


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
def test_numbers_of_deleted_rows_are_not_given_again(
    source: str, target: str, make: Make, tiny_bundle: Path, tmp_path: Path
) -> None:
    before, after = make(source, "before"), make(target, "after")
    migrate(before)
    populate(before, tiny_bundle)
    write_backup(before, tmp_path / "backup.tar")
    restore_backup(tmp_path / "backup.tar", after)
    database = open_database(after)
    assert next_ids(database) == [10, 8, 4, 2**40 + 2]
    assert database.read(lambda session: session.scalars(select(func.max(Record.record_id))).one()) == 2**40 + 2
    database.close()


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
def test_an_empty_database_is_backed_up_too(source: str, target: str, make: Make, tmp_path: Path) -> None:
    before, after = make(source, "before"), make(target, "after")
    migrate(before)
    migrate(after) if target == "postgresql" else None  # empty tables are no obstacle
    write_backup(before, tmp_path / "backup.tar")
    restore_backup(tmp_path / "backup.tar", after)
    assert read_all(after) == {name: [] for name in Base.metadata.tables}
    database = open_database(after)
    assert (
        database.write(
            lambda s: s.execute(insert(Collection).values(name="x", settings={})).inserted_primary_key[0]
        ).result()
        == 1
    )
    database.close()
