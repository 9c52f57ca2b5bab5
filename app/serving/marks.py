"""How old the changes of the logs are, by marks that servers set now and then; and the removal of old ones."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, case, delete, func, insert, select
from sqlalchemy.orm import Session

from app.db.base import table_of
from app.record.tables import ChangeLogEntry, ChangeMark

AT_ONCE: Final = 2_000
"""Changes that a transaction removes, within some milliseconds."""

_CHANGES, _MARKS = table_of(ChangeLogEntry), table_of(ChangeMark)

# built once: see RecordWriter
_LOCKED: Final = (
    select(_MARKS.c.seq)
    .where(_MARKS.c.collection_id == bindparam("collection_id"), _MARKS.c.seq == bindparam("mark"))
    .with_for_update(skip_locked=True)
)
_FIRST: Final = (
    select(_CHANGES.c.seq)
    .where(_CHANGES.c.collection_id == bindparam("collection_id"), _CHANGES.c.seq >= bindparam("start"))
    .order_by(_CHANGES.c.seq)
    .limit(1)
)
_REMOVE: Final = delete(_CHANGES).where(
    _CHANGES.c.collection_id == bindparam("collection_id"),
    _CHANGES.c.seq >= bindparam("first"),
    _CHANGES.c.seq < bindparam("end"),
)


@dataclass(frozen=True, slots=True)
class Marks:
    """What is known of the age of a collection's changes.

    Attributes:
        seq: The newest mark.
        marked_at: When it was set.
        old: The newest mark that is old: every change up to it is. None where no mark is.
    """

    seq: int
    marked_at: datetime
    old: int | None


def read_marks(session: Session, before: datetime) -> dict[int, Marks]:
    """What is known, by collection_id; old is what was marked before a moment."""
    is_old = _MARKS.c.marked_at < before
    statement = select(
        _MARKS.c.collection_id,
        func.max(_MARKS.c.seq),
        func.max(_MARKS.c.marked_at),
        func.max(case((is_old, _MARKS.c.seq))),
    ).group_by(_MARKS.c.collection_id)
    return {row[0]: Marks(*row[1:]) for row in session.execute(statement)}


def set_mark(session: Session, collection_id: int, seq: int, marked_at: datetime, old: int | None) -> None:
    """Mark that the changes up to one were there at a moment, and forget the marks below `old`, which say no more."""
    session.execute(insert(_MARKS).values(collection_id=collection_id, seq=seq, marked_at=marked_at))
    if old is not None:
        session.execute(delete(_MARKS).where(_MARKS.c.collection_id == collection_id, _MARKS.c.seq < old))


def remove_some(session: Session, collection_id: int, start: int, below: int, mark: int) -> int | None:
    """Remove the oldest changes of a collection, in order: what is left has no gap.

    Args:
        session: Of the unit of work.
        collection_id: The collection's.
        start: There is no change below it.
        below: The first that must stay.
        mark: Locked meanwhile: who finds it locked by another server leaves the collection to that one.

    Returns:
        There is no change below it now; None where another server is at it, or has set other marks.
    """
    of_collection = {"collection_id": collection_id}
    if session.execute(_LOCKED, of_collection | {"mark": mark}).first() is None:
        return None
    first: int | None = session.scalars(_FIRST, of_collection | {"start": start}).first()
    if first is None or first >= below:
        return below
    end = min(first + AT_ONCE, below)
    session.execute(_REMOVE, of_collection | {"first": first, "end": end})
    return end
