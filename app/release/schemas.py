"""What the API says of releases."""

from datetime import datetime
from typing import Any

from pydantic import Field

from app.release.tables import ReleaseAction, ReleaseState
from app.schemas import Answer, Line, Strict
from model.contract.evidence import OutOfScopeScore


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


class ReportAnswer(Answer):
    """How a release was made and judged; it names records by their ids, and holds none of their texts."""

    release: int
    report: dict[str, Any]
