"""Feedback and kept queries in the database."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.orm import Session

from app.collection.tables import Collection
from app.errors import NotFoundError
from app.feedback.keeping import FeedbackSettings
from app.feedback.tables import Feedback, FeedbackSource, FeedbackState, Verdict

_NO_SYNC: Final = {"synchronize_session": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackFilter:
    """Which items a list shows; None for all."""

    state: FeedbackState | None = None
    verdict: Verdict | None = None
    source: FeedbackSource | None = None

    def __str__(self) -> str:
        """Names the list, for its cursors."""
        return f"{self.state}/{self.verdict}/{self.source}"


class FeedbackRepository:
    """Reads and writes the items of one collection.

    Args:
        session: Of the unit of work.
        collection_id: The collection's.
    """

    def __init__(self, session: Session, collection_id: int) -> None:
        self._session = session
        self._collection_id = collection_id

    def add(self, items: Iterable[Feedback]) -> None:
        """Store new ones."""
        self._session.add_all(items)
        self._session.flush()

    def get(self, key: str) -> Feedback:
        """One item, or raise NotFoundError."""
        found = self.find_all([key]).get(key)
        if found is None:
            raise no_feedback(key)
        return found

    def find_all(self, keys: Sequence[str]) -> dict[str, Feedback]:
        """The items that there are of these keys."""
        statement = select(Feedback).where(self._is_own(), Feedback.key.in_(keys))
        return {item.key: item for item in self._session.scalars(statement)}

    def list_page(self, wanted: FeedbackFilter, after: int, limit: int) -> list[Feedback]:
        """Up to `limit` items past the id `after`, oldest first."""
        statement = select(Feedback).where(self._is_own(), Feedback.id > after)
        if wanted.state is not None:
            statement = statement.where(Feedback.state == wanted.state)
        if wanted.verdict is not None:
            statement = statement.where(Feedback.verdict == wanted.verdict)
        if wanted.source is not None:
            statement = statement.where(Feedback.source == wanted.source)
        return list(self._session.scalars(statement.order_by(Feedback.id).limit(limit)))

    def list_pending(self, most: int) -> list[Feedback]:
        """Items that wait: those asked most often, and of these the newest."""
        statement = select(Feedback).where(self._is_own(), Feedback.state == FeedbackState.PENDING)
        order = (Feedback.count.desc(), Feedback.last_seen_at.desc(), Feedback.id.desc())
        return list(self._session.scalars(statement.order_by(*order).limit(most)))

    def count_pending(self) -> int:
        """How many items wait."""
        statement = select(func.count()).where(self._is_own(), Feedback.state == FeedbackState.PENDING)
        return self._session.scalars(statement).one()

    def delete(self, item: Feedback) -> None:
        """Delete one item; what it became stays."""
        self._session.delete(item)
        self._session.flush()

    def forget(self, text_keys: Iterable[str], records: Sequence[str] = ()) -> list[tuple[int, str | None]]:
        """Delete every item that has one of these texts or became one of these records.

        Returns:
            The id of each, and the record it became.
        """
        concerned = or_(Feedback.text_key.in_(list(text_keys)), Feedback.record.in_(records))
        found = self._session.execute(select(Feedback.id, Feedback.record).where(self._is_own(), concerned)).all()
        self._delete([row[0] for row in found])
        return [(row[0], row[1]) for row in found]

    def find_kept(self, text_keys: Iterable[str]) -> dict[str, Feedback]:
        """The kept queries of these texts, by their text keys."""
        statement = select(Feedback).where(
            self._is_own(), Feedback.source == FeedbackSource.KEPT_QUERY, Feedback.text_key.in_(list(text_keys))
        )
        return {item.text_key: item for item in self._session.scalars(statement)}

    def evict(self, most: int) -> int:
        """Delete kept queries beyond `most`, those not asked for longest first; accepted ones count for nothing.

        Returns:
            How many.
        """
        droppable = (self._is_own(), *_IS_DROPPABLE)
        surplus = self._session.scalars(select(func.count()).where(*droppable)).one() - most
        if surplus <= 0:
            return 0
        order = select(Feedback.id).where(*droppable).order_by(Feedback.last_seen_at, Feedback.id)
        self._delete(list(self._session.scalars(order.limit(surplus))))
        return surplus

    def count_awaiting(self) -> int:
        """Accepted items that brought something new since a training was ordered."""
        statement = select(func.count()).where(self._is_own(), Feedback.awaits_training.is_(True))
        return self._session.scalars(statement).one()

    def clear_awaiting(self) -> None:
        """Count from nothing again: a training was ordered."""
        statement = update(Feedback).where(self._is_own(), Feedback.awaits_training.is_(True))
        self._session.execute(statement.values(awaits_training=False))

    def _delete(self, ids: Sequence[int]) -> None:
        for start in range(0, len(ids), _MOST_PARAMETERS):
            chunk = ids[start : start + _MOST_PARAMETERS]
            self._session.execute(delete(Feedback).where(Feedback.id.in_(chunk)))

    def _is_own(self) -> ColumnElement[bool]:
        return Feedback.collection_id == self._collection_id


_MOST_PARAMETERS: Final = 10_000
"""Of one statement; SQLite takes 32,766."""

_IS_DROPPABLE: Final = (
    Feedback.source == FeedbackSource.KEPT_QUERY,
    Feedback.state.in_((FeedbackState.PENDING, FeedbackState.REJECTED)),
)
"""Kept queries that nobody accepted: an accepted one says where a record came from."""


def find_expired(session: Session, now: datetime) -> list[int]:
    """The ids of the collections that have expired queries."""
    rows = session.execute(select(Collection.id, Collection.settings).order_by(Collection.id)).all()
    return [
        collection_id
        for collection_id, settings in rows
        if session.scalars(select(Feedback.id).where(*_is_expired(collection_id, settings, now)).limit(1)).first()
    ]


def delete_expired(session: Session, collection_id: int, now: datetime, most: int) -> int:
    """Delete up to `most` kept queries that were not asked for as long as their collection's settings say.

    Returns:
        How many.
    """
    collection = session.get(Collection, collection_id, with_for_update=True)  # else they might be counted up meanwhile
    if collection is None:
        return 0
    expired = select(Feedback.id).where(*_is_expired(collection_id, collection.settings, now)).limit(most)
    ids = list(session.scalars(expired))
    session.execute(delete(Feedback).where(Feedback.id.in_(ids)), execution_options=_NO_SYNC)
    return len(ids)


def _is_expired(collection_id: int, settings: Mapping[str, Any], now: datetime) -> tuple[ColumnElement[bool], ...]:
    oldest = now - timedelta(days=FeedbackSettings.of(settings).keep_queries_days)
    return Feedback.collection_id == collection_id, *_IS_DROPPABLE, Feedback.last_seen_at < oldest


def no_feedback(key: str) -> NotFoundError:
    """What to raise of an item that is not there."""
    return NotFoundError(f"the collection has no feedback {key[:64]!r}: GET its feedback lists all")
