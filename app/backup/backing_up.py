"""From a database and its encoders to a backup: every table in one read transaction, while others write."""

import gzip
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy import Row, Table, func, select, text
from sqlalchemy.orm import Session

from app.backup.archive import ArchiveWriter
from app.backup.manifest import ColumnEntry, Contents, Counter, EncoderEntry, TableEntry
from app.backup.progress import Tell
from app.backup.values import kind_of, selected, to_lines
from app.db import migrating
from app.db.database import Database
from app.errors import BackupError
from app.secrets_table import DATABASE_ID
from app.tables import Base, Encoder, Secret
from model.contract.errors import BundleDamagedError
from model.contract.manifest import MANIFEST_FILE, Manifest

PART_BYTES: Final = 4 << 20
"""Of lines, before they are compressed, from which a member ends: so much, and one row more, is held in memory."""

_ROWS: Final = 2_000
"""Fetched at once."""

_LEVEL: Final = 1
"""Of gzip: the next ones take far longer for a tenth of the size."""


def back_up(database: Database, encoders: Path, archive: ArchiveWriter, tell: Tell) -> Contents:
    """Write a backup.

    Args:
        database: At this version's schema.
        encoders: Folder of the bundles, DATA/encoders.
        archive: What to write it to; it is finished here.
        tell: Told how far it is.

    Returns:
        What is in it.

    Raises:
        SchemaOutdatedError: The database is at another schema.
        BackupError: An encoder's bundle is not there or not whole.
        OSError: The file cannot be written.
    """
    contents = database.read(lambda session: _write_all(session, encoders, archive, tell))
    archive.finish(contents)
    return contents


def _write_all(session: Session, folder: Path, archive: ArchiveWriter, tell: Tell) -> Contents:
    migrating.check_connection(session.connection())
    database_id = session.scalars(select(Secret.value).where(Secret.name == DATABASE_ID)).first()
    encoders = _list_encoders(session)
    _write_bundles(archive, folder, encoders, tell)  # before the tables, which take long: servers remove old bundles
    return Contents(
        samesay_version=version("samesay"),
        schema_revision=migrating.head(),
        created_at=datetime.now(UTC),
        database_kind=session.get_bind().dialect.name,
        database_id=None if database_id is None else database_id.hex(),
        tables=[_write_table(session, table, archive, tell) for table in Base.metadata.sorted_tables],
        encoders=encoders,
    )


def _list_encoders(session: Session) -> list[EncoderEntry]:
    return [
        EncoderEntry(sha=encoder.sha, name=encoder.name, files=[MANIFEST_FILE, *encoder.manifest["files"]])
        for encoder in session.scalars(select(Encoder).where(Encoder.removed_at.is_(None)).order_by(Encoder.sha))
    ]


def _write_table(session: Session, table: Table, archive: ArchiveWriter, tell: Tell) -> TableEntry:
    total = session.scalars(select(func.count()).select_from(table)).one()
    parts: list[str] = []
    n_rows = 0
    tell(table.name, 0, total)
    for lines, n_lines in _parts(session, table):
        parts.append(f"tables/{table.name}/{len(parts):06}.ndjson.gz")
        archive.add(parts[-1], gzip.compress(lines, _LEVEL, mtime=0))
        n_rows += n_lines
        tell(table.name, n_rows, total)
    return TableEntry(
        name=table.name,
        columns=[ColumnEntry(name=column.name, kind=kind_of(column)) for column in table.columns],
        rows=n_rows,
        parts=parts,
        counter=_find_counter(session, table),
    )


def _parts(session: Session, table: Table) -> Iterator[tuple[bytearray, int]]:
    """The rows in the order of the primary key, as lines, and how many there are; some megabytes at a time."""
    kinds = [kind_of(column) for column in table.columns]
    lines, n_lines = bytearray(), 0
    for rows in _fetched(session, table):
        for line in to_lines(rows, kinds):
            lines += line
            n_lines += 1
            if len(lines) >= PART_BYTES:
                yield lines, n_lines
                lines, n_lines = bytearray(), 0
    if lines:
        yield lines, n_lines


def _fetched(session: Session, table: Table) -> Iterator[list[Row[Any]]]:
    statement = select(*map(selected, table.columns)).order_by(*table.primary_key.columns)
    yield from map(list, session.execute(statement, execution_options={"yield_per": _ROWS}).partitions())


def _find_counter(session: Session, table: Table) -> Counter | None:
    column = table.autoincrement_column
    if column is None:
        return None
    highest = session.scalars(select(func.max(column))).one() or 0
    given = _SEQUENCES[session.get_bind().dialect.name](session, table.name, column.name)
    return Counter(column=column.name, last=max(highest, given))


def _last_of_sqlite(session: Session, table: str, _: str) -> int:
    statement = text("SELECT seq FROM sqlite_sequence WHERE name = :table")
    return int(session.scalars(statement, {"table": table}).first() or 0)


def _last_of_postgres(session: Session, table: str, column: str) -> int:
    sequence = session.scalars(func.pg_get_serial_sequence(table, column).select()).one()
    last, is_called = session.execute(text(f"SELECT last_value, is_called FROM {sequence}")).one()
    return int(last) if is_called else 0


_SEQUENCES: Final = {"sqlite": _last_of_sqlite, "postgresql": _last_of_postgres}


def _write_bundles(archive: ArchiveWriter, folder: Path, encoders: list[EncoderEntry], tell: Tell) -> None:
    for done, encoder in enumerate(encoders):
        tell("bundles", done, len(encoders))
        _write_bundle(archive, folder / encoder.sha, encoder)
    tell("bundles", len(encoders), len(encoders))


def _write_bundle(archive: ArchiveWriter, folder: Path, encoder: EncoderEntry) -> None:
    """Copy a bundle, and make sure on the way that it is whole."""
    try:
        raw = (folder / MANIFEST_FILE).read_bytes()
        if hashlib.sha256(raw).hexdigest() != encoder.sha:
            raise BundleDamagedError(f"{folder / MANIFEST_FILE} was altered")
        archive.add(_member(encoder, MANIFEST_FILE), raw)
        for name, entry in Manifest.model_validate_json(raw).files.items():
            _write_file(archive, folder / name, _member(encoder, name), entry.bytes, entry.sha256)
    except FileNotFoundError as error:
        raise _unusable(encoder, f"{error.filename} is not there") from None
    except (BundleDamagedError, ValidationError) as error:
        raise _unusable(encoder, str(error)) from None


def _write_file(archive: ArchiveWriter, path: Path, member: str, size_bytes: int, sha256: str) -> None:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if path.stat().st_size == size_bytes:
            archive.add_stream(member, file, size_bytes, digest)
    if digest.hexdigest() != sha256:
        raise BundleDamagedError(f"{path} was altered")


def _member(encoder: EncoderEntry, name: str) -> str:
    return f"encoders/{encoder.sha}/{name}"


def _unusable(encoder: EncoderEntry, reason: str) -> BackupError:
    return BackupError(
        f"the encoder {encoder.name!r} cannot be backed up: {reason}; add the original again with "
        f"`samesay encoders add PATH --name {encoder.name}`, or give the --data folder of a server that has it"
    )
