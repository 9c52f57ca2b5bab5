"""What the features' schemas share: strict bases, the checked kinds of text, pages and problems."""

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from model.contract.ids import MOST_ID_LENGTH, why_unfit

MOST_TEXT_BYTES: Final = 100_000
"""UTF-8 bytes of a sentence that can be stored; the encoder looks at its start only (`limits` of /v1/info)."""

MOST_ITEMS: Final = 1000
"""Items of a page or of a batch."""

_MOST_DEPTH: Final = 16
"""Levels of JSON inside one another."""

_NAME_PATTERN: Final = "^[a-z0-9][a-z0-9_-]{0,62}$"

HALF_A_PAIR: Final = "holds half a surrogate pair, which is no character: remove it, or send both halves"

T = TypeVar("T")


class Strict(BaseModel):
    """Base of what clients send: unknown keys are refused, nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class OneRemedy:
    """Mark of a type that is any of several: one complaint instead of one about each, with the remedy."""

    remedy: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        assert schema["type"] == "union"
        return {**schema, "custom_error_type": "none_of_several", "custom_error_message": self.remedy}


@dataclass(frozen=True, slots=True)
class AtMost:
    """Mark of a dictionary: its fields are counted before any is looked at, as each may bring a complaint."""

    most: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._count, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "maxProperties": self.most}

    def _count(self, value: Any) -> Any:
        if isinstance(value, dict) and len(value) > self.most:
            raise ValueError(f"has {len(value)} fields, the most is {self.most}: give fewer")
        return value


class Answer(BaseModel):
    """Base of what we send."""

    model_config = ConfigDict(frozen=True)


def _has_text(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty or blank: give a sentence")
    if "\0" in value:
        raise ValueError("holds a NUL character: remove it")
    return value


def _fits(value: str) -> str:
    size = len(_in_utf8(value))
    if size > MOST_TEXT_BYTES:
        raise ValueError(f"is {size} bytes long, the most is {MOST_TEXT_BYTES}: shorten it")
    return value


def check_key(value: str) -> str:
    """Refuse what cannot stand in a path, or not for long."""
    unfit = why_unfit(value)
    if unfit is not None:
        raise ValueError(unfit)
    return value


def check_name(value: str) -> str:
    """Refuse what is no name for a collection or an encoder: it stands in URLs and file names on every system."""
    if not re.fullmatch(_NAME_PATTERN, value):
        raise ValueError("is no name: give 1 to 63 lower-case letters a-z, digits, - and _, a letter or digit first")
    return value


def _in_utf8(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise ValueError(HALF_A_PAIR) from None


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("holds a NUL character: remove it")
    return value


Sentence = Annotated[str, AfterValidator(_has_text), AfterValidator(_fits)]
"""A text to store or to look for, not blank."""

Key = Annotated[str, StringConstraints(min_length=1, max_length=MOST_ID_LENGTH), AfterValidator(check_key)]
"""A client's id of a record or a group, or a tag."""

Name = Annotated[str, AfterValidator(check_name), Field(json_schema_extra={"pattern": _NAME_PATTERN})]
"""Name of a collection or of an encoder."""

ETag = Annotated[str, Field(description="for If-Match: this very content, which no namesake made anew shares")]
"""What the header ETag says, without its quotes; see app.http.preconditions."""

Line = Annotated[str, StringConstraints(max_length=1000), AfterValidator(_no_nul)]
"""A title or a description."""


def check_json(value: Any) -> Any:
    """Refuse what a database or JSON itself cannot keep: NUL, lone surrogates, NaN, huge numbers, deep nests."""
    _check_leaves(value, 0)
    return value


def _check_leaves(value: Any, depth: int) -> None:
    if depth > _MOST_DEPTH:
        raise ValueError(f"is nested deeper than {_MOST_DEPTH} levels")
    if isinstance(value, str):
        _no_nul(value)
        _in_utf8(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_leaves(key, depth)
            _check_leaves(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_leaves(item, depth + 1)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("holds a number that is not finite")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("holds a whole number beyond 64 bits: send it as a string")


class Page(Answer, Generic[T]):
    """Some items of a list, in a stable order.

    Attributes:
        next_cursor: Give it as `cursor` for the items after these; null at the end.
    """

    items: list[T]
    next_cursor: str | None


class ProblemField(Answer):
    """One wrong value."""

    pointer: str = Field(description="JSON pointer into the body, or the parameter's name")
    detail: str


class Problem(Answer):
    """An error, after RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    errors: list[ProblemField] = Field(default=[])
