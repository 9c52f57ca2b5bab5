"""What clients send and get about collections."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from app.schemas import Answer, Line, Name, Strict


class CollectionCreate(Strict):
    """A new collection; it starts with release 1 of the encoder."""

    name: Name
    encoder: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(
        description="registered name or sha256"
    )
    description: Line | None = None


class CollectionPatch(Strict):
    """What of a collection can be changed."""

    description: Line | None = None


class CollectionAnswer(Answer):
    """A collection.

    Attributes:
        encoder: sha256 of the active release's encoder.
        records: Stored records, out-of-scope ones included.
        visible_seq: Searches find every change up to it, on the server that answered.
        last_seq: Sequence number of the last change.
        index_recall: Measured index_recall@10; 1 where the index is exact; null while it is loading.
    """

    name: str
    description: str | None
    encoder: str
    encoder_name: str
    dim: int
    records: int
    groups: int
    last_seq: int
    visible_seq: int
    index_recall: float | None
    active_release: int
    version: int
    created_at: datetime
    updated_at: datetime
