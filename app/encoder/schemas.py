"""What the API says of encoders."""

from datetime import datetime

from app.schemas import Answer


class EncoderAnswer(Answer):
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
