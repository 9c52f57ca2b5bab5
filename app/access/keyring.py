"""Every key in memory: whoever asks is known without a look into the database."""

import hmac
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog
from sqlalchemy.orm import Session
from starlette.types import Scope

from app.access.caller import CALLER, Caller
from app.access.charging import take
from app.access.key_format import digest_in, id_in
from app.access.limits import Bucket
from app.access.refusals import REFUSAL, Refusal
from app.access.repository import ApiKeyRepository
from app.access.scopes import KeyScope
from app.access.tables import ApiKey
from app.background import Background
from app.db.database import Database
from app.errors import BorrowedKeyError, UnauthorisedError, UnavailableError

RELOAD_S: Final = 2.0
"""So often the database is looked at: a revocation must reach every server within 5 s."""

TOUCH_S: Final = 60.0
"""So often it is written when keys were used last."""

_WANTS_KEY: Final = "this server wants a key: send the header Authorization: Bearer KEY"
_WRONG: Final = (
    "the key is wrong: send one that `samesay keys create` showed, or the one in SAMESAY_API_KEY of the server"
)

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class KnownKey:
    """What the check of a key needs.

    Attributes:
        caller: Who has it.
        digest: SHA-256 of its secret.
        old_digest: Of the secret before, which is good until `old_until`, in seconds since 1970.
        expires: In seconds since 1970.
        is_revoked: Whether it is.
        used: When it was used last, in seconds since 1970; 0 if not since it was loaded.
    """

    caller: Caller
    digest: bytes
    old_digest: bytes
    old_until: float
    expires: float
    is_revoked: bool
    used: float = 0.0

    def is_opened_by(self, digest: bytes, now: float) -> bool:
        """Whether a secret of this digest is the one, or was it until just now."""
        if hmac.compare_digest(digest, self.digest):
            return True
        return now < self.old_until and hmac.compare_digest(digest, self.old_digest)


