"""The table of feedback: what people said of answers, and the queries that were kept."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import NOW, Base, BigId, UtcDateTime


class Verdict(StrEnum):
    """What somebody says of the answer to a sentence."""

    RIGHT_GROUP = "right_group"
    """It belongs to the group that is named."""
    OUT_OF_SCOPE = "out_of_scope"
    """It belongs to no group."""
    WRONG_ANSWER = "wrong_answer"
    """The answer was wrong; nobody said what is right."""


class FeedbackState(StrEnum):
    """What became of an item."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class FeedbackSource(StrEnum):
    """Where an item came from."""

    CLIENT = "client"
    """POST /feedback."""
    KEPT_QUERY = "kept_query"
    """The queries of :classify, as the collection's keep_queries says."""


class Feedback(Base):
    """A sentence that somebody should look at.

    Attributes:
        key: Random; what clients know it by.
        text_key: Hash of the normalised text: equal for texts that the encoder cannot tell apart.
        verdict: None of a kept query.
        named_group: The group that its sender named.
        group: The same; once accepted, the one it went into.
        role: Of the record, once accepted.
        record: The client's id of the record that has the text in this group, once accepted.
        awaits_training: Accepted, brought something new, and no training was ordered since.
        count: How often it was asked; 1 of what clients send.
        last_seen_at: When it was asked last.
        release: Number of the release that decided; with `decision`, `confidence` and `groups` None where unknown.
        groups: Its best groups, each with a confidence.
    """

    __tablename__ = "feedback"
    __table_args__ = (
        Index("ix_feedback_text_key", "collection_id", "text_key"),
        Index("ix_feedback_state", "collection_id", "state", "source", "last_seen_at"),
        Index("ix_feedback_awaits_training", "collection_id", "awaits_training"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(String(32), unique=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"))
    source: Mapped[str] = mapped_column(String(16))
    text: Mapped[str] = mapped_column(Text)
    text_key: Mapped[str] = mapped_column(String(32))
    verdict: Mapped[str | None] = mapped_column(String(16))
    named_group: Mapped[str | None] = mapped_column(String(256))
    group: Mapped[str | None] = mapped_column("group_key", String(256))
    answer_id: Mapped[str | None] = mapped_column(String(32))
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    state: Mapped[str] = mapped_column(String(16))
    role: Mapped[str | None] = mapped_column(String(16))
    record: Mapped[str | None] = mapped_column(String(256))
    awaits_training: Mapped[bool] = mapped_column(default=False)
    count: Mapped[int] = mapped_column(BigInteger, default=1)
    release: Mapped[int | None]
    decision: Mapped[str | None] = mapped_column(String(16))
    confidence: Mapped[float | None]
    groups: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))
    created_by: Mapped[str | None] = mapped_column(String(256))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=NOW)
    last_seen_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=NOW)
    resolved_by: Mapped[str | None] = mapped_column(String(256))
    resolved_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
