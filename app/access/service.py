"""Making, listing, rotating and revoking keys."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from sqlalchemy.orm import Session

from app.access.key_format import format_key, new_id, new_secret
from app.access.repository import ApiKeyRepository
from app.access.schemas import ApiKeyAnswer, ApiKeyCreate, ApiKeySecret
from app.access.scopes import KeyScope
from app.access.tables import ApiKey
from app.collection.repository import CollectionRepository
from app.db.database import Database
from app.errors import ConflictError, InvalidValueError, NameTakenError
from app.http.cursors import Cursors
from app.schemas import Page

MOST_KEYS: Final = 1000
"""Keys that are kept, revoked and expired ones too: every server holds them all in memory."""

_LISTING: Final = "api-keys"

T = TypeVar("T")


class ApiKeyService:
    """The keys of this database.

    Args:
        database: Where they are.
        cursors: Signs the pages of the list.
        reload: Lets this process know of a change at once; others find it within seconds.
    """

    def __init__(self, database: Database, cursors: Cursors, reload: Callable[[], None]) -> None:
        self._database = database
        self._cursors = cursors
        self._reload = reload

    async def create(self, wanted: ApiKeyCreate, by: str) -> ApiKeySecret:
        """Make a key; its secret is in the answer and nowhere else.

        Raises:
            NameTakenError: A key that is not revoked has the name.
            ConflictError: There are too many keys.
        """
        made = new_secret()

        def unit(session: Session) -> ApiKeySecret:
            row = _add(session, wanted, made.digest, by)
            return _with_secret(row, made.secret)

        return await self._change(unit)

    async def not_there(self, collections: Sequence[str]) -> list[str]:
        """Those of the names that no collection has yet: a key may be made before it."""

        def unit(session: Session) -> list[str]:
            found = CollectionRepository(session)
            return [name for name in collections if found.find(name) is None]

        return await self._database.read_async(unit)

    async def get(self, key: str) -> ApiKeyAnswer:
        """One key, or NotFoundError."""
        return await self._database.read_async(lambda session: _to_answer(ApiKeyRepository(session).get(key)))

    async def list_page(self, cursor: str | None, limit: int) -> Page[ApiKeyAnswer]:
        """One page of the keys, oldest first; revoked ones too."""
        after = self._cursors.read(_LISTING, cursor)

        def unit(session: Session) -> Page[ApiKeyAnswer]:
            found = ApiKeyRepository(session).list_page(after, limit + 1)
            return self._cursors.page(Page[ApiKeyAnswer], _LISTING, limit, found, lambda row: (row.id, _to_answer(row)))

        return await self._database.read_async(unit)

    async def revoke(self, key: str) -> None:
        """Refuse it from now on, and for ever; a revoked one stays as it is."""

        def unit(session: Session) -> None:
            row = ApiKeyRepository(session).get_locked(key)
            if row.revoked_at is None:
                row.revoked_at = datetime.now(UTC)

        await self._change(unit)

    async def rotate(self, key: str, grace_s: int) -> ApiKeySecret:
        """Give it a new secret.

        Raises:
            ConflictError: It is revoked or has expired.
        """
        made, now = new_secret(), datetime.now(UTC)

        def unit(session: Session) -> ApiKeySecret:
            row = ApiKeyRepository(session).get_locked(key)
            if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
                what = "revoked" if row.revoked_at is not None else "expired"
                raise ConflictError(f"the key {row.name!r} is {what}: make a new one")
            row.old_digest, row.digest = row.digest, made.digest
            row.old_until = now + timedelta(seconds=grace_s)
            row.rotated_at = now
            session.flush()
            return _with_secret(row, made.secret)

        return await self._change(unit)

    async def _change(self, unit: Callable[[Session], T]) -> T:
        done = await self._database.write_async(unit)
        await asyncio.to_thread(self._reload)
        return done


def _add(session: Session, wanted: ApiKeyCreate, digest: bytes, by: str) -> ApiKey:
    repository = ApiKeyRepository(session)
    if wanted.expires_at is not None and wanted.expires_at <= datetime.now(UTC):
        over = wanted.expires_at.isoformat()
        raise InvalidValueError.at("/expires_at", f"{over} is over: give a moment to come, or none")
    if repository.find_name(wanted.name) is not None:
        raise NameTakenError(f"there is a key {wanted.name!r} already: rotate or revoke it, or choose another name")
    if repository.count() >= MOST_KEYS and not repository.forget_a_dead_one():
        raise ConflictError(f"there are {MOST_KEYS} keys that can be used: revoke one that nobody needs")
    row = ApiKey(
        key=new_id(),
        name=wanted.name,
        digest=digest,
        scopes=sorted(set(wanted.scopes)),
        collections=None if wanted.collections is None else sorted(set(wanted.collections)),
        rate_limit=wanted.rate_limit,
        rate_burst=wanted.rate_burst,
        created_by=by,
        expires_at=wanted.expires_at,
    )
    repository.add(row)
    return row


def _fields(row: ApiKey) -> dict[str, Any]:
    kept = ("name", "collections", "rate_limit", "rate_burst", "created_at", "created_by", "expires_at", "rotated_at")
    fields = {name: getattr(row, name) for name in (*kept, "revoked_at", "last_used_at")}
    return fields | {
        "id": row.key,
        "scopes": [scope for scope in KeyScope if scope in row.scopes],
        "old_secret_until": row.old_until if row.old_until and row.old_until > datetime.now(UTC) else None,
    }


def _to_answer(row: ApiKey) -> ApiKeyAnswer:
    return ApiKeyAnswer(**_fields(row))


def _with_secret(row: ApiKey, secret: str) -> ApiKeySecret:
    return ApiKeySecret(**_fields(row), key=format_key(row.key, secret))
