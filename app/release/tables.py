"""The table of releases."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db import NOW, Base, BigId, UtcDateTime


class ReleaseState(StrEnum):
    """Where a release stands."""

    CANDIDATE = "candidate"
    ACTIVE = "active"
    RETIRED = "retired"


class Release(Base):
    """An encoder and the thresholds that go with it; its index lies in DATA/collections/ID/releases/ID.

    Attributes:
        number: Counts up inside the collection; what the API shows.
        decision: The decision parameters, copied from the bundle when the release was made.
    """

    __tablename__ = "releases"
    __table_args__ = (
        UniqueConstraint("collection_id", "number"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"))
    number: Mapped[int]
    encoder_sha: Mapped[str] = mapped_column(ForeignKey("encoders.sha"))
    state: Mapped[str] = mapped_column(String(16))
    decision: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=NOW)
    activated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
