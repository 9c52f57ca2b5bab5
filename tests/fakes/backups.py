"""What `samesay backup` and `samesay restore` do, in this process; and backups as another version may write them."""

import gzip
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import orjson

from app.backup.archive import ArchiveReader, ArchiveWriter
from app.backup.backing_up import back_up
from app.backup.manifest import Contents
from app.backup.restoring import restore
from app.backup.targets import PostgresTarget, SqliteTarget
from app.data_folder import DataFolder
from app.db import migrating
from app.db.opening import connect_database
from app.settings import Settings
from tests.fakes.populated import everything


def write_backup(settings: Settings, file: Path, tell: Callable[[str, int, int], None] = lambda *_: None) -> None:
    """Back up."""
    database = connect_database(settings)
    try:
        with ArchiveWriter(file) as archive:
            back_up(database, settings.data / "encoders", archive, tell)
    finally:
        database.close()


def restore_backup(file: Path, settings: Settings) -> None:
    """Restore."""
    with ArchiveReader(file) as archive, DataFolder(settings.data):
        if settings.database_url is None:
            restore(archive, SqliteTarget(settings.data / "samesay.db"), settings.data, lambda *_: None)
            return
        database = connect_database(settings)
        try:
            restore(archive, PostgresTarget(database.engine), settings.data, lambda *_: None)
        finally:
            database.close()


def read_all(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """`everything`, of a database at this version's schema."""
    database = connect_database(settings)
    try:
        migrating.check(database.engine)
        return everything(database)
    finally:
        database.close()


def rewrite(
    file: Path,
    target: Path,
    change: Callable[[Contents], Contents],
    drop: Collection[tuple[str, str]] = (),
    leave_out: Collection[str] = (),
) -> None:
    """A backup with other contents, whole in itself, perhaps without some columns, or without some tables."""
    with ArchiveReader(file) as source, ArchiveWriter(target) as archive:
        kept = [table for table in source.contents.tables if table.name not in leave_out]
        contents = source.contents.model_copy(update={"tables": kept})
        for table in contents.tables:
            kept_at = [at for at, column in enumerate(table.columns) if (table.name, column.name) not in drop]
            for part in table.parts:
                archive.add(part, _only(source.read(part), kept_at))
        for encoder in contents.encoders:
            for name in encoder.files:
                member = f"encoders/{encoder.sha}/{name}"
                archive.add(member, source.read(member))
        tables = [
            table.model_copy(
                update={"columns": [column for column in table.columns if (table.name, column.name) not in drop]}
            )
            for table in contents.tables
        ]
        contents = contents.model_copy(update={"tables": tables})
        archive.finish(change(contents))


def _only(content: bytes, kept_at: Sequence[int]) -> bytes:
    rows = [orjson.loads(line) for line in gzip.decompress(content).splitlines()]
    return gzip.compress(b"".join(orjson.dumps([row[at] for at in kept_at]) + b"\n" for row in rows))
