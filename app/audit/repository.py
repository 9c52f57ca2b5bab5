"""The audit log in the database."""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.audit.tables import AuditEntry


class AuditRepository:
    """Reads and adds to the audit log.

    Args:
        session: Of the unit of work.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, entry: AuditEntry) -> None:
        """Store a new one."""
        self._session.add(entry)
        self._session.flush()

    def list_page(self, before: int, limit: int) -> list[AuditEntry]:
        """Up to `limit` entries, newest first, of ids below `before`; 0 from the newest on."""
        statement = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
        if before:
            statement = statement.where(AuditEntry.id < before)
        return list(self._session.scalars(statement))

    def forget(self, before: datetime) -> None:
        """Delete what is older."""
        old = delete(AuditEntry).where(AuditEntry.at < before)
        self._session.execute(old, execution_options={"synchronize_session": False})
