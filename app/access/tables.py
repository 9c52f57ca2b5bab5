"""The table of API keys."""

from datetime import datetime

from sqlalchemy import JSON, Double, Index, LargeBinary, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import NOW, Base, BigId, UtcDateTime

_NOT_REVOKED = text("revoked_at IS NULL")


class ApiKey(Base):
    """A key. A revoked one stays, so that what it did can be told from what another did.

    Attributes:
        key: Its public id, random.
        name: The operator's; only one key that is not revoked has it.
        digest: SHA-256 of the secret.
        old_digest: Of the secret before the last rotation.
        old_until: Until then the old secret is good too.
        scopes: What it allows.
        collections: Names of the collections it allows it for; null for all.
        rate_limit: Items a second; null for what the server's settings say.
        rate_burst: Items at once; null likewise.
        created_by: Name of the caller.
        last_used_at: To a minute or so; null if never.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        Index("ix_api_keys_name", "name", unique=True, sqlite_where=_NOT_REVOKED, postgresql_where=_NOT_REVOKED),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(String(16), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    old_digest: Mapped[bytes | None] = mapped_column(LargeBinary)
    old_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    collections: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    rate_limit: Mapped[float | None] = mapped_column(Double)
    rate_burst: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=NOW)
    created_by: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    rotated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
