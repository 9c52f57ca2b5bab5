"""manifest.json: what a bundle holds, how it was made, and a checksum of each of its files."""

from enum import StrEnum
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from model.contract.deciding.decision import DecisionParameters
from model.contract.deciding.evidence import OutOfScopeScore

SCHEMA_VERSION: Final = 1
MANIFEST_FILE: Final = "manifest.json"
TEXT_FILE: Final = "text.json"
VOCABULARY_FILE: Final = "vocab.txt"
ENCODER_FILE: Final = "encoder.onnx"
TOKENS_FILE: Final = "tokens.onnx"
SENTENCES_FILE: Final = "sentences.onnx"
PROBE_FILE: Final = "probe.json"
HEAD_FILE: Final = "head.npy"
LABELS_FILE: Final = "labels.json"
PRIOR_FILE: Final = "prior.npy"
WORDS_FILE: Final = "words.npz"
GRAMS_FILE: Final = "grams.npy"
FREQUENCIES_FILE: Final = "frequencies.npy"
REQUIRED_FILES: Final = (TEXT_FILE, VOCABULARY_FILE, ENCODER_FILE, PROBE_FILE)


class HeadKind(StrEnum):
    """What a head's scores are: one group of all, or any number of labels."""

    SOFTMAX = "softmax"
    SIGMOID = "sigmoid"


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
    """The first file read of a bundle. The bundle's identity is the sha256 of this file.

    Attributes:
        head_scale: By which training multiplied a softmax head's cosines; the energy score and the prior need it.
    """

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
    head: HeadKind | None
    head_scale: float | None = Field(default=None, gt=0)
    n_labels: int
    decision: DecisionParameters
    parent: str | None
    dataset: DatasetSummary
    config: dict[str, Any]
    seed: int
    metrics: dict[str, float]
    files: dict[str, FileEntry]

    @model_validator(mode="after")
    def _energy_has_a_scale(self) -> Self:
        if self.decision.score is OutOfScopeScore.ENERGY and self.head_scale is None:
            raise ValueError("the decision goes by the energy score, which needs head_scale")
        return self
