"""API keys in the database."""

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from app.access.tables import ApiKey
from app.db.base import sought
from app.errors import NotFoundError


class ApiKeyRepository:
    """Reads and writes keys.

    Args:
        session: Of the unit of work.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, key: str) -> ApiKey:
        """The key of this id, or NotFoundError."""
        return _found(self._session.scalars(select(ApiKey).where(ApiKey.key == sought(key))).first(), key)

    def get_locked(self, key: str) -> ApiKey:
        """`get`, keeping every other writer of the row out until the transaction ends."""
        statement = select(ApiKey).where(ApiKey.key == sought(key)).with_for_update()
        return _found(self._session.scalars(statement).first(), key)

    def find_name(self, name: str) -> ApiKey | None:
        """The key of this name that is not revoked."""
        statement = select(ApiKey).where(ApiKey.name == name, ApiKey.revoked_at.is_(None))
        return self._session.scalars(statement).first()

    def list_page(self, after: int, limit: int) -> list[ApiKey]:
        """Up to `limit` keys past the id `after`, oldest first."""
        return list(self._session.scalars(select(ApiKey).where(ApiKey.id > after).order_by(ApiKey.id).limit(limit)))

    def list_all(self) -> list[ApiKey]:
        """Every key, oldest first."""
        return list(self._session.scalars(select(ApiKey).order_by(ApiKey.id)))

    def count(self) -> int:
        """How many there are, revoked ones too."""
        return self._session.scalars(select(func.count()).select_from(ApiKey)).one()

    def add(self, key: ApiKey) -> None:
        """Store a new one."""
        self._session.add(key)
        self._session.flush()
        self._session.refresh(key)

    def forget_a_dead_one(self) -> bool:
        """Delete the oldest key that is revoked or expired, if there is one."""
        dead = or_(ApiKey.revoked_at.is_not(None), ApiKey.expires_at <= datetime.now(UTC))
        oldest = self._session.scalars(select(ApiKey.id).where(dead).order_by(ApiKey.id).limit(1)).first()
        if oldest is not None:
            self._session.execute(delete(ApiKey).where(ApiKey.id == oldest))
        return oldest is not None

    def touch(self, used: Mapping[str, datetime]) -> None:
        """Write when keys were used last, by their ids; what another server saw later stands."""
        for key, at in sorted(used.items()):
            later = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < at)
            self._session.execute(update(ApiKey).where(ApiKey.key == key, later).values(last_used_at=at))


def _found(key: ApiKey | None, wanted: str) -> ApiKey:
    if key is None:
        raise NotFoundError(f"there is no key {wanted[:64]!r}: GET /v1/api-keys lists them")
    return key
