"""Bodies of OpenAI's routes."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from app.compat.schemas import Lenient, Texts
from app.schemas import Answer


class EncodingFormat(StrEnum):
    """How a vector is written."""

    FLOAT = "float"
    BASE64 = "base64"


class EmbeddingsRequest(Lenient):
    """Texts to encode."""

    input: Texts = Field(description="one text or several; no token ids")
    model: Annotated[str, Field(min_length=1, max_length=256)] = Field(description="name or sha256 of an encoder")
    encoding_format: Annotated[EncodingFormat, Field(strict=False)] | None = Field(
        default=None, description="float by default, and where clients send null; base64: float32, little-endian"
    )
    dimensions: Annotated[int, Field(ge=1)] | None = Field(default=None, description="that of the encoder, or nothing")


class Embedding(Answer):
    """One text's vector, as numbers or in base64."""

    object: str = "embedding"
    index: int
    embedding: list[float] | str


class Usage(Answer):
    """Tokens that the encoder was given."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(Answer):
    """The vectors, in the order of the texts.

    Attributes:
        truncated: Positions of texts of which the encoder saw the start only; left out where there are none.
    """

    object: str = "list"
    data: list[Embedding]
    model: str
    usage: Usage
    truncated: list[int] = Field(default=[])


class ModelAnswer(Answer):
    """An encoder as OpenAI shows a model, with its width and the sha256 of its bundle beside that."""

    id: str
    object: str = "model"
    created: int = Field(description="seconds since 1970")
    owned_by: str = "samesay"
    dim: int
    sha: str


class ModelsAnswer(Answer):
    """All registered encoders."""

    object: str = "list"
    data: list[ModelAnswer]


class OpenAIError(Answer):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIErrorAnswer(Answer):
    """An error as OpenAI's API tells it."""

    error: OpenAIError
