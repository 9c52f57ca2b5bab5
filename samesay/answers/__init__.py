"""What the server answers. Fields that a newer server adds are left out; docs/openapi.json says what each means."""

from samesay.answers.asking import (
    Classified,
    ClassifyResult,
    Decision,
    FeedbackReceipt,
    GroupConfidence,
    LabelConfidence,
    Neighbour,
    SearchResult,
    Similarity,
)
from samesay.answers.base import Answer, Page
from samesay.answers.jobs import JobData, JobEvent, JobProblem, JobProgress, JobState, RowResult
from samesay.answers.records import (
    BatchItem,
    BatchResult,
    CollectionState,
    Erased,
    Group,
    Index,
    MetadataValue,
    Record,
    Role,
    Written,
)
from samesay.answers.releases import Flip, Release, ReleaseEvent, Report, Shadow, Switched
from samesay.answers.server import Encoder, Info, Limits

__all__ = [
    "Answer",
    "BatchItem",
    "BatchResult",
    "Classified",
    "ClassifyResult",
    "CollectionState",
    "Decision",
    "Encoder",
    "Erased",
    "FeedbackReceipt",
    "Flip",
    "Group",
    "GroupConfidence",
    "Index",
    "Info",
    "JobData",
    "JobEvent",
    "JobProblem",
    "JobProgress",
    "JobState",
    "LabelConfidence",
    "Limits",
    "MetadataValue",
    "Neighbour",
    "Page",
    "Record",
    "Release",
    "ReleaseEvent",
    "Report",
    "Role",
    "RowResult",
    "SearchResult",
    "Shadow",
    "Similarity",
    "Switched",
    "Written",
]
