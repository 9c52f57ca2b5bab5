"""What the server says of releases."""

from datetime import datetime
from typing import Any

from samesay.answers.base import Answer


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
