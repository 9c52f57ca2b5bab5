"""manifest.json: what a bundle holds, how it was made, and a checksum of each of its files."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from model.contract.decision import DecisionParameters

SCHEMA_VERSION: Final = 1
MANIFEST_FILE: Final = "manifest.json"
TEXT_FILE: Final = "text.json"
VOCABULARY_FILE: Final = "vocab.txt"
ENCODER_FILE: Final = "encoder.onnx"
PROBE_FILE: Final = "probe.json"
HEAD_FILE: Final = "head.npy"
LABELS_FILE: Final = "labels.json"
REQUIRED_FILES: Final = (TEXT_FILE, VOCABULARY_FILE, ENCODER_FILE, PROBE_FILE)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Strict):
    """Size and checksum of one file."""

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class DatasetSummary(_Strict):
    """What the encoder was trained on."""

    fingerprint: str
    n_sentences: int
    n_groups: int


class Manifest(_Strict):
    """The first file read of a bundle. The bundle's identity is the sha256 of this file."""

    schema_version: int = SCHEMA_VERSION
    samesay_version: str
    dim: int = Field(ge=1)
    max_tokens: int
    max_chars: int
    text_version: int
    unicode_data: str
    opset: int
    storage: Literal["float32", "float16"]
    inputs: tuple[str, ...]
    languages: tuple[str, ...]
    head: Literal["softmax", "sigmoid"] | None
    n_labels: int
    decision: DecisionParameters
    parent: str | None
    dataset: DatasetSummary
    config: dict[str, Any]
    seed: int
    metrics: dict[str, float]
    files: dict[str, FileEntry]
