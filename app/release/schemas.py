"""What the API says of releases."""

from datetime import datetime

from pydantic import Field

from app.release.tables import ReleaseState
from app.schemas import Answer
from model.contract.evidence import OutOfScopeScore


class ReleaseAnswer(Answer):
    """A release: encoder and thresholds that belong together."""

    number: int
    encoder: str
    state: ReleaseState
    score: OutOfScopeScore = Field(description="what the threshold is on")
    threshold: float
    margin: float
    head_weight: float
    created_at: datetime
    activated_at: datetime | None
