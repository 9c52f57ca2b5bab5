"""Writing and reading the audit log."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy.orm import Session

from app.access.caller import COMMAND_LINE
from app.audit.repository import AuditRepository
from app.audit.schemas import AuditAnswer
from app.audit.tables import AuditEntry
from app.cursors import Cursors
from app.db import Database
from app.schemas import Page

_LISTING: Final = "audit"
_FORGET_EVERY: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What is written of a change.

    Attributes:
        caller: Name of who ordered it.
        action: operationId of the route, or the name of the command.
        collection: Name of the collection it was done to, if it was one.
        target: Id of what it was done to; its first 256 characters are kept.
        status: Of the answer.
        request_id: Of the request, if it was one.
    """

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
    """

    def __init__(self, database: Database, cursors: Cursors, keep: timedelta) -> None:
        self._database = database
        self._cursors = cursors
        self._keep = keep
        self._n_written = 0

    async def write(self, deed: Deed) -> None:
        """Add an entry; durable when this returns."""
        await self._database.write_async(self._unit(deed))

    def write_command(self, action: str, target: str) -> None:
        """`write` what a command has done; blocks."""
        self._database.write(self._unit(Deed(caller=COMMAND_LINE, action=action, target=target))).result()

    async def list_page(self, cursor: str | None, limit: int) -> Page[AuditAnswer]:
        """One page of the entries, newest first."""
        before = self._cursors.read(_LISTING, cursor)

        def unit(session: Session) -> Page[AuditAnswer]:
            found = AuditRepository(session).list_page(before, limit + 1)
            return self._cursors.page(Page[AuditAnswer], _LISTING, limit, found, lambda row: (row.id, _to_answer(row)))

        return await self._database.read_async(unit)

    def _unit(self, deed: Deed) -> Callable[[Session], None]:
        """Adds an entry, and now and then forgets what is too old."""
        is_time_to_forget = self._n_written % _FORGET_EVERY == 0
        self._n_written += 1
        cleaned = {"collection": _clean(deed.collection, 63), "target": _clean(deed.target, 256)}

        def unit(session: Session) -> None:
            repository, now = AuditRepository(session), datetime.now(UTC)
            repository.add(AuditEntry(at=now, **(asdict(deed) | cleaned)))
            if is_time_to_forget:
                repository.forget(now - self._keep)

        return unit


def _clean(name: str | None, most: int) -> str | None:
    return None if name is None else name.replace("\0", "")[:most]


def _to_answer(entry: AuditEntry) -> AuditAnswer:
    return AuditAnswer.model_validate(entry, from_attributes=True)
