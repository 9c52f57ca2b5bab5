"""What serving reads of the database: which releases are active, their records, and the change log."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, Select, Text, and_, cast, select
from sqlalchemy.orm import Session

from app.collection.tables import DEFAULT_TARGET_RECALL, Collection
from app.group.tables import Group
from app.record.tables import ChangeLogEntry, Record, Role
from app.release.tables import Release
from app.serving.entry import Entry
from app.serving.release_key import ReleaseKey

FETCHED: Final = 512
"""Rows read at a time, and so sentences encoded between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class ActiveRelease:
    """A release that shall serve, with its thresholds, its collection's settings and that one's last change."""

    key: ReleaseKey
    decision: dict[str, Any]
    settings: dict[str, Any]
    last_seq: int

    @property
    def target_recall(self) -> float:
        """index_recall@10 that its index is tuned for."""
        wanted: float = self.settings.get("target_index_recall", DEFAULT_TARGET_RECALL)
        return wanted


@dataclass(frozen=True, slots=True)
class ChangedRecords:
    """Some changes of the log, with the rows as they are now.

    Attributes:
        last_seq: Of the last change that is in here.
        last_tag: What the log knows that change by.
        entries: Searchable rows by record_id.
        gone: record_ids of rows that are deleted or not to be found.
    """

    last_seq: int
    last_tag: int
    entries: dict[int, Entry]
    gone: list[int]


class LogTrimmedError(Exception):
    """The change log no longer reaches back to the sequence number: only a rebuild helps."""


def list_active(session: Session) -> list[ActiveRelease]:
    """The active release of every collection."""
    on = and_(Release.collection_id == Collection.id, Release.number == Collection.active_release)
    statement = select(
        Collection.id, Collection.name, Release.id, Release.number, Release.encoder_sha, Release.decision,
        Collection.settings, Collection.last_seq,
    ).join(Release, on).order_by(Collection.id)  # fmt: skip
    return [
        ActiveRelease(
            ReleaseKey(collection_id=row[0], collection=row[1], release_id=row[2], number=row[3], encoder_sha=row[4]),
            *row[5:],
        )
        for row in session.execute(statement)
    ]


def read_all(session: Session, collection_id: int) -> Iterator[list[tuple[int, Entry]]]:
    """Every searchable row, some at a time, oldest first."""
    statement = _entries().where(Record.collection_id == collection_id, Record.role == Role.EXAMPLE)
    ordered = statement.order_by(Record.record_id).execution_options(yield_per=FETCHED)
    for part in session.execute(ordered).partitions():
        yield [_to_entry(row) for row in part]


def read_last(session: Session, collection_id: int) -> tuple[int, int]:
    """The last sequence number, and the tag of that change; 0 and 0 before the first."""
    last_seq = _last_seq(session, collection_id)
    return last_seq, find_tag(session, collection_id, last_seq) or 0


def find_tag(session: Session, collection_id: int, seq: int) -> int | None:
    """What the log knows a change by; None where it is not in the log, and 0 before the first change."""
    if seq == 0:
        return 0
    statement = select(ChangeLogEntry.tag).where(
        ChangeLogEntry.collection_id == collection_id, ChangeLogEntry.seq == seq
    )
    return session.scalars(statement).one_or_none()


def read_changes(session: Session, collection_id: int, after: int, limit: int) -> ChangedRecords | None:
    """The next changes past a sequence number, None where there are none.

    Raises:
        LogTrimmedError: The very next one is no longer in the log.
    """
    statement = (
        select(ChangeLogEntry.seq, ChangeLogEntry.record_id, ChangeLogEntry.tag)
        .where(ChangeLogEntry.collection_id == collection_id, ChangeLogEntry.seq > after)
        .order_by(ChangeLogEntry.seq)
        .limit(limit)
    )
    changes = session.execute(statement).all()
    if not changes and _last_seq(session, collection_id) <= after:
        return None
    if not changes or changes[0][0] != after + 1:
        raise LogTrimmedError(f"change {after + 1} is no longer in the log")
    ids = {record_id for _, record_id, _ in changes}
    statement_now = _entries().where(Record.record_id.in_(ids), Record.role == Role.EXAMPLE)
    entries = dict(_to_entry(row) for row in session.execute(statement_now))
    return ChangedRecords(changes[-1][0], changes[-1][2], entries, sorted(ids - entries.keys()))


def _last_seq(session: Session, collection_id: int) -> int:
    return session.scalars(select(Collection.last_seq).where(Collection.id == collection_id)).one_or_none() or 0


def _entries() -> Select[int, str, str, str, str]:
    # the metadata as it is stored, not parsed: few answers need it
    metadata = cast(Record.metadata_, Text)
    columns = (Record.record_id, Record.id, Record.text, Group.key, metadata)
    return select(*columns).outerjoin(Group, Group.id == Record.group_id)


def _to_entry(row: Row[int, str, str, str, str]) -> tuple[int, Entry]:
    record_id, key, text, group, metadata = row
    return record_id, Entry(key, text, group, metadata.encode())
