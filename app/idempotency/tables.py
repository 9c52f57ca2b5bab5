"""The table of kept answers."""

from datetime import datetime

from sqlalchemy import Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base, BigId, UtcDateTime


class KeptAnswer(Base):
    """What was answered to a request that had an Idempotency-Key; written in the transaction of what it answers.

    Attributes:
        id: Counts up, so that the oldest can be told.
        fingerprint: Of the path and the body.
        collection: Its request was about this one, and with it the answer goes; none in rows from before it was told.
        answer: JSON, without any sentence.
    """

    __tablename__ = "kept_answers"
    __table_args__ = (
        Index("ix_kept_answers_created_at", "created_at"),
        Index("ix_kept_answers_collection", "collection"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(String(255), unique=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    answer: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    collection: Mapped[str | None] = mapped_column(String(63))
