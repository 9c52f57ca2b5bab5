"""Releases in the database."""

from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.errors import NotFoundError
from app.release.tables import Release, ReleaseAction, ReleaseEvent, ReleaseState


class ReleaseRepository:
    """Reads and writes releases.

    Args:
        session: Of the unit of work.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, collection_id: int, number: int) -> Release | None:
        """One release."""
        statement = select(Release).where(Release.collection_id == collection_id, Release.number == number)
        return self._session.scalars(statement).first()

    def get(self, collection_id: int, number: int) -> Release:
        """`find`, or raise NotFoundError."""
        found = self.find(collection_id, number)
        if found is None:
            raise NotFoundError(f"the collection has no release {number}: GET .../releases lists them")
        return found

    def list_all(self, collection_id: int) -> list[Release]:
        """Every release of a collection, oldest first."""
        statement = select(Release).where(Release.collection_id == collection_id).order_by(Release.number)
        return list(self._session.scalars(statement))

    def next_number(self, collection_id: int) -> int:
        """The number of the next release of a collection, which must be locked."""
        statement = select(func.max(Release.number)).where(Release.collection_id == collection_id)
        return (self._session.scalars(statement).one() or 0) + 1

    def add(self, release: Release) -> None:
        """Store a new one."""
        self._session.add(release)
        self._session.flush()

    def tell(self, release: Release, action: ReleaseAction, who: str, why: str) -> None:
        """Write down what happened to a release."""
        self._session.add(
            ReleaseEvent(
                collection_id=release.collection_id,
                number=release.number,
                action=action,
                who=who[:128],
                why=why,
                at=datetime.now(UTC),
            )
        )
        self._session.flush()

    def events(self, collection_id: int, before: int, limit: int) -> list[ReleaseEvent]:
        """Up to `limit` events of a collection, newest first, of ids below `before`; 0 from the newest on."""
        statement = select(ReleaseEvent).where(ReleaseEvent.collection_id == collection_id)
        if before:
            statement = statement.where(ReleaseEvent.id < before)
        return list(self._session.scalars(statement.order_by(ReleaseEvent.id.desc()).limit(limit)))

    def events_of(self, release: Release, limit: int) -> list[ReleaseEvent]:
        """Up to `limit` events of one release, newest first."""
        statement = select(ReleaseEvent).where(
            ReleaseEvent.collection_id == release.collection_id, ReleaseEvent.number == release.number
        )
        return list(self._session.scalars(statement.order_by(ReleaseEvent.id.desc()).limit(limit)))

    def is_encoder_used(self, sha: str) -> bool:
        """Whether any release can still come to serve with an encoder."""
        used = select(Release.id).where(Release.encoder_sha == sha, Release.state != ReleaseState.PRUNED).limit(1)
        return self._session.scalars(used).first() is not None
