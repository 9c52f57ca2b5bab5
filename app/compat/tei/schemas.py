"""Bodies of text-embeddings-inference's routes."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, RootModel

from app.compat.schemas import MOST_INPUTS, Lenient, Texts
from app.schemas import Answer, Sentence


class TruncationDirection(StrEnum):
    """Which end of a text is kept."""

    LEFT = "left"
    RIGHT = "right"

    @classmethod
    def _missing_(cls, value: object) -> "TruncationDirection | None":
        """It is written with a capital too."""
        return next((one for one in cls if isinstance(value, str) and one == value.lower()), None)


class Cutting(Lenient):
    """What becomes of a text that is longer than the encoder looks at."""

    truncate: bool | None = Field(default=None, description="false: refuse it; else its end is not looked at")
    truncation_direction: Annotated[TruncationDirection, Field(strict=False)] = Field(
        default=TruncationDirection.RIGHT, description="left is refused: it is the end that is cut off"
    )


class EmbedRequest(Cutting):
    """Texts to encode.

    Attributes:
        normalize: Vectors have unit length either way: the encoder was trained so.
    """

    inputs: Texts
    normalize: bool = True
    prompt_name: str | None = Field(default=None, description="refused: there are no prompts")
    dimensions: Annotated[int, Field(ge=1)] | None = Field(default=None, description="that of the encoder, or nothing")


class Compared(Lenient):
    """A sentence and those to compare it with."""

    source_sentence: Sentence
    sentences: Annotated[list[Sentence], Field(min_length=1, max_length=MOST_INPUTS)]


class SimilarityParameters(Cutting):
    """How to compare."""

    prompt_name: str | None = Field(default=None, description="refused: there are no prompts")


class TeiSimilarityRequest(Lenient):
    """What to compare, and how."""

    inputs: Compared
    parameters: SimilarityParameters | None = None


class RerankRequest(Cutting):
    """Texts to put in the order of their cosine to a query.

    Attributes:
        raw_scores: True: the cosine itself, from -1 to 1; false: moved to 0 to 1, (cosine + 1) / 2.
    """

    query: Sentence
    texts: Annotated[list[Sentence], Field(min_length=1, max_length=MOST_INPUTS)]
    raw_scores: bool = False
    return_text: bool = False


class Vectors(RootModel[list[list[float]]]):
    """A vector for each text."""


class Scores(RootModel[list[float]]):
    """A cosine for each sentence."""


class Rank(Answer):
    """A text's place: its position in the request, its score, and itself if that was wanted."""

    index: int
    score: float
    text: str | None = None


class Ranks(RootModel[list[Rank]]):
    """The texts, best first."""


class TeiInfoAnswer(Answer):
    """What answers here, as text-embeddings-inference says it.

    Attributes:
        model_id, model_sha: Name and sha256 of the encoder behind these routes.
        max_concurrent_requests: Sentences that may wait for the encoder; that bounds the requests too.
        max_batch_requests: Always null.
        tokenization_workers: Always 1.
    """

    model_id: str
    model_sha: str
    model_dtype: str = "float32"
    model_type: dict[str, Any]
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_batch_requests: int | None = None
    max_client_batch_size: int = MOST_INPUTS
    auto_truncate: bool = True
    tokenization_workers: int = 1
    version: str
    sha: str | None = None
    docker_label: str | None = None


class ErrorType(StrEnum):
    """Kinds of errors, by the names that text-embeddings-inference gives them."""

    UNHEALTHY = "Unhealthy"
    BACKEND = "Backend"
    OVERLOADED = "Overloaded"
    VALIDATION = "Validation"
    UNAUTHORIZED = "Unauthorized"


class TeiErrorAnswer(Answer):
    """An error as text-embeddings-inference tells it."""

    error: str
    error_type: ErrorType
