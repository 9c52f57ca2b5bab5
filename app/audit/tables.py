"""The table of the audit log. Rows are added, and forgotten when they are old; none is ever changed."""

from datetime import datetime

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base, BigId, UtcDateTime


class AuditEntry(Base):
    """A change that somebody ordered.

    Attributes:
        id: Counts up.
        at: When it was done.
        caller: Name of who ordered it.
        action: operationId of the route, or the name of the command.
        collection: Name of the collection it was done to, if it was one.
        target: Id of what it was done to, or of the job that is to do it. Never a sentence.
        status: Of the answer.
        request_id: As in the answer's X-Request-ID and in the log.
    """

    __tablename__ = "audit_log"
    __table_args__ = (Index("ix_audit_log_at", "at"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    caller: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    collection: Mapped[str | None] = mapped_column(String(63))
    target: Mapped[str | None] = mapped_column(String(256))
    status: Mapped[int]
    request_id: Mapped[str | None] = mapped_column(String(64))
