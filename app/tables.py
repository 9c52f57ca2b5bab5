"""Every table, for what needs them all: migrations and their drift test. Also the one table that no feature owns."""

from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.access.tables import ApiKey
from app.audit.tables import AuditEntry
from app.collection.tables import Collection
from app.db.base import Base
from app.encoder.tables import Encoder
from app.feedback.tables import Feedback
from app.group.tables import Group
from app.idempotency.tables import KeptAnswer
from app.job.tables import Job, JobEvent
from app.record.tables import ChangeLogEntry, ChangeMark, Record, RecordLabel
from app.release.tables import Release, ReleaseEvent

__all__ = [
    "ApiKey",
    "AuditEntry",
    "Base",
    "ChangeLogEntry",
    "ChangeMark",
    "Collection",
    "Encoder",
    "Feedback",
    "Group",
    "Job",
    "JobEvent",
    "KeptAnswer",
    "Record",
    "RecordLabel",
    "Release",
    "ReleaseEvent",
    "Secret",
]


class Secret(Base):
    """A key that every server on this database must share, such as the one that signs cursors."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    value: Mapped[bytes] = mapped_column(LargeBinary)
