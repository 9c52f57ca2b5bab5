"""What the API says of releases."""

from datetime import datetime

from app.release.tables import ReleaseState
from app.schemas import Answer


class ReleaseAnswer(Answer):
    """A release: encoder and thresholds that belong together."""

    number: int
    encoder: str
    state: ReleaseState
    threshold: float
    margin: float
    head_weight: float
    created_at: datetime
    activated_at: datetime | None
