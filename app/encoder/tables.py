"""The table of registered encoders."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import NOW, Base, UtcDateTime


class Encoder(Base):
    """A bundle that lies verified in DATA/encoders/SHA.

    Attributes:
        job: The training that made it; null where a person added it, or did so later.
        removed_at: Its bundle was removed then, with the releases that used it; the row stays for their history.
        created_at: To the microsecond: SQLite's own clock counts seconds, and the first one answers routes that name
            none.
    """

    __tablename__ = "encoders"

    sha: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    dim: Mapped[int]
    manifest: Mapped[dict[str, Any]] = mapped_column(JSON)
    job: Mapped[str | None] = mapped_column(String(32))
    removed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=lambda: datetime.now(UTC), server_default=NOW)
