"""What the server says of collections, groups and records."""

from datetime import datetime
from typing import Any, Literal

from samesay.answers.base import Answer

Role = Literal["example", "out_of_scope"]
KeepQueries = Literal["off", "unmatched", "sampled"]
MetadataValue = str | bool | int | float | list[str]


class Index(Answer):
    """What an index consists of."""

    kind: str
    parameters: dict[str, int]
    vectors: int
    uncompacted: int
    snapshot_seq: int


class CollectionState(Answer):
    """A collection."""

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
    index: Index | None
    keep_queries: KeepQueries
    keep_queries_share: float
    keep_queries_days: int
    keep_queries_most: int
    auto_retrain_after: int | None
    active_release: int
    version: int
    etag: str
    created_at: datetime
    updated_at: datetime


class Group(Answer):
    """A group."""

    id: str
    title: str | None
    payload: Any
    records: int
    version: int
    etag: str
    created_at: datetime
    updated_at: datetime


class Record(Answer):
    """A record."""

    id: str
    text: str
    group: str | None
    labels: list[str]
    role: Role
    source: str
    metadata: dict[str, MetadataValue]
    seq: int
    version: int
    etag: str
    created_at: datetime
    updated_at: datetime


class Written(Answer):
    """A stored record; `visible` with wait="visible" only: false where that took too long."""

    id: str
    seq: int
    version: int
    etag: str
    truncated: bool
    visible: bool | None = None


class BatchItem(Answer):
    """What became of one item, with a status like HTTP's."""

    id: str | None
    status: int
    seq: int | None = None
    truncated: bool | None = None
    code: str | None = None
    detail: str | None = None


class BatchResult(Answer):
    """What became of each item, upserts first, in the order given."""

    items: list[BatchItem]
    seq: int
    visible: bool | None = None


class Erased(Answer):
    """What was erased."""

    erased: list[str]
    missing: list[str]
    seq: int
