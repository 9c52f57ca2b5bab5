"""Releases in the database."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import NotFoundError
from app.release.tables import Release


class ReleaseRepository:
    """Reads and writes releases.

    Args:
        session: Of the unit of work.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, collection_id: int, number: int) -> Release:
        """One release, or raise NotFoundError."""
        statement = select(Release).where(Release.collection_id == collection_id, Release.number == number)
        found = self._session.scalars(statement).first()
        if found is None:
            raise NotFoundError(f"the collection has no release {number}: GET .../releases lists them")
        return found

    def list_all(self, collection_id: int) -> list[Release]:
        """Every release of a collection, oldest first."""
        statement = select(Release).where(Release.collection_id == collection_id).order_by(Release.number)
        return list(self._session.scalars(statement))

    def add(self, release: Release) -> None:
        """Store a new one."""
        self._session.add(release)
        self._session.flush()
