"""Encoders in the database."""

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

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
        """The encoder of this name or sha256."""
        return self._session.scalars(
            select(Encoder).where(or_(Encoder.name == name_or_sha, Encoder.sha == name_or_sha))
        ).first()

    def get(self, name_or_sha: str) -> Encoder:
        """`find`, or raise NotFoundError."""
        found = self.find(name_or_sha)
        if found is None:
            raise NotFoundError(f"there is no encoder {name_or_sha!r}: GET /v1/encoders lists them")
        return found

    def list_all(self) -> list[Encoder]:
        """Every encoder, by name."""
        return list(self._session.scalars(select(Encoder).order_by(Encoder.name)))

    def add(self, encoder: Encoder) -> None:
        """Store a new one."""
        self._session.add(encoder)
        self._session.flush()
