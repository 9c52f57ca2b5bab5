"""The table of collections."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import JSON, BigInteger, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import NOW, Base, BigId, UtcDateTime

DEFAULT_TARGET_RECALL: Final = 0.99
"""index_recall@10 of an index that is not exact, unless the collection's settings say otherwise."""


class Collection(Base):
    """A named set of records.

    Attributes:
        last_seq: Sequence number of the last change of a record; taken inside each write's own transaction.
        active_release: Number of the release that serves.
        version: Counts its changes, for the ETag; changes of records leave it alone.
        erasures: How often texts were erased: a server stores no query that it took before the last time.
    """

    __tablename__ = "collections"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    settings: Mapped[dict[str, Any]] = mapped_column(JSON)
    last_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    active_release: Mapped[int] = mapped_column(default=1)
    version: Mapped[int] = mapped_column(default=1)
    erasures: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=NOW)
