"""manifest.json of a backup, its last member: what the others hold, and a checksum of each, its own included."""

import json
from datetime import datetime
from typing import Annotated, Any, Final

import xxhash
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.backup.values import Kind
from app.errors import BackupDamagedError, BackupVersionError

MANIFEST: Final = "manifest.json"
FORMAT: Final = "samesay-backup"
FORMAT_VERSION: Final = 1


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnEntry(_Strict):
    """A column, and how its values are written."""

    name: str
    kind: Kind


class Counter(_Strict):
    """A column that counts up: the last number that was given, whether or not its row is still there."""

    column: str
    last: int


class TableEntry(_Strict):
    """A table: its rows in the order of the primary key, in members of their own.

    Attributes:
        parts: The members, in order.
        counter: None where nothing counts up.
    """

    name: str
    columns: list[ColumnEntry]
    rows: int
    parts: list[str]
    counter: Counter | None


class EncoderEntry(_Strict):
    """An encoder's bundle: the members below `encoders/SHA/`."""

    sha: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    name: str
    files: list[Annotated[str, Field(pattern=r"^\w[\w.-]*$")]]


class MemberEntry(_Strict):
    """One member: its length, and the XXH3 checksum (128 bits) of its bytes in hex: it finds damage, not forgery."""

    name: str
    size_bytes: int
    xxh3_128: str


class Contents(_Strict):
    """What a backup holds.

    Attributes:
        samesay_version: Of the program that wrote it.
        schema_revision: Of the database.
        database_kind: sqlite or postgresql.
        database_id: The database's own, in hex; None where no server has run on it.
        tables: In an order in which each comes after those that it refers to.
    """

    samesay_version: str
    schema_revision: str
    created_at: datetime
    database_kind: str
    database_id: str | None
    tables: list[TableEntry]
    encoders: list[EncoderEntry]

    @property
    def n_rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables)


class Manifest(_Strict):
    """The contents, and every other member of the file in order."""

    contents: Contents
    members: list[MemberEntry]

    def to_bytes(self) -> bytes:
        """The member's content."""
        fields = {"format": FORMAT, "format_version": FORMAT_VERSION, **self.model_dump(mode="json")}
        return _canonical({**fields, "checksum": xxhash.xxh3_128_hexdigest(_canonical(fields))})


def read_manifest(file: str, raw: bytes) -> Manifest:
    """Verify and parse a manifest.

    Args:
        file: The backup's name, for errors.
        raw: As `to_bytes` made it.

    Raises:
        BackupDamagedError: It is not as it was written.
        BackupVersionError: It was written in a newer format.
    """
    try:
        fields = json.loads(raw)
        checksum = fields.pop("checksum")
        whole = xxhash.xxh3_128_hexdigest(_canonical(fields)) == checksum
        format_, version = fields.pop("format"), fields.pop("format_version")
    except (ValueError, KeyError, AttributeError, TypeError):
        raise _damaged(file, "cannot be read") from None
    if not whole:
        raise _damaged(file, "was altered")
    if (format_, version) != (FORMAT, FORMAT_VERSION):
        raise BackupVersionError(
            f"{file} has format {format_} {version}, this samesay reads {FORMAT} {FORMAT_VERSION}: "
            "use the version of samesay that wrote it, or a newer one"
        )
    try:
        return Manifest.model_validate(fields)
    except ValidationError as error:
        raise _damaged(file, f"has a wrong field ({error.errors()[0]['msg']})") from None


def _damaged(file: str, how: str) -> BackupDamagedError:
    return BackupDamagedError(f"{file} is damaged: its {MANIFEST} {how}; take another backup")


def _canonical(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, indent=1, ensure_ascii=True).encode() + b"\n"