class Keyring(Background):
    """The keys of the database, and the one of the settings; its thread finds what others change.

    Args:
        database: The truth.
        api_key: The key of the settings, which allows everything; None where there is none.
        rate_limit: Items a second of a key that says nothing else; None for no limit.
        rate_burst: Items at once likewise; None for those of two seconds.
    """

    def __init__(
        self,
        database: Database,
        *,
        api_key: str | None = None,
        rate_limit: float | None = None,
        rate_burst: int | None = None,
    ) -> None:
        super().__init__("keyring")
        self._database = database
        self._rate, self._burst = rate_limit, rate_burst
        self._api_key = api_key.encode() if api_key else None
        self._admin = Caller(name="admin key", bucket=self._bucket(None, None, None))
        self._keys: dict[bytes, KnownKey] = {}
        self._written: dict[bytes, float] = {}
        self._loading = threading.Lock()  # an older look must not be put in the place of a newer one
        self.reload()

    @property
    def is_required(self) -> bool:
        """Whether a key is wanted: once there was one, revoked or not, nobody is let in without."""
        return self._api_key is not None or bool(self._keys)

    def refuse_borrowed_key(self) -> None:
        """Refuse a key of the settings that is one of the database: the client's variable has the same name.

        Raises:
            BorrowedKeyError: It is, be it rotated or revoked since: as the settings' it would allow everything.
        """
        borrowed = self._keys.get(id_in(self._api_key)) if self._api_key is not None else None
        if borrowed is not None:
            raise BorrowedKeyError(
                f"SAMESAY_API_KEY is the {borrowed.caller.name}, made by `samesay keys create`: given to the server it "
                "would allow everything. It is known here already: start without the variable, or set another one"
            )

    @property
    def has_admin(self) -> bool:
        """Whether a key of the database allows everything that is to be administered, now."""
        now = time.time()
        return any(
            KeyScope.ADMIN in known.caller.scopes and not known.is_revoked and now < known.expires
            for known in self._keys.values()
        )

    def admit(self, scope: Scope, given: bytes | None) -> None:
        """Note in the ASGI scope who asks, and count one item against the rate of the key.

        Args:
            scope: Of the request.
            given: The value of its header Authorization.

        Raises:
            UnauthorisedError: There is no key, or it is not good.
            RateLimitedError: The key has asked for too much.
        """
        if given is None or given[:7].lower() != b"bearer ":
            scope[REFUSAL] = Refusal.NO_KEY
            raise UnauthorisedError(_WANTS_KEY)
        caller = self._caller(scope, given[7:].strip())
        scope[CALLER] = caller
        if caller.bucket is not None:
            take(scope, caller.bucket, 1)

    def _caller(self, scope: Scope, key: bytes) -> Caller:
        if self._api_key is not None and hmac.compare_digest(key, self._api_key):
            return self._admin
        known = self._keys.get(id_in(key))
        now = time.time()
        if known is None or not known.is_opened_by(digest_in(key), now):
            scope[REFUSAL] = Refusal.WRONG_KEY
            raise UnauthorisedError(_WRONG)
        if known.is_revoked:
            scope[REFUSAL] = Refusal.REVOKED
            raise UnauthorisedError(f"the {known.caller.name} is revoked: ask for another one")
        if now >= known.expires:
            scope[REFUSAL] = Refusal.EXPIRED
            raise UnauthorisedError(f"the {known.caller.name} has expired: ask for another one")
        known.used = now
        return known.caller

    def reload(self) -> None:
        """Take over what the database says now; blocks."""
        with self._loading:
            rows = self._database.read(_all)
            before = self._keys
            self._keys = {row.key.encode(): self._known(row, before.get(row.key.encode())) for row in rows}

    def refresh(self) -> None:
        """`reload` if that can be done now; else it is done within seconds."""
        _try("keys_not_reloaded", self.reload)

    def _known(self, row: ApiKey, before: KnownKey | None) -> KnownKey:
        bucket = self._bucket(row.rate_limit, row.rate_burst, before.caller.bucket if before else None)
        return KnownKey(
            caller=Caller(
                name=f"key {row.key}",
                scopes=frozenset(scope for scope in KeyScope if scope in row.scopes),
                collections=None if row.collections is None else frozenset(row.collections),
                bucket=bucket,
            ),
            digest=row.digest,
            old_digest=row.old_digest or b"",
            old_until=row.old_until.timestamp() if row.old_digest and row.old_until else 0.0,
            expires=row.expires_at.timestamp() if row.expires_at else math.inf,
            is_revoked=row.revoked_at is not None,
            used=before.used if before else 0.0,
        )

    def _bucket(self, rate: float | None, burst: int | None, before: Bucket | None) -> Bucket | None:
        """The bucket of a key: the one it had, with what is left in it, unless its limits have changed."""
        limit = rate if rate is not None else self._rate
        if limit is None:
            return None
        size = burst or (self._burst if rate is None else None) or max(1, math.ceil(2 * limit))
        if before is not None and (before.rate, before.burst) == (limit, size):
            return before
        return Bucket(limit, size)

    def _run(self) -> None:
        touched = time.monotonic()
        while not self._stopping.wait(RELOAD_S):
            self.refresh()
            if time.monotonic() - touched >= TOUCH_S:
                touched = time.monotonic()
                _try("key_use_not_written", self._touch)
        _try("key_use_not_written", self._touch)

    def _touch(self) -> None:
        used = {key: known.used for key, known in self._keys.items() if known.used > self._written.get(key, 0.0)}
        if used:
            moments = {key.decode(): datetime.fromtimestamp(at, UTC) for key, at in used.items()}
            self._database.write(lambda session: ApiKeyRepository(session).touch(moments)).result()
            self._written = {key: known.used for key, known in self._keys.items()} | used


def _all(session: Session) -> list[ApiKey]:
    found = ApiKeyRepository(session).list_all()
    session.expunge_all()
    return found


def _try(event: str, work: Callable[[], None]) -> None:
    """Work that is done again in a while anyhow: the database may be away."""
    try:
        work()
    except Exception as error:
        _log.warning(event, error=repr(error), exc_info=not isinstance(error, UnavailableError))
