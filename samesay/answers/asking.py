"""What the server answers to questions, and to what is said of its answers."""

from typing import Literal

from pydantic import Field

from samesay.answers.base import Answer

Decision = Literal["matched", "ambiguous", "no_match"]


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
    truncated_queries: list[int] = Field(default=[])
    incomplete_queries: list[int] = Field(default=[])
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


class FeedbackReceipt(Answer):
    """Feedback that is stored."""

    id: str
    state: str
