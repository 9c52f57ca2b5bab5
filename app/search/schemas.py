"""What clients send and get when they search, classify or compare."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from app.schemas import Answer, AtMost, Sentence, Strict
from app.search.filters import SearchFilter
from app.serving.catalogue.terms import Filter
from model.contract.deciding.decision import Outcome
from model.contract.deciding.prior import check_weights

MOST_QUERIES = 256
MOST_NEIGHBOURS = 1000
MOST_ANSWERS = 20_000
"""Neighbours of all queries of a request together: one request must not hold the others up."""

MOST_WEIGHTS = 10_000
"""Groups that a prior may name."""


class GroupBy(StrEnum):
    """How neighbours are folded."""

    GROUP = "group"


class SearchRequest(Strict):
    """One sentence to look for, or several."""

    query: Sentence | None = None
    queries: Annotated[list[Sentence], Field(min_length=1, max_length=MOST_QUERIES)] | None = None
    k: Annotated[int, Field(ge=1, le=MOST_NEIGHBOURS, description="neighbours of each query")] = 10
    group_by: Annotated[GroupBy, Field(strict=False)] | None = Field(
        default=None, description="group: the best record of each group; records without a group are left out"
    )
    filter: SearchFilter | None = Field(default=None, description="which records count: by group and metadata")
    min_score: Annotated[float, Field(ge=-1, le=1)] | None = Field(default=None, description="least cosine")
    release: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="ask this release; by default the one that answers. 404 unless it is active or kept warm",
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.query is None) == (self.queries is None):
            raise ValueError("give either query or queries")
        if len(self.sentences) * self.k > MOST_ANSWERS:
            raise ValueError(
                f"{len(self.sentences)} queries times k = {self.k} is more than {MOST_ANSWERS} neighbours: "
                "send fewer queries at once, or a smaller k"
            )
        return self

    @property
    def wanted(self) -> Filter | None:
        """Which records count; None for all."""
        return None if self.filter is None else self.filter.compiled

    @property
    def sentences(self) -> list[str]:
        """The sentences to look for."""
        return [self.query] if self.query is not None else self.queries or []


def _is_prior(weights: dict[str, float]) -> dict[str, float]:
    check_weights(weights)
    return weights


GroupName = Annotated[str, StringConstraints(max_length=256)]
"""Of what is looked for among the groups, so that no more of a `Key` need be checked."""

Weight = Annotated[float, Field(ge=0)]
Weights = Annotated[dict[GroupName, Weight], AtMost(MOST_WEIGHTS), AfterValidator(_is_prior)]


class ClassifyRequest(Strict):
    """One sentence to decide on, or several."""

    text: Sentence | None = None
    texts: Annotated[list[Sentence], Field(min_length=1, max_length=MOST_QUERIES)] | None = None
    top_n: Annotated[int, Field(ge=1, le=100, description="groups of each answer")] = 3
    release: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="ask this release; by default the one that answers. 404 unless it is active or kept warm",
    )
    prior: Weights | None = Field(
        default=None,
        description="how often each group is asked for here: counts or shares, 0 for never; a group that is not named "
        "counts as much as the rarest named one that does occur",
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.text is None) == (self.texts is None):
            raise ValueError("give either text or texts")
        return self

    @property
    def sentences(self) -> list[str]:
        """The sentences to decide on."""
        return [self.text] if self.text is not None else self.texts or []


class SimilarityRequest(Strict):
    """A sentence and those to compare it with."""

    encoder: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(description="name or sha256")
    source: Sentence
    targets: Annotated[list[Sentence], Field(min_length=1, max_length=MOST_QUERIES)]


class Neighbour(Answer):
    """A record and its cosine to the query."""

    id: str
    text: str
    group: str | None
    score: float


class SearchAnswer(Answer):
    """The neighbours of each query, best first.

    Attributes:
        truncated: Whether the encoder saw the start only of any query; `truncated_queries` says of which.
        incomplete_queries: Of a search by groups: 50,000 records were looked at for it, or those that an index server
            finds at most, and no farther ones.
    """

    release: int
    answer_ids: list[str]
    truncated: bool
    truncated_queries: list[int] = Field(default=[], description="positions; left out where there are none")
    incomplete_queries: list[int] = Field(
        default=[],
        description="positions of queries that may have more groups than are told, by group_by; left out where none",
    )
    results: list[list[Neighbour]]


class GroupAndConfidence(Answer):
    """A group and the probability that it is the right one."""

    group: str
    confidence: float


class LabelAndConfidence(Answer):
    """A label and the probability that it applies."""

    label: str
    confidence: float


class Classified(Answer):
    """What was decided on one sentence."""

    decision: Outcome
    confidence: float = Field(description="the probability that the decision is right")
    groups: list[GroupAndConfidence]
    labels: list[LabelAndConfidence] = Field(
        description="those that apply, surest first, where the encoder learned labels; it is then they that decide"
    )
    truncated: bool


class ClassifyAnswer(Answer):
    """What was decided on each sentence."""

    release: int
    answer_ids: list[str]
    results: list[Classified]


class SimilarityAnswer(Answer):
    """The cosine of the source with each target."""

    scores: list[float]
    truncated: bool
