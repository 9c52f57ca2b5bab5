"""Backups that cannot be taken, believed or restored: refused with the reason, and nothing is left behind."""

import io
import json
import random
import sqlite3
import tarfile
from pathlib import Path
from typing import Any

import psycopg
import pytest
import xxhash
from sqlalchemy import inspect

from app.backup.manifest import Contents
from app.data_folder import DataFolder
from app.db.migrating import head
from app.db.opening import connect_database, open_database
from app.errors import (
    BackupDamagedError,
    BackupError,
    BackupVersionError,
    DataFolderBusyError,
    SchemaOutdatedError,
    TargetNotEmptyError,
)
from app.secrets_table import DATABASE_ID, get_secret
from app.settings import Settings
from app.tables import Base
from model.contract.errors import SelfTestError
from tests.conftest import migrate, postgres_settings
from tests.fakes.backups import read_all, restore_backup, rewrite, write_backup
from tests.fakes.populated import populate
from tests.fakes.running import make_settings

SEED = random.randrange(10**6)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Settings:
    """A populated SQLite database."""
    settings = make_settings(tmp_path_factory.mktemp("source") / "data")
    populate(settings, tiny_bundle)
    return settings


@pytest.fixture(scope="module")
def backup(source: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its backup."""
    file = tmp_path_factory.mktemp("backup") / "backup.tar"
    write_backup(source, file)
    return file


def files_of(data: Path) -> list[str]:
    """What is in a data folder, apart from its lock."""
    return sorted(str(p.relative_to(data)) for p in data.rglob("*") if p.is_file() and p.name != "lock")


def assert_refused(file: Path, data: Path, error: type[BaseException], match: str | None = None) -> None:
    """Nothing of it is in the folder afterwards."""
    with pytest.raises(error, match=match):
        restore_backup(file, make_settings(data))
    assert not data.exists() or files_of(data) == []


def test_a_file_that_is_cut_off_is_refused_wherever_it_ends(backup: Path, tmp_path: Path) -> None:
    content = backup.read_bytes()
    end = content.rindex(b"\n}\n") + len(b"\n}\n")  # of the manifest: behind it are only zeros
    print(f"seed {SEED}")
    lengths = {0, 1, 511, 512, 513, end - 1, *random.Random(SEED).choices(range(end), k=40)}
    lengths |= {at - at % 512 for at in lengths}  # where a tar may seem to end
    for length in sorted(lengths):
        (tmp_path / "cut.tar").write_bytes(content[:length])
        assert_refused(tmp_path / "cut.tar", tmp_path / "data", BackupDamagedError)


def test_a_flipped_bit_is_noticed_or_harmless(backup: Path, source: Settings, tmp_path: Path) -> None:
    """Harmless are the zeros between and behind the members, and some bytes of tar's own headers."""
    content, chance = backup.read_bytes(), random.Random(SEED)
    print(f"seed {SEED}")
    refused = 0
    for number in range(60):
        at = chance.randrange(len(content))
        flipped = bytearray(content)
        flipped[at] ^= 1 << chance.randrange(8)
        (tmp_path / "flipped.tar").write_bytes(flipped)
        data = tmp_path / str(number)
        try:
            restore_backup(tmp_path / "flipped.tar", make_settings(data))
        except BackupDamagedError:
            refused += 1
            assert files_of(data) == [] if data.exists() else True
        else:
            assert read_all(make_settings(data)) == read_all(source)
    assert refused > 30


def test_every_member_is_verified(backup: Path, tmp_path: Path) -> None:
    content = backup.read_bytes()
    with tarfile.open(backup) as tar:
        members = [member for member in tar.getmembers() if member.size]
    assert {"tables", "encoders", "manifest.json"} == {member.name.split("/")[0] for member in members}
    for member in members:
        flipped = bytearray(content)
        flipped[member.offset_data + member.size // 2] ^= 1
        (tmp_path / "flipped.tar").write_bytes(flipped)
        assert_refused(tmp_path / "flipped.tar", tmp_path / "data", BackupDamagedError, member.name)


def test_a_manifest_that_was_altered_is_not_believed(backup: Path, tmp_path: Path) -> None:
    altered = backup.read_bytes().replace(b'"database_kind": "sqlite"', b'"database_kind": "oracle"')
    assert altered != backup.read_bytes()
    (tmp_path / "altered.tar").write_bytes(altered)
    assert_refused(tmp_path / "altered.tar", tmp_path / "data", BackupDamagedError, "its manifest.json was altered")


def test_rows_that_are_not_there_are_noticed(backup: Path, postgres: str, tmp_path: Path) -> None:
    """Whole in itself, and still not what was written: each table is counted, each reference followed."""

    def without_groups(n_rows: int) -> Path:
        def change(contents: Contents) -> Contents:
            update = {"parts": [], "rows": n_rows}
            tables = [table.model_copy(update=update if table.name == "groups" else {}) for table in contents.tables]
            return contents.model_copy(update={"tables": tables})

        rewrite(backup, tmp_path / "fewer.tar", change)
        return tmp_path / "fewer.tar"

    assert_refused(without_groups(6), tmp_path / "data", BackupDamagedError, "holds 0 rows of groups, its manifest")
    assert_refused(without_groups(0), tmp_path / "data", BackupDamagedError, "a row of records refers to one of groups")
    target = postgres_settings(postgres, tmp_path / "data")
    with pytest.raises(BackupDamagedError, match="a row of records refers to one of groups"):
        restore_backup(tmp_path / "fewer.tar", target)
    database = connect_database(target)
    assert inspect(database.engine).get_table_names() == []
    database.close()


def test_a_manifest_that_names_what_is_not_there_is_noticed(backup: Path, tmp_path: Path) -> None:
    def with_a_part_more(contents: Contents) -> Contents:
        first, *others = contents.tables
        return contents.model_copy(update={"tables": [first.model_copy(update={"parts": ["tables/x"]}), *others]})

    def with_a_file_more(contents: Contents) -> Contents:
        first, *others = contents.encoders
        return contents.model_copy(
            update={"encoders": [first.model_copy(update={"files": [*first.files, "x.npy"]}), *others]}
        )

    rewrite(backup, tmp_path / "part.tar", with_a_part_more)
    assert_refused(tmp_path / "part.tar", tmp_path / "data", BackupDamagedError, "tables/x is not as it was written")
    rewrite(backup, tmp_path / "file.tar", with_a_file_more)
    assert_refused(tmp_path / "file.tar", tmp_path / "data", BackupDamagedError, "x.npy is not as it was written")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_damage_found_late_leaves_the_database_empty(
    kind: str, backup: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Encoders are restored last: by then every row is in."""
    content = bytearray(backup.read_bytes())
    with tarfile.open(backup) as tar:
        last = [member for member in tar.getmembers() if member.size and member.name.startswith("encoders/")][-1]
    content[last.offset_data] ^= 1
    (tmp_path / "late.tar").write_bytes(content)
    target = make_settings(tmp_path / "data")
    if kind == "postgresql":
        target = postgres_settings(request.getfixturevalue("postgres"), tmp_path / "data")
    with pytest.raises(BackupDamagedError, match="encoder"):
        restore_backup(tmp_path / "late.tar", target)
    assert files_of(target.data) == []
    restore_backup(backup, target)  # and nothing is in the way of the next
    assert read_all(target)["records"]


@pytest.mark.parametrize("content", [b"", b"nonsense" * 1000, b"SQLite format 3\0" + bytes(5000), bytes(20_000)])
def test_a_file_of_something_else_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    assert_refused(tmp_path / "x", tmp_path / "data", BackupDamagedError, "is no backup")


def test_another_tar_is_refused(backup: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("photo.jpg"), io.BytesIO())
    assert_refused(tmp_path / "photos.tar", tmp_path / "data", BackupDamagedError, "is no backup")
    with tarfile.open(backup) as tar, tarfile.open(tmp_path / "more.tar", "w") as more:
        for member in tar.getmembers():
            more.addfile(member, tar.extractfile(member))
        more.addfile(tarfile.TarInfo("tables/more"), io.BytesIO())
    assert_refused(tmp_path / "more.tar", tmp_path / "data", BackupDamagedError, "tables/more is not as it was written")


def test_no_file_is_named(tmp_path: Path) -> None:
    assert_refused(tmp_path / "nothing.tar", tmp_path / "data", BackupError, "nothing.tar cannot be read")
    assert_refused(tmp_path, tmp_path / "data", BackupError, "cannot be read")


def test_a_newer_schema_is_refused(backup: Path, tmp_path: Path) -> None:
    newer = {"schema_revision": "0999", "samesay_version": "9.9.9"}
    rewrite(backup, tmp_path / "newer.tar", lambda contents: contents.model_copy(update=newer))
    said = rf"schema 0999, written by samesay 9.9.9; this version knows schemas up to {head()}: install samesay 9.9.9"
    assert_refused(tmp_path / "newer.tar", tmp_path / "data", BackupVersionError, said)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    fields = {"format": "samesay-backup", "format_version": 7, "what is new": [1, 2, 3]}
    checksum = xxhash.xxh3_128_hexdigest(json.dumps(fields, sort_keys=True, indent=1).encode() + b"\n")
    manifest = json.dumps({**fields, "checksum": checksum}).encode()
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        member = tarfile.TarInfo("manifest.json")
        member.size = len(manifest)
        tar.addfile(member, io.BytesIO(manifest))
    said = "format samesay-backup 7, this samesay reads samesay-backup 1"
    assert_refused(tmp_path / "x.tar", tmp_path / "data", BackupVersionError, said)


_LATER = {
    ("changes", "tag"),
    *(("releases", name) for name in ("is_warm", "previous", "job", "report", "shadow_share", "shadow")),
    *(("encoders", name) for name in ("job", "removed_at")),
    ("kept_answers", "collection"),
    ("collections", "erasures"),
}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_older_schema_is_restored_and_upgraded(
    kind: str, backup: Path, source: Settings, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """At 0001, changes had no tag, no marks; releases were made elsewhere only; no jobs, feedback, keys, erasures."""
    older = {"schema_revision": "0001", "samesay_version": "0.0.9"}
    later = ("jobs", "job_events", "release_events", "feedback", "api_keys", "audit_log", "change_marks")
    rewrite(
        backup,
        tmp_path / "old.tar",
        lambda contents: contents.model_copy(update=older),
        drop=_LATER,
        leave_out=later,
    )
    target = make_settings(tmp_path / "data")
    if kind == "postgresql":
        target = postgres_settings(request.getfixturevalue("postgres"), tmp_path / "data")
    restore_backup(tmp_path / "old.tar", target)
    expected = read_all(source)
    assert [row[:4] for row in expected["changes"]] == [row[:4] for row in read_all(target)["changes"]]
    assert {row[4] for row in read_all(target)["changes"]} == {0}
    del expected["changes"]
    expected |= {name: [] for name in later}
    found = {name: rows for name, rows in read_all(target).items() if name != "changes"}
    assert _as_it_was(found) == _as_it_was(expected)


def _as_it_was(tables: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Rows of tables without the columns that came later."""
    columns = {name: [column.name for column in Base.metadata.tables[name].columns] for name in tables}
    return {
        name: [
            [value for column, value in zip(columns[name], row, strict=True) if (name, column) not in _LATER]
            for row in rows
        ]
        for name, rows in tables.items()
    }


@pytest.mark.parametrize("name", ["samesay.db", "samesay.db-wal", "collections"])
def test_a_folder_that_is_in_use_is_refused(name: str, backup: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_text("something")
    with pytest.raises(TargetNotEmptyError, match=rf"{tmp_path / 'data'} is in use already \({name}\)"):
        restore_backup(backup, make_settings(tmp_path / "data"))
    assert files_of(tmp_path / "data") == [name]
    assert (tmp_path / "data" / name).read_text() == "something"


def test_a_folder_whose_server_runs_is_refused(backup: Path, tmp_path: Path) -> None:
    with DataFolder(tmp_path / "data"):
        assert_refused(backup, tmp_path / "data", DataFolderBusyError, "is held by another server")


def test_a_postgres_database_with_rows_is_refused_and_kept(backup: Path, postgres: str, tmp_path: Path) -> None:
    target = postgres_settings(postgres, tmp_path / "data")
    migrate(target)
    database = open_database(target)
    mine = get_secret(database, DATABASE_ID)
    assert target.database_url is not None
    with psycopg.connect(target.database_url.get_secret_value()) as reader:
        reader.execute(f"ALTER DATABASE {reader.info.dbname} SET lock_timeout = '1s'")
        reader.commit()
        reader.execute("SELECT * FROM secrets")  # a restore by mistake must not stop whoever uses it
        with pytest.raises(TargetNotEmptyError, match=r"not empty \(secrets: 1\)"):
            restore_backup(backup, target)
    assert get_secret(database, DATABASE_ID) == mine
    database.close()


def test_a_postgres_database_of_another_program_is_refused_and_kept(
    backup: Path, postgres: str, tmp_path: Path
) -> None:
    target = postgres_settings(postgres, tmp_path / "data")
    assert target.database_url is not None
    with psycopg.connect(target.database_url.get_secret_value()) as connection:
        connection.execute("CREATE TABLE groups (name text)")
        connection.commit()
        with pytest.raises(TargetNotEmptyError, match=r"of another program \(groups\)"):
            restore_backup(backup, target)
        assert connection.execute("SELECT count(*) FROM groups").fetchone() == (0,)


def test_a_database_at_another_schema_is_not_backed_up(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "data")
    migrate(settings)
    with sqlite3.connect(tmp_path / "data" / "samesay.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(SchemaOutdatedError, match="schema 0001"):
        write_backup(settings, tmp_path / "x.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


@pytest.mark.parametrize("how", ["missing", "altered", "cut off", "longer"])
def test_an_encoder_that_is_not_whole_is_not_backed_up(how: str, tiny_bundle: Path, tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "data")
    populate(settings, tiny_bundle)
    (graph,) = (tmp_path / "data" / "encoders").glob("*/encoder.onnx")
    content = graph.read_bytes()
    wrong = {"altered": content[:-1] + b"!", "cut off": content[:-1], "longer": content + b"!"}
    graph.write_bytes(wrong[how]) if how in wrong else graph.unlink()
    with pytest.raises(BackupError, match=r"'tiny' cannot be backed up: .*encoder.onnx.*`samesay encoders add PATH"):
        write_backup(settings, tmp_path / "x.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_an_encoder_that_does_not_work_here_is_not_restored(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every byte is right, but this machine calculates something else."""
    monkeypatch.setattr("model.contract.bundle.PROBE_TOLERANCE", -1.0)
    assert_refused(backup, tmp_path / "data", SelfTestError, "probe vector is off")


def test_two_backups_never_write_one_file(source: Settings, backup: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.tar"

    def meanwhile(what: str, done: int, total: int) -> None:
        if what == "records":
            with pytest.raises(BackupError, match=r"another process is writing .*x.tar.part"):
                write_backup(source, file)

    write_backup(source, file, meanwhile)
    restore_backup(file, make_settings(tmp_path / "data"))
    assert read_all(make_settings(tmp_path / "data")) == read_all(source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "x.tar"]


def test_what_a_killed_backup_or_restore_left_is_cleared_away(source: Settings, backup: Path, tmp_path: Path) -> None:
    (tmp_path / "x.tar.part").write_bytes(b"half" * 100_000)
    write_backup(source, tmp_path / "x.tar")
    (tmp_path / "data" / ".restore" / "abc").mkdir(parents=True)
    (tmp_path / "data" / ".restore" / "samesay.db").write_bytes(b"half")
    restore_backup(tmp_path / "x.tar", make_settings(tmp_path / "data"))
    assert read_all(make_settings(tmp_path / "data")) == read_all(source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "x.tar"]
    names = sorted(path.name for path in (tmp_path / "data").iterdir())
    assert names == ["encoders", "lock", "samesay.db", "samesay.db-desk", "samesay.db-door"]


def test_a_backup_is_for_its_owner_alone(backup: Path) -> None:
    assert backup.stat().st_mode & 0o777 == 0o600
