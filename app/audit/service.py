"""Writing and reading the audit log."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.orm import Session

from app.access.caller import COMMAND_LINE
from app.audit.repository import AuditRepository
from app.audit.schemas import AuditAnswer
from app.audit.tables import AuditEntry
from app.db.database import Database
from app.errors import ServiceError
from app.http.cursors import Cursors
from app.schemas import Page

MOST_OWED: Final = 1000
"""Deeds that could not be written and are written later; of more the oldest are in the server's log only."""

_LISTING: Final = "audit"
_FORGET_S: Final = 3600.0

_log = structlog.get_logger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What is written of a change.

    Attributes:
        at: When it was done.
        caller: Name of who ordered it.
        action: operationId of the route, or the name of the command.
        collection: Name of the collection it was done to, if it was one.
        target: Id of what it was done to, or of the job that is to do it; its first 256 characters are kept.
        status: Of the answer.
        request_id: Of the request, if it was one.
    """

    at: datetime = field(default_factory=_now)
    caller: str
    action: str
    collection: str | None = None
    target: str | None = None
    status: int = 200
    request_id: str | None = None


class AuditService:
    """The audit log of this database.

    Args:
        database: Where it is.
        cursors: Signs the pages of the list.
        keep: So long entries are kept.
        clock: Tells seconds.
    """

    def __init__(
        self, database: Database, cursors: Cursors, keep: timedelta, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._cursors = cursors
        self._keep = keep
        self._clock = clock
        self._forgot_at = -math.inf
        self._owed: deque[Deed] = deque(maxlen=MOST_OWED)  # the event loop's

    async def write(self, deed: Deed) -> None:
        """Add an entry; durable when this returns. One that cannot be written now comes before the next one."""
        self._owed.append(deed)
        try:
            await self._write_owed()
        except ServiceError as error:
            _log.warning("not_audited", **asdict(deed) | {"at": deed.at.isoformat()}, error=error.detail)
            raise

    def write_command(self, action: str, target: str) -> None:
        """`write` what a command has done; blocks."""
        self._database.write(self._unit([Deed(caller=COMMAND_LINE, action=action, target=target)])).result()

    async def list_page(self, cursor: str | None, limit: int) -> Page[AuditAnswer]:
        """One page of the entries, newest first."""
        with suppress(ServiceError):  # what is there can be read all the same
            await self._write_owed()
        before = self._cursors.read(_LISTING, cursor)

        def unit(session: Session) -> Page[AuditAnswer]:
            found = AuditRepository(session).list_page(before, limit + 1)
            return self._cursors.page(Page[AuditAnswer], _LISTING, limit, found, lambda row: (row.id, _to_answer(row)))

        return await self._database.read_async(unit)

    async def _write_owed(self) -> None:
        deeds = [*self._owed]
        self._owed.clear()  # nobody else is to write them too
        if not deeds:
            return
        try:
            await self._database.write_async(self._unit(deeds))
        except ServiceError:  # of another one nobody can say that the next time is better
            self._owed = deque([*deeds, *self._owed], maxlen=MOST_OWED)
            raise

    def _unit(self, deeds: Sequence[Deed]) -> Callable[[Session], None]:
        """Adds entries, and now and then forgets what is too old."""
        is_time_to_forget = self._clock() - self._forgot_at >= _FORGET_S
        if is_time_to_forget:
            self._forgot_at = self._clock()

        def unit(session: Session) -> None:
            repository = AuditRepository(session)
            for deed in deeds:
                repository.add(_to_entry(deed))
            if is_time_to_forget:
                repository.forget(_now() - self._keep)

        return unit


def _to_entry(deed: Deed) -> AuditEntry:
    cleaned = {"collection": _clean(deed.collection, 63), "target": _clean(deed.target, 256)}
    return AuditEntry(**(asdict(deed) | cleaned))


def _clean(name: str | None, most: int) -> str | None:
    return None if name is None else name.replace("\0", "")[:most]


def _to_answer(entry: AuditEntry) -> AuditAnswer:
    return AuditAnswer.model_validate(entry, from_attributes=True)
