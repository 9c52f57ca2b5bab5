"""What `samesay backup` and `samesay restore` do, in this process; and backups as another version may write them."""

import gzip
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import orjson

from app import migrating
from app.backup.archive import ArchiveReader, ArchiveWriter
from app.backup.backing_up import back_up
from app.backup.manifest import Contents
from app.backup.restoring import restore
from app.backup.targets import PostgresTarget, SqliteTarget
from app.data_folder import DataFolder
from app.databases import connect_database
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
    drop: tuple[str, str] | None = None,
    leave_out: Collection[str] = (),
) -> None:
    """A backup with other contents, whole in itself, perhaps without a column of a table, or without some tables."""
    with ArchiveReader(file) as source, ArchiveWriter(target) as archive:
        kept = [table for table in source.contents.tables if table.name not in leave_out]
        contents = source.contents.model_copy(update={"tables": kept})
        for table in contents.tables:
            at = [column.name for column in table.columns].index(drop[1]) if drop and table.name == drop[0] else None
            for part in table.parts:
                content = source.read(part)
                archive.add(part, content if at is None else _without(content, at))
        for encoder in contents.encoders:
            for name in encoder.files:
                member = f"encoders/{encoder.sha}/{name}"
                archive.add(member, source.read(member))
        if drop is not None:
            tables = [
                table.model_copy(
                    update={"columns": [column for column in table.columns if (table.name, column.name) != drop]}
                )
                for table in contents.tables
            ]
            contents = contents.model_copy(update={"tables": tables})
        archive.finish(change(contents))


def _without(content: bytes, at: int) -> bytes:
    rows = [orjson.loads(line) for line in gzip.decompress(content).splitlines()]
    return gzip.compress(b"".join(orjson.dumps(row[:at] + row[at + 1 :]) + b"\n" for row in rows))
