"""What serving reads of the database: which releases it shall hold, their records, and the change log."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, Text, and_, bindparam, cast, func, or_, select
from sqlalchemy.orm import Session

from app.collection.tables import DEFAULT_TARGET_RECALL, Collection
from app.db.base import table_of
from app.feedback.keeping import FeedbackSettings, KeepQueries
from app.group.tables import Group
from app.record.tables import ChangeLogEntry, Record, Role
from app.release.tables import Release
from app.serving.catalogue.entry import NO_METADATA, Entry
from app.serving.release_key import ReleaseKey

FETCHED: Final = 512
"""Rows read at a time, and so sentences encoded between two looks at the clock."""

_COLLECTIONS, _RELEASES, _GROUPS = table_of(Collection), table_of(Release), table_of(Group)
_RECORDS, _CHANGES = table_of(Record), table_of(ChangeLogEntry)

# built once: see RecordWriter
_IS_ACTIVE: Final = _RELEASES.c.number == _COLLECTIONS.c.active_release
_WANTED: Final = (
    select(
        _COLLECTIONS.c.id, _COLLECTIONS.c.name, _RELEASES.c.id, _RELEASES.c.number, _RELEASES.c.encoder_sha,
        _RELEASES.c.decision, _COLLECTIONS.c.settings, _COLLECTIONS.c.last_seq, _IS_ACTIVE, _RELEASES.c.shadow_share,
        _COLLECTIONS.c.erasures,
    )
    .join(_RELEASES, and_(_RELEASES.c.collection_id == _COLLECTIONS.c.id, or_(_IS_ACTIVE, _RELEASES.c.is_warm)))
    .order_by(_COLLECTIONS.c.id, _RELEASES.c.id)
)  # fmt: skip
_CHANGES_AFTER: Final = (
    select(_CHANGES.c.seq, _CHANGES.c.record_id, _CHANGES.c.tag)
    .where(_CHANGES.c.collection_id == bindparam("collection_id"), _CHANGES.c.seq > bindparam("after"))
    .order_by(_CHANGES.c.seq)
    .limit(bindparam("limit"))
)
_ENTRIES: Final = (
    # the metadata as it is stored, not parsed: few answers need it
    select(_RECORDS.c.record_id, _RECORDS.c.id, _RECORDS.c.text, _GROUPS.c.key, cast(_RECORDS.c.metadata, Text))
    .outerjoin(_GROUPS, _GROUPS.c.id == _RECORDS.c.group_id)
    .where(_RECORDS.c.role == Role.EXAMPLE)
)
_ENTRIES_OF: Final = _ENTRIES.where(_RECORDS.c.record_id.in_(bindparam("ids", expanding=True)))


@dataclass(frozen=True, slots=True)
class WantedRelease:
    """A release that shall be in memory.

    Attributes:
        decision: Its thresholds.
        settings: Of its collection.
        last_seq: The collection's last change.
        is_active: Whether it answers; others are kept up to date, to answer within a moment.
        shadow_share: Share of the queries that it is asked beside the one that answers, if any.
        erasures: How often texts of its collection were erased.
    """

    key: ReleaseKey
    decision: dict[str, Any]
    settings: dict[str, Any]
    last_seq: int
    is_active: bool
    shadow_share: float | None
    erasures: int

    @property
    def target_recall(self) -> float:
        """index_recall@10 that its index is tuned for."""
        wanted: float = self.settings.get("target_index_recall", DEFAULT_TARGET_RECALL)
        return wanted

    @property
    def keeping(self) -> FeedbackSettings | None:
        """Which queries to keep; None for none."""
        wanted = FeedbackSettings.of(self.settings)
        return None if wanted.keep_queries is KeepQueries.OFF else wanted


@dataclass(frozen=True, slots=True)
class ChangedRecords:
    """Some changes of the log, with the rows as they are now.

    Attributes:
        last_seq: Of the last change that is in here.
        known_seq: The newest change of the log: the rows may show any change up to it.
        tag: What the log knows that one by.
        entries: Searchable rows by record_id.
        gone: record_ids of rows that are deleted or not to be found.
    """

    last_seq: int
    known_seq: int
    tag: int
    entries: dict[int, Entry]
    gone: list[int]


class LogTrimmedError(Exception):
    """The change log does not go on from where somebody is: it was trimmed, or the database has lost its end since, as
    after a failover. A snapshot of this history helps, or a rebuild.
    """


def find_active(session: Session, collection_id: int) -> WantedRelease | None:
    """The release of a collection that answers; None where the collection is gone."""
    rows = session.execute(_WANTED.where(_COLLECTIONS.c.id == collection_id, _IS_ACTIVE))
    return next(map(_wanted, rows), None)


def list_wanted(session: Session) -> list[WantedRelease]:
    """The active release of every collection, and those that are kept warm beside it."""
    return [_wanted(row) for row in session.execute(_WANTED)]


def read_all(session: Session, collection_id: int) -> Iterator[list[tuple[int, Entry]]]:
    """Every searchable row, some at a time, oldest first."""
    statement = _ENTRIES.where(_RECORDS.c.collection_id == collection_id).order_by(_RECORDS.c.record_id)
    for part in session.execute(statement.execution_options(yield_per=FETCHED)).partitions():
        yield [_to_entry(row) for row in part]


def count_all(session: Session, collection_id: int) -> int:
    """How many searchable rows there are."""
    of_collection = (_RECORDS.c.collection_id == collection_id, _RECORDS.c.role == Role.EXAMPLE)
    return session.scalars(select(func.count()).select_from(_RECORDS).where(*of_collection)).one()


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


def reaches_back(session: Session, collection_id: int, seq: int) -> bool:
    """Whether the log has every change past a sequence number."""
    return _last_seq(session, collection_id) <= seq or find_tag(session, collection_id, seq + 1) is not None


def read_changes(
    session: Session, collection_id: int, after: int, limit: int, known_seq: int, tag: int
) -> ChangedRecords | None:
    """The next changes past a sequence number, None where there are none.

    Args:
        session: Of the unit of work.
        collection_id: The collection's.
        after: The sequence number.
        limit: Changes at most.
        known_seq: The newest change that the caller has seen.
        tag: What the log knew that one by.

    Raises:
        LogTrimmedError: The very next one is no longer in the log, or the newest seen is not in it.
    """
    if find_tag(session, collection_id, known_seq) != tag:
        raise LogTrimmedError(f"change {known_seq}, which was seen, is not in the log, or another one now")
    parameters = {"collection_id": collection_id, "after": after, "limit": limit}
    changes = session.execute(_CHANGES_AFTER, parameters).all()
    if not changes and _last_seq(session, collection_id) <= after:
        return None
    if not changes or changes[0][0] != after + 1:
        raise LogTrimmedError(f"change {after + 1} is no longer in the log")
    ids = {record_id for _, record_id, _ in changes}
    entries = dict(_to_entry(row) for row in session.execute(_ENTRIES_OF, {"ids": list(ids)}))
    last_seq, _, tag = changes[-1]
    # the rows are as of the end of the log, which is past these changes where there are more
    known_seq, tag = (last_seq, tag) if len(changes) < limit else read_last(session, collection_id)
    return ChangedRecords(last_seq, known_seq, tag, entries, sorted(ids - entries.keys()))


def _last_seq(session: Session, collection_id: int) -> int:
    return session.scalars(select(Collection.last_seq).where(Collection.id == collection_id)).one_or_none() or 0


def _wanted(row: Sequence[Any]) -> WantedRelease:
    key = ReleaseKey(collection_id=row[0], collection=row[1], release_id=row[2], number=row[3], encoder_sha=row[4])
    return WantedRelease(key, *row[5:])


def _to_entry(row: Row[int, str, str, str, str]) -> tuple[int, Entry]:
    record_id, key, text, group, metadata = row
    return record_id, Entry(key, text, group, NO_METADATA if metadata == "{}" else metadata.encode())
