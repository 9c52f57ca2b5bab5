"""Finding the records of a group: the index by group lies in parts."""

from typing import Final

from sqlalchemy import ColumnElement, func, literal_column, select
from sqlalchemy.orm import Session

from app.record.tables import PART, PART_BITS, Record

_PART: Final[ColumnElement[int]] = literal_column(PART)

_ENDS: Final = select(
    select(func.min(Record.record_id)).scalar_subquery(), select(func.max(Record.record_id)).scalar_subquery()
)


def in_any_part(session: Session) -> ColumnElement[bool]:
    """True of every record, in the words of the index by group: a statement that asks for groups is to say it too.

    One that also asks for the collection is to say `collection_id + 0`: SQLite would take the index by collection.

    Args:
        session: That the statement is for.
    """
    first, last = session.execute(_ENDS).one()
    return _PART.in_(range(0) if first is None else range(first >> PART_BITS, (last >> PART_BITS) + 1))
