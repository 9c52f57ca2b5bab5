"""What the bodies of other servers' clients have in common."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from app.schemas import Sentence

MOST_INPUTS: Final = 2048
"""Texts of one request, as with OpenAI."""


class Lenient(BaseModel):
    """Base of what other servers' clients send: what we do not know of is left alone, since they send it unasked."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _no_tokens(value: Any) -> Any:
    """Refuse token ids, which mean nothing to another tokeniser."""
    if isinstance(value, Sequence) and not isinstance(value, str) and _is_tokens(value[:1]):
        raise ValueError(
            "holds token ids, which are of another model: send the text itself "
            "(with LangChain's OpenAIEmbeddings: check_embedding_ctx_length=False)"
        )
    return value


def _is_tokens(start: Sequence[Any]) -> bool:
    return any(isinstance(value, (int, list)) and not isinstance(value, bool) for value in start)


Texts = Annotated[
    list[Sentence],
    Field(min_length=1, max_length=MOST_INPUTS),
    BeforeValidator(_as_list),
    BeforeValidator(_no_tokens),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MOST_INPUTS},
            ]
        }
    ),
]
"""One text or several; a list in any case once it is parsed."""
