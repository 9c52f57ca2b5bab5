"""The tables of records, of their labels and of the log of their changes, with its marks."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import NOW, Base, BigId, UtcDateTime


class Role(StrEnum):
    """What a record is for."""

    EXAMPLE = "example"
    OUT_OF_SCOPE = "out_of_scope"


class Source(StrEnum):
    """Where a record came from."""

    API = "api"
    IMPORT = "import"
    FEEDBACK = "feedback"


class Change(StrEnum):
    """What the change log knows."""

    UPSERT = "upsert"
    DELETE = "delete"


PART_BITS: Final = 14
"""So many records that came one after another, 2^14, are one part of the index by group."""

PART: Final = f"(record_id >> {PART_BITS})"
"""Which part a record is in. Rows that come together then touch the pages of one part, not one page a group."""


class Record(Base):
    """A stored sentence.

    Attributes:
        record_id: Never reused, kept on update; what the index stores.
        id: The client's.
        group_id: Of a group of the same collection. No foreign key, as that would need an index that begins with it:
            who deletes a group has deleted or detached its records before, in the same transaction.
        content_hash: Of everything the client may set; the same content is not written again.
        seq: Sequence number of its last change.
    """

    __tablename__ = "records"
    __table_args__ = (
        UniqueConstraint("collection_id", "id"),
        Index("ix_records_group_id", text(PART), "group_id"),
        {"sqlite_autoincrement": True},
    )

    record_id: Mapped[int] = mapped_column(BigId, primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"))
    id: Mapped[str] = mapped_column(String(256))
    text: Mapped[str] = mapped_column(Text)
    group_id: Mapped[int | None] = mapped_column(BigId)
    role: Mapped[str] = mapped_column(String(16))
    source: Mapped[str] = mapped_column(String(16))
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    content_hash: Mapped[str] = mapped_column(String(64))
    seq: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=NOW)


class RecordLabel(Base):
    """A tag of a record."""

    __tablename__ = "record_labels"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012

    record_id: Mapped[int] = mapped_column(ForeignKey("records.record_id", ondelete="CASCADE"), primary_key=True)
    label: Mapped[str] = mapped_column(String(256), primary_key=True)


class ChangeLogEntry(Base):
    """One change of one record; gap-free in its collection, in the order of the commits, and without text.

    Old ones are removed (docs/adr/0030): the last one of a collection, and what a snapshot needs, is always there.

    Attributes:
        tag: Random, the same for all changes of one unit of work: a database restored from a backup that has written
            other changes since has other tags at the same sequence numbers. 0 in changes from before there were tags.
    """

    __tablename__ = "changes"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012

    collection_id: Mapped[int] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    record_id: Mapped[int] = mapped_column(BigInteger)
    op: Mapped[str] = mapped_column(String(16))
    tag: Mapped[int] = mapped_column(BigInteger, server_default="0")


class ChangeMark(Base):
    """How far the log of a collection had come at a moment: so old are its changes at least.

    Attributes:
        seq: The last change of that moment.
    """

    __tablename__ = "change_marks"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012

    collection_id: Mapped[int] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    marked_at: Mapped[datetime] = mapped_column(UtcDateTime)
