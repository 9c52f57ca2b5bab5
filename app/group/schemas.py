"""What clients send and get about groups."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final

import orjson
from pydantic import AfterValidator, Field

from app.schemas import Answer, ETag, Line, Strict, check_json

_MOST_PAYLOAD_BYTES: Final = 65_536


class RecordsOf(StrEnum):
    """What becomes of the records of a deleted group."""

    DELETE = "delete"
    DETACH = "detach"


def _fits(value: Any) -> Any:
    size = len(orjson.dumps(check_json(value)))
    if size > _MOST_PAYLOAD_BYTES:
        raise ValueError(f"is {size} bytes long, the most is {_MOST_PAYLOAD_BYTES}: shorten it")
    return value


Payload = Annotated[Any, AfterValidator(_fits)]


class GroupPut(Strict):
    """A group, whole."""

    title: Line | None = None
    payload: Payload = Field(default=None, description="any JSON to get back with the group, such as an answer")


class GroupPatch(GroupPut):
    """What of a group is to change."""


class GroupAnswer(Answer):
    """A group."""

    id: str
    title: str | None
    payload: Any
    records: int
    version: int
    etag: ETag
    created_at: datetime
    updated_at: datetime
