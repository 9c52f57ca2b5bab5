"""The table of groups."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import NOW, Base, BigId, UtcDateTime


class Group(Base):
    """Records that mean the same.

    Attributes:
        key: The client's id of it.
        payload: Whatever the client wants back with it, such as the answer of a FAQ.
        version: Counts its changes, for the ETag.
    """

    __tablename__ = "groups"
    __table_args__ = (
        UniqueConstraint("collection_id", "key"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(String(256))
    title: Mapped[str | None] = mapped_column(Text)
    payload: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=NOW)
