"""What the server says of itself and of encoders."""

from datetime import datetime

from samesay.answers.base import Answer


class Limits(Answer):
    """The most of everything."""

    body_bytes: int
    text_bytes: int
    batch_items: int
    page_items: int
    queries: int
    neighbours: int
    filter_fields: int
    filter_values: int
    queued_sentences: int
    upload_bytes: int
    unpacked_bytes: int
    unfinished_jobs: int


class Info(Answer):
    """What the server is."""

    version: str
    database: str
    python: str
    unicode_data: str
    onnxruntime: str
    providers: list[str]
    index_device: str
    index_server: str | None
    index_server_kind: str | None
    encoders: int
    collections: int
    limits: Limits


class Encoder(Answer):
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
