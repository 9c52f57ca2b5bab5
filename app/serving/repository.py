"""What serving reads of the database: which releases are active, their records, and the change log."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, and_, func, select
from sqlalchemy.orm import Session

from app.collection.tables import Collection
from app.group.tables import Group
from app.record.tables import ChangeLogEntry, Record, Role
from app.release.tables import Release
from app.serving.catalogue import Entry
from app.serving.release import ReleaseKey

_FETCHED: Final = 5000


@dataclass(frozen=True, slots=True)
class ActiveRelease:
    """A release that shall serve, with its thresholds and the last change of its collection."""

    key: ReleaseKey
    decision: dict[str, Any]
    last_seq: int


@dataclass(frozen=True, slots=True)
class ChangedRecords:
    """Some changes of the log, with the rows as they are now.

    Attributes:
        last_seq: Of the last change that is in here.
        entries: Searchable rows by record_id.
        gone: record_ids of rows that are deleted or not to be found.
    """

    last_seq: int
    entries: dict[int, Entry]
    gone: list[int]


class LogTrimmedError(Exception):
    """The change log no longer reaches back to the sequence number: only a rebuild helps."""


def list_active(session: Session) -> list[ActiveRelease]:
    """The active release of every collection."""
    on = and_(Release.collection_id == Collection.id, Release.number == Collection.active_release)
    statement = select(
        Collection.id, Collection.name, Release.id, Release.number, Release.encoder_sha, Release.decision,
        Collection.last_seq,
    ).join(Release, on).order_by(Collection.id)  # fmt: skip
    return [
        ActiveRelease(
            ReleaseKey(collection_id=row[0], collection=row[1], release_id=row[2], number=row[3], encoder_sha=row[4]),
            row[5],
            row[6],
        )
        for row in session.execute(statement)
    ]


def read_all(session: Session, collection_id: int) -> tuple[int, dict[int, Entry]]:
    """The last sequence number, and every searchable row as of it."""
    last_seq = _last_seq(session, collection_id)
    statement = _entries().where(Record.collection_id == collection_id, Record.role == Role.EXAMPLE)
    return last_seq, dict(_fetch(session, statement))


def read_changed_ids(session: Session, collection_id: int, after: int) -> set[int]:
    """Records that changed past a sequence number.

    Raises:
        LogTrimmedError: Some of those changes are no longer in the log.
    """
    last_seq = _last_seq(session, collection_id)
    of_collection = and_(ChangeLogEntry.collection_id == collection_id, ChangeLogEntry.seq > after)
    if session.scalars(select(func.count()).select_from(ChangeLogEntry).where(of_collection)).one() != last_seq - after:
        raise LogTrimmedError(f"the log does not hold every change from {after + 1} to {last_seq}")
    return set(session.scalars(select(ChangeLogEntry.record_id).where(of_collection)))


def read_changes(session: Session, collection_id: int, after: int, limit: int) -> ChangedRecords | None:
    """The next changes past a sequence number, None where there are none.

    Raises:
        LogTrimmedError: The very next one is no longer in the log.
    """
    statement = (
        select(ChangeLogEntry.seq, ChangeLogEntry.record_id)
        .where(ChangeLogEntry.collection_id == collection_id, ChangeLogEntry.seq > after)
        .order_by(ChangeLogEntry.seq)
        .limit(limit)
    )
    changes = session.execute(statement).all()
    if not changes and _last_seq(session, collection_id) <= after:
        return None
    if not changes or changes[0][0] != after + 1:
        raise LogTrimmedError(f"change {after + 1} is no longer in the log")
    ids = {record_id for _, record_id in changes}
    statement_now = _entries().where(Record.record_id.in_(ids), Record.role == Role.EXAMPLE)
    entries = dict(_fetch(session, statement_now))
    return ChangedRecords(changes[-1][0], entries, sorted(ids - entries.keys()))


def _last_seq(session: Session, collection_id: int) -> int:
    return session.scalars(select(Collection.last_seq).where(Collection.id == collection_id)).one_or_none() or 0


def _entries() -> Select[int, str, str, str]:
    return select(Record.record_id, Record.id, Record.text, Group.key).outerjoin(Group, Group.id == Record.group_id)


def _fetch(session: Session, statement: Select[int, str, str, str]) -> Iterator[tuple[int, Entry]]:
    for record_id, key, text, group in session.execute(statement.execution_options(yield_per=_FETCHED)):
        yield record_id, Entry(key, text, group)
