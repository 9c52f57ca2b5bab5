"""From a backup to a database and its encoders: verified before anything is believed, and there whole or not at all."""

import gzip
import shutil
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from app.backup.archive import ArchiveReader
from app.backup.manifest import EncoderEntry, TableEntry
from app.backup.progress import Tell
from app.backup.targets import Target
from app.backup.values import from_lines
from app.data_layout import encoders_folder, of_one_database
from app.db import migrating
from app.encoder.store import EncoderStore
from app.errors import BackupDamagedError, BackupVersionError, TargetNotEmptyError
from model.contract.bundle import load_bundle

_ROWS: Final = 2_000
"""Inserted at once."""


def restore(archive: ArchiveReader, target: Target, data: Path, tell: Tell) -> None:
    """Restore a backup.

    Args:
        archive: The backup.
        target: The database.
        data: The data folder; it is ours.
        tell: Told how far it is.

    Raises:
        BackupError: The backup is damaged or too new, or something is there already. Nothing was restored.
        BundleError: An encoder cannot be used here. Nothing was restored.
    """
    _check_version(archive)
    _check_folder(data)
    scratch = data / ".restore"
    shutil.rmtree(scratch, ignore_errors=True)  # of a restore that was killed
    scratch.mkdir()
    try:
        with target.filling(scratch) as connection:
            _fill(connection, archive, target, tell)
            store = EncoderStore(encoders_folder(data))
            encoders = archive.contents.encoders
            for done, encoder in enumerate(encoders):
                tell("bundles", done, len(encoders))
                _restore_bundle(archive, encoder, store, scratch)
            tell("bundles", len(encoders), len(encoders))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _check_version(archive: ArchiveReader) -> None:
    """Refuse a backup of a schema that this version does not know."""
    contents = archive.contents
    if contents.schema_revision not in migrating.revisions():
        raise BackupVersionError(
            f"{archive.path} is of schema {contents.schema_revision}, written by samesay {contents.samesay_version}; "
            f"this version knows schemas up to {migrating.head()}: "
            f"install samesay {contents.samesay_version} or a newer one"
        )


def _check_folder(data: Path) -> None:
    """Refuse a data folder that is or was some database's.

    Raises:
        TargetNotEmptyError: Naming what is there.
    """
    found = [path.name for path in of_one_database(data) if path.exists()]
    if found:
        raise TargetNotEmptyError(f"{data} is in use already ({', '.join(found)}): give an empty --data folder")


def _fill(connection: Connection, archive: ArchiveReader, target: Target, tell: Tell) -> None:
    """Every table, at the schema that the backup is of; then what has changed in the schema since."""
    contents = archive.contents
    migrating.upgrade_to(connection, contents.schema_revision)
    for table in contents.tables:
        _fill_table(connection, archive, table, target, tell)
    for table in contents.tables:
        if table.counter is not None:
            target.count_on(connection, table.name, table.counter)
    migrating.upgrade_to(connection, migrating.head())
    target.settle(connection)


def _fill_table(connection: Connection, archive: ArchiveReader, table: TableEntry, target: Target, tell: Tell) -> None:
    kinds = [column.kind for column in table.columns]
    n_rows = 0
    tell(table.name, 0, table.rows)
    for part in table.parts:
        lines = gzip.decompress(archive.read(part)).splitlines()
        for start in range(0, len(lines), _ROWS):
            target.insert(connection, table, from_lines(lines[start : start + _ROWS], kinds))
        n_rows += len(lines)
        tell(table.name, n_rows, table.rows)
    if n_rows != table.rows:
        raise BackupDamagedError(f"{archive.path} holds {n_rows} rows of {table.name}, its manifest says {table.rows}")


def _restore_bundle(archive: ArchiveReader, encoder: EncoderEntry, store: EncoderStore, scratch: Path) -> None:
    """Unpack a bundle, verify it as `samesay encoders add` does, and copy it to its place."""
    folder = scratch / encoder.sha
    folder.mkdir()
    for name in encoder.files:
        archive.copy(f"encoders/{encoder.sha}/{name}", folder / name)
    bundle = load_bundle(folder)
    if bundle.sha != encoder.sha:
        raise BackupDamagedError(f"{archive.path} holds encoder {bundle.sha} in the place of {encoder.sha}")
    store.copy(bundle)
    shutil.rmtree(folder)
