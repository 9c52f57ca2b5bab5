"""What the API says of releases."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from app.release.tables import ReleaseAction, ReleaseState
from app.schemas import Answer, Line, Strict
from model.contract.deciding.evidence import OutOfScopeScore


class ReleaseAnswer(Answer):
    """A release: encoder and thresholds that belong together."""

    number: int
    encoder: str
    state: ReleaseState
    warm: bool = Field(description="kept in memory and up to date, to answer within a moment")
    behind: int | None = Field(description="changes it lacks in this server's memory; null where it is not there")
    previous: int | None = Field(description="the release that it took over from")
    job: str | None = Field(description="the job that made it")
    score: OutOfScopeScore = Field(description="what the threshold is on")
    threshold: float
    margin: float
    head_weight: float
    created_at: datetime
    activated_at: datetime | None


class SwitchRequest(Strict):
    """Why another release shall answer."""

    why: Line = ""


class SwitchedAnswer(Answer):
    """Which release answers now.

    Attributes:
        release: The one that is active.
        before: Number of the one that was.
        answers: Whether this server has it in memory and answers with it; if not, it will once that is so.
    """

    release: ReleaseAnswer
    before: int
    answers: bool


class EventAnswer(Answer):
    """Something that happened to a release: who did it, and why."""

    release: int
    action: ReleaseAction
    who: str
    why: str
    at: datetime


class ShadowRequest(Strict):
    """How much a warm release is asked beside the active one."""

    share: float = Field(default=0.1, ge=0, le=1, description="of the queries; 0 ends it")
    examples: int = Field(
        default=20, ge=0, le=100, description="queries kept whose decision flips, until it ends; 0 keeps no text"
    )
    why: Line = ""


class FlipAnswer(Answer):
    """A query that was decided otherwise."""

    text: str
    active: dict[str, Any]
    shadow: dict[str, Any]


class ShadowAnswer(Answer):
    """How a release's answers to live queries compared with the active one's."""

    release: int
    share: float | None = Field(description="null once it is asked no more")
    since: datetime
    queries: int
    dropped: int = Field(description="queries that were not asked, since too many waited")
    agreement_at_1: float | None = Field(description="share whose nearest record was the same")
    flips: int = Field(description="queries whose decision or group was another")
    to_no_match: int
    from_no_match: int
    active_ms: float | None = Field(description="encoding, searching and deciding, in the mean")
    shadow_ms: float | None
    examples: list[FlipAnswer]


class ReportForm(StrEnum):
    """How a report is told: JSON names records by their ids, the page shows what they say now."""

    JSON = "json"
    HTML = "html"


class ReportAnswer(Answer):
    """How a release was made and judged; it names records by their ids, and holds none of their texts."""

    release: int
    report: dict[str, Any]
