"""What clients send and get about collections."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from app.collection.tables import DEFAULT_TARGET_RECALL
from app.feedback.keeping import FeedbackSettings, KeepQueries
from app.schemas import Answer, ETag, Line, Name

TargetRecall = Annotated[float, Field(ge=0.5, le=1)]
_TARGET = "index_recall@10 that the index is tuned for; exact where it is small"


class CollectionCreate(FeedbackSettings):
    """A new collection; it starts with release 1 of the encoder."""

    name: Name
    encoder: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(
        description="registered name or sha256"
    )
    description: Line | None = None
    target_index_recall: TargetRecall = Field(default=DEFAULT_TARGET_RECALL, description=_TARGET)


class CollectionPatch(FeedbackSettings):
    """What of a collection can be changed."""

    description: Line | None = None
    target_index_recall: TargetRecall = Field(default=DEFAULT_TARGET_RECALL, description=_TARGET)


class IndexAnswer(Answer):
    """What an index consists of.

    Attributes:
        kind: How neighbours are found.
        parameters: Those of its kind, as tuned.
        vectors: Searchable records.
        uncompacted: Changes since the snapshot that it stands on.
        snapshot_seq: That snapshot is complete up to this change; 0 where there is none.
    """

    kind: str
    parameters: dict[str, int]
    vectors: int
    uncompacted: int
    snapshot_seq: int


class CollectionAnswer(Answer):
    """A collection.

    Attributes:
        encoder: sha256 of the active release's encoder.
        records: Stored records, out-of-scope ones included.
        visible_seq: Searches find every change up to it, on the server that answered.
        last_seq: Sequence number of the last change.
        index_recall: Measured index_recall@10; 1 where the index is exact; null while it is loading.
        target_index_recall: What the index is tuned for.
        index: What the index consists of, on the server that answered; null while it is loading.
        keep_queries, keep_queries_share, keep_queries_days, keep_queries_most: Which queries are kept, and how long.
        auto_retrain_after: Accepted items after which a training is ordered; null for never.
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
    target_index_recall: float
    index: IndexAnswer | None
    keep_queries: KeepQueries
    keep_queries_share: float
    keep_queries_days: int
    keep_queries_most: int
    auto_retrain_after: int | None
    active_release: int
    version: int
    etag: ETag
    created_at: datetime
    updated_at: datetime
