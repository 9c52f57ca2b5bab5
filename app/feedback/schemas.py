"""What clients send and get about feedback."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Self

import orjson
from pydantic import AfterValidator, Field, StringConstraints, model_validator

from app.feedback.tables import FeedbackSource, FeedbackState, Verdict
from app.record.schemas import Metadata, MetadataValue
from app.record.tables import Role
from app.schemas import MOST_ITEMS, Answer, Key, Sentence, Strict
from model.contract.deciding.decision import Outcome

_MOST_METADATA_BYTES: Final = 8_192
"""Half of what a record may have: the record gets more beside it."""


def _fits(value: dict[str, MetadataValue]) -> dict[str, MetadataValue]:
    size = len(orjson.dumps(value))
    if size > _MOST_METADATA_BYTES:
        raise ValueError(f"is {size} bytes long, the most is {_MOST_METADATA_BYTES}: shorten it")
    return value


AnswerId = Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")]


class FeedbackCreate(Strict):
    """What somebody says of an answer."""

    text: Sentence
    verdict: Annotated[Verdict, Field(strict=False)] = Field(
        description="right_group: it belongs to `group`; out_of_scope: to none; wrong_answer: nobody knows yet"
    )
    group: Key | None = Field(default=None, description="with right_group, and only then; it need not be there yet")
    answer_id: AnswerId | None = Field(default=None, description="one of the answer_ids of the answer")
    metadata: Annotated[Metadata, AfterValidator(_fits)] = Field(
        default_factory=dict, description="goes into the record: flat, as a record's"
    )

    @model_validator(mode="after")
    def _names_a_group(self) -> Self:
        if (self.verdict is Verdict.RIGHT_GROUP) != (self.group is not None):
            raise ValueError("give group with the verdict right_group, and with no other")
        return self


class Resolution(StrEnum):
    """What somebody decides on an item."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


class FeedbackPatch(Strict):
    """What becomes of an item."""

    state: Annotated[Resolution, Field(strict=False)]
    group: Key | None = Field(default=None, description="where the text belongs; by default the group that was named")
    role: Annotated[Role, Field(strict=False)] | None = Field(
        default=None, description="out_of_scope: it belongs to no group; by default what the verdict says"
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.state is Resolution.REJECTED and (self.group is not None or self.role is not None):
            raise ValueError("give group and role with accepted only: what is rejected makes no record")
        if self.role is Role.OUT_OF_SCOPE and self.group is not None:
            raise ValueError("give group or the role out_of_scope, not both: what is out of scope has no group")
        return self


class ResolveRequest(FeedbackPatch):
    """What becomes of several items, such as those of a cluster."""

    ids: Annotated[list[Key], Field(min_length=1, max_length=MOST_ITEMS)]


class EraseFeedbackRequest(Strict):
    """Texts to erase for good."""

    texts: Annotated[list[Sentence], Field(min_length=1, max_length=MOST_ITEMS)]


class EraseFeedbackAnswer(Answer):
    """What was erased.

    Attributes:
        erased: Items that had one of the texts.
        records: Records that the accepted ones of them had become or confirmed; POST records:erase erases these.
    """

    erased: int
    records: list[str]


class FeedbackReceipt(Answer):
    """A stored item, without its text: the answer may be kept for an Idempotency-Key."""

    id: str
    state: FeedbackState


class ResolvedItem(Answer):
    """What became of one item: a status like HTTP's, and where it could not be done a problem's code and detail.

    Attributes:
        record: The record that has the text in its group now.
        created: Whether that record is new.
    """

    id: str
    status: int
    record: str | None = None
    created: bool | None = None
    code: str | None = None
    detail: str | None = None


class ResolveAnswer(Answer):
    """What became of each item, in the order given.

    Attributes:
        seq: Sequence number that is visible once all new records are.
        training_ordered: Whether these were the last that a training was waiting for.
    """

    items: list[ResolvedItem]
    seq: int
    training_ordered: bool


class GroupGuess(Answer):
    """A group that a release thought of."""

    group: str
    confidence: float


class FeedbackAnswer(Answer):
    """An item: feedback, or a kept query.

    Attributes:
        verdict: Null of a kept query.
        group: The one that was named; once accepted, the one the text went into.
        role, record: Of what it became, once accepted.
        count: How often it was asked; 1 of feedback.
        release, decision, confidence, groups: What was answered when a kept query was asked last.
        created_by, resolved_by: The keys that these requests came with.
    """

    id: str
    source: FeedbackSource
    text: str
    verdict: Verdict | None
    group: str | None
    answer_id: str | None
    metadata: dict[str, MetadataValue]
    state: FeedbackState
    role: Role | None
    record: str | None
    count: int
    release: int | None
    decision: Outcome | None
    confidence: float | None
    groups: list[GroupGuess] | None
    created_by: str | None
    created_at: datetime
    last_seen_at: datetime
    resolved_by: str | None
    resolved_at: datetime | None


class Action(StrEnum):
    """What had better be done with a cluster."""

    ADD_TO_GROUP = "add_to_group"
    NEW_GROUP = "new_group"
    OUT_OF_SCOPE = "out_of_scope"


class Suggestion(Answer):
    """What had better be done with a cluster, and the group to add it to."""

    action: Action
    group: str | None


class NearGroup(Answer):
    """A group near a cluster's first text: the score it is ranked by, and the probability that it is right."""

    group: str
    score: float
    confidence: float


class ClusterItem(Answer):
    """One item of a cluster, and its text's cosine to the cluster's first text."""

    id: str
    text: str
    source: FeedbackSource
    verdict: Verdict | None
    group: str | None
    count: int
    score: float


class Cluster(Answer):
    """Pending items whose texts are near each other.

    Attributes:
        text: Of the item that was asked most often; the others are near to it.
        size: Items.
        count: How often they were asked together.
        uncertainty: From 0 to 1: 1 where people sent feedback, else how unsure the release is of its answers.
        priority: (1 + uncertainty) times log2(1 + count); clusters come in its order.
        groups: Those near it, nearest first.
        items: The text's own first, then the others by how often they were asked.
    """

    text: str
    size: int
    count: int
    uncertainty: float
    priority: float
    decision: Outcome
    groups: list[NearGroup]
    suggestion: Suggestion
    items: list[ClusterItem]


class ReviewQueue(Answer):
    """What to look at first.

    Attributes:
        release: Whose encoder and thresholds it was made with.
        pending: Items that wait.
        considered: How many of them were looked at: those asked most often, the newest of these.
        threshold: Least cosine to a cluster's first text.
        clusters: All of these items, or the first clusters of them.
    """

    release: int
    pending: int
    considered: int
    threshold: float
    clusters: list[Cluster]
