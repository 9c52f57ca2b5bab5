"""What the API says of the server itself."""

from enum import StrEnum

from app.schemas import Answer
from index.milvus_kinds import MilvusKind
from index.spec import Device


class Health(StrEnum):
    """How the server is."""

    ALIVE = "alive"
    READY = "ready"


class HealthAnswer(Answer):
    """How the server is.

    Attributes:
        failing: Collections that cannot be served; the log says why.
    """

    status: Health
    failing: int = 0


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


class InfoAnswer(Answer):
    """What this server is.

    Attributes:
        providers: Execution providers that ONNX Runtime really uses, of the encoders in memory.
        index_device: Where indexes are searched.
        index_server: Address of the Milvus server that large indexes are put on; null where there is none.
        index_server_kind: What is built there; null where there is none.
    """

    version: str
    database: str
    python: str
    unicode_data: str
    onnxruntime: str
    providers: list[str]
    index_device: Device
    index_server: str | None
    index_server_kind: MilvusKind | None
    encoders: int
    collections: int
    limits: Limits
