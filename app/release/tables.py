"""The table of releases."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import NOW, Base, BigId, UtcDateTime


class ReleaseState(StrEnum):
    """Where a release stands: refused ones failed the gate, pruned ones have no encoder any more."""

    CANDIDATE = "candidate"
    ACTIVE = "active"
    RETIRED = "retired"
    REFUSED = "refused"
    PRUNED = "pruned"


class ReleaseAction(StrEnum):
    """What happened to a release."""

    CREATED = "created"
    REFUSED = "refused"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    SHADOWED = "shadowed"
    COOLED = "cooled"
    PRUNED = "pruned"


class Release(Base):
    """An encoder and the thresholds that go with it; its index lies in DATA/collections/ID/releases/ID.

    Attributes:
        number: Counts up inside the collection; what the API shows.
        decision: The decision parameters, copied from the bundle when the release was made.
        is_warm: Whether servers keep it in memory and up to date though it does not answer.
        previous: Number of the release that it took over from when it became active last.
        job: The job that made it.
        report: How it was made and judged; names records by their ids and holds no text.
        shadow_share: Share of the live queries that it is asked too, while it is warm; null where it is asked none.
        shadow: How its answers to them compared; see app/release/shadow.py.
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
    is_warm: Mapped[bool] = mapped_column(default=False, server_default=false())
    previous: Mapped[int | None]
    job: Mapped[str | None] = mapped_column(String(32))
    report: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), deferred=True)
    shadow_share: Mapped[float | None]
    shadow: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), deferred=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=NOW)
    activated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ReleaseEvent(Base):
    """Something that happened to a release; rows are only ever added, and go with their collection.

    Attributes:
        who: Who ordered it; see app/access/caller.py.
        why: In the words of who ordered it, or of what decided it.
    """

    __tablename__ = "release_events"
    __table_args__ = (Index("ix_release_events_collection_id", "collection_id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    collection_id: Mapped[int] = mapped_column(BigInteger)
    number: Mapped[int]
    action: Mapped[str] = mapped_column(String(16))
    who: Mapped[str] = mapped_column(String(128))
    why: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=NOW)
