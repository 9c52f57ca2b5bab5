"""What clients send and get about records."""

from datetime import datetime
from typing import Annotated, Any, Final

import orjson
from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from app.record.tables import Role, Source
from app.schemas import MOST_ITEMS, Answer, AtMost, ETag, Key, OneRemedy, Sentence, Strict, check_json

MetadataValue = Annotated[
    str | bool | int | float | list[str], OneRemedy("give a string, a number, true or false, or a list of strings")
]

_MOST_METADATA_BYTES: Final = 16_384

_MOST_FIELDS: Final = 4096
"""Of metadata: no more have room in that."""


def _fits(value: dict[str, MetadataValue]) -> dict[str, MetadataValue]:
    check_json(value)
    size = len(orjson.dumps(value))
    if size > _MOST_METADATA_BYTES:
        raise ValueError(f"is {size} bytes long, the most is {_MOST_METADATA_BYTES}: shorten it")
    return value


def _sorted_once(labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(labels)))


Metadata = Annotated[dict[str, MetadataValue], AtMost(_MOST_FIELDS), AfterValidator(_fits)]
# fail_fast: else there is a complaint about every wrong one, however many
_Sent = Annotated[tuple[Key, ...], Field(max_length=64, strict=False, fail_fast=True)]
Labels = Annotated[_Sent, AfterValidator(_sorted_once)]
LaxRole = Annotated[Role, Field(strict=False)]
LaxSource = Annotated[Source, Field(strict=False)]


class RecordPut(Strict):
    """A record, whole, without its id."""

    text: Sentence
    group: Key | None = None
    labels: Labels = ()
    role: LaxRole = Field(
        default=Role.EXAMPLE, description="out_of_scope: never found, trains thresholds, has no group"
    )
    metadata: Metadata = Field(
        default_factory=dict, description="flat: strings, finite numbers, booleans, lists of strings"
    )
    source: LaxSource = Source.API

    @field_validator("role")
    @classmethod
    def _has_no_group(cls, role: Role, others: ValidationInfo) -> Role:
        if role is Role.OUT_OF_SCOPE and others.data.get("group") is not None:
            raise ValueError("give group or the role out_of_scope, not both: what is out of scope has no group")
        return role


class RecordDraft(RecordPut):
    """A record, whole, as an item of a batch."""

    id: Key


class BatchRequest(Strict):
    """Upserts and deletes, applied together in one transaction."""

    upsert: Annotated[list[RecordDraft], Field(max_length=MOST_ITEMS)] = Field(default=[])
    delete: Annotated[list[Key], Field(max_length=MOST_ITEMS)] = Field(default=[])


class LooseBatch(Strict):
    """A batch some of whose items may be wrong; each is checked alone."""

    upsert: Annotated[list[Any], Field(max_length=MOST_ITEMS)] = Field(default=[])
    delete: Annotated[list[Any], Field(max_length=MOST_ITEMS)] = Field(default=[])


class WriteAnswer(Answer):
    """A stored record.

    Attributes:
        seq: Sequence number of its last change; the same content again leaves it alone.
        truncated: Whether the encoder sees the start of the text only.
        visible: With wait=visible: whether searches find it now; false when the wait took too long.
    """

    id: str
    seq: int
    version: int
    etag: ETag
    truncated: bool
    visible: bool | None = None


class DeleteAnswer(Answer):
    """A deletion that is done but that searches do not show yet: wait=visible took too long."""

    visible: bool


class EraseRequest(Strict):
    """Records to erase for good."""

    ids: Annotated[list[Key], Field(min_length=1, max_length=MOST_ITEMS)]


class EraseAnswer(Answer):
    """What was erased.

    Attributes:
        erased: Records that were there.
        missing: Ids of no record; what older snapshots held of them is gone too.
        seq: Sequence number up to which every copy is clean.
    """

    erased: list[str]
    missing: list[str]
    seq: int


class BatchItem(Answer):
    """What became of one item: a status like HTTP's, and for a wrong item a problem's code and detail."""

    id: str | None
    status: int
    seq: int | None = None
    truncated: bool | None = None
    code: str | None = None
    detail: str | None = None


class BatchAnswer(Answer):
    """What became of each item, upserts first, in the order given."""

    items: list[BatchItem]
    seq: int = Field(description="sequence number that is visible once all of the batch is")
    visible: bool | None = None


class RecordAnswer(Answer):
    """A record."""

    id: str
    text: str
    group: str | None
    labels: list[str]
    role: Role
    source: Source
    metadata: dict[str, MetadataValue]
    seq: int
    version: int
    etag: ETag
    created_at: datetime
    updated_at: datetime
