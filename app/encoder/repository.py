"""Encoders in the database."""

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.db.base import sought
from app.encoder.tables import Encoder
from app.errors import NotFoundError


class EncoderRepository:
    """Reads and writes encoders.

    Args:
        session: Of the unit of work.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, name_or_sha: str) -> Encoder | None:
        """The encoder of this name or sha256, even where its bundle was removed."""
        wanted = sought(name_or_sha)
        return self._session.scalars(select(Encoder).where(or_(Encoder.name == wanted, Encoder.sha == wanted))).first()

    def get(self, name_or_sha: str) -> Encoder:
        """`find`, or raise NotFoundError."""
        found = self.find(name_or_sha)
        if found is None or found.removed_at is not None:
            raise NotFoundError(f"there is no encoder {name_or_sha!r}: GET /v1/encoders lists them")
        return found

    def list_all(self) -> list[Encoder]:
        """Every encoder whose bundle is there, by name."""
        statement = select(Encoder).where(Encoder.removed_at.is_(None)).order_by(Encoder.name)
        return list(self._session.scalars(statement))

    def list_removed(self) -> list[str]:
        """The sha256 of those whose bundles are to be removed, or were."""
        return list(self._session.scalars(select(Encoder.sha).where(Encoder.removed_at.is_not(None))))

    def lock_removed(self) -> list[Encoder]:
        """`list_removed`, keeping everybody from registering or using them again until the transaction ends."""
        return list(self._session.scalars(select(Encoder).where(Encoder.removed_at.is_not(None)).with_for_update()))

    def list_known(self) -> set[str]:
        """The sha256 of every encoder that there is or was."""
        return set(self._session.scalars(select(Encoder.sha)))

    def add(self, encoder: Encoder) -> None:
        """Store a new one."""
        self._session.add(encoder)
        self._session.flush()
