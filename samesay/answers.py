"""What the server answers. Fields that a newer server adds are left out; docs/openapi.json says what each means."""

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

T = TypeVar("T")

Decision = Literal["matched", "ambiguous", "no_match"]
JobState = Literal["queued", "running", "succeeded", "failed", "cancelling", "cancelled"]
Role = Literal["example", "out_of_scope"]
MetadataValue = str | bool | int | float | list[str]


class Answer(BaseModel):
    """Base of all of them."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Page(Answer, Generic[T]):
    """Some items of a list."""

    items: list[T]
    next_cursor: str | None


class Limits(Answer):
    """The most of everything."""

    body_bytes: int
    text_bytes: int
    batch_items: int
    page_items: int
    queries: int
    neighbours: int
    filter_fields: int
    filter_values: int
    queued_sentences: int
    upload_bytes: int
    unpacked_bytes: int
    unfinished_jobs: int


class Info(Answer):
    """What the server is."""

    version: str
    database: str
    python: str
    unicode_data: str
    onnxruntime: str
    providers: list[str]
    index_device: str
    encoders: int
    collections: int
    limits: Limits


class Encoder(Answer):
    """A registered encoder."""

    sha: str
    name: str
    dim: int
    max_tokens: int
    max_chars: int
    languages: list[str]
    n_labels: int
    metrics: dict[str, float]
    created_at: datetime


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
    keep_queries: Literal["off", "unmatched", "sampled"]
    keep_queries_share: float
    keep_queries_days: int
    keep_queries_most: int
    auto_retrain_after: int | None
    active_release: int
    version: int
    created_at: datetime
    updated_at: datetime


class Group(Answer):
    """A group."""

    id: str
    title: str | None
    payload: Any
    records: int
    version: int
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
    created_at: datetime
    updated_at: datetime


class Written(Answer):
    """A stored record; `visible` with wait="visible" only: false where that took too long."""

    id: str
    seq: int
    version: int
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


class Neighbour(Answer):
    """A record and its cosine to the query."""

    id: str
    text: str
    group: str | None
    score: float


class SearchResult(Answer):
    """The neighbours of each query, best first."""

    release: int
    answer_ids: list[str]
    truncated: bool
    truncated_queries: list[int] = []
    results: list[list[Neighbour]]


class GroupConfidence(Answer):
    """A group and the probability that it is the right one."""

    group: str
    confidence: float


class LabelConfidence(Answer):
    """A label and the probability that it applies."""

    label: str
    confidence: float


class Classified(Answer):
    """What was decided on one sentence."""

    decision: Decision
    confidence: float
    groups: list[GroupConfidence]
    labels: list[LabelConfidence]
    truncated: bool


class ClassifyResult(Answer):
    """What was decided on each sentence."""

    release: int
    answer_ids: list[str]
    results: list[Classified]


class Similarity(Answer):
    """The cosine of the source with each target."""

    scores: list[float]
    truncated: bool


class JobProgress(Answer):
    """How far a job is."""

    stage: str
    done: int
    total: int | None
    unit: str
    per_second: float | None
    eta_s: float | None
    note: dict[str, float]


class JobProblem(Answer):
    """Why a job failed."""

    code: str
    detail: str


class JobData(Answer):
    """A job."""

    id: str
    type: str
    state: JobState
    collection: str
    progress: JobProgress
    result: dict[str, Any] | None
    error: JobProblem | None
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobEvent(Answer):
    """A moment of a job; `number` is where its event stream can be gone on with."""

    number: int
    state: JobState
    progress: JobProgress


class RowResult(Answer):
    """What became of one row of an import, with a status like HTTP's."""

    line: int
    status: int
    code: str
    id: str | None = None
    detail: str | None = None


class Release(Answer):
    """A release: encoder and thresholds that belong together."""

    number: int
    encoder: str
    state: str
    warm: bool
    behind: int | None
    previous: int | None
    job: str | None
    score: str
    threshold: float
    margin: float
    head_weight: float
    created_at: datetime
    activated_at: datetime | None


class Switched(Answer):
    """Which release answers now."""

    release: Release
    before: int
    answers: bool


class ReleaseEvent(Answer):
    """Something that happened to a release: who did it, and why."""

    release: int
    action: str
    who: str
    why: str
    at: datetime


class Flip(Answer):
    """A query that was decided otherwise."""

    text: str
    active: dict[str, Any]
    shadow: dict[str, Any]


class Shadow(Answer):
    """How a release's answers to live queries compared with the active one's."""

    release: int
    share: float | None
    since: datetime
    queries: int
    dropped: int
    agreement_at_1: float | None
    flips: int
    to_no_match: int
    from_no_match: int
    active_ms: float | None
    shadow_ms: float | None
    examples: list[Flip]


class Report(Answer):
    """How a release was made and judged."""

    release: int
    report: dict[str, Any]


class FeedbackReceipt(Answer):
    """Feedback that is stored."""

    id: str
    state: str
