"""The kinds of path and query parameters that routes share."""

from enum import StrEnum
from typing import Annotated, Final

from fastapi import Path, Query
from pydantic import AfterValidator
from starlette.convertors import StringConvertor, register_url_convertor

from app.schemas import MOST_ITEMS, check_key


class Wait(StrEnum):
    """When a write is answered."""

    COMMITTED = "committed"
    VISIBLE = "visible"


class _NameConvertor(StringConvertor):
    """No name of a collection has a colon: what comes after one is a verb, and has routes of its own."""

    regex = "[^/:]+"


register_url_convertor("name", _NameConvertor())

COLLECTION: Final = "/v1/collections/{collection:name}"
"""Path of one collection."""

CollectionName = Annotated[str, Path(description="name of the collection", examples=["faq"])]
NameOrSha = Annotated[str, Path(max_length=256, description="sha256 or name", examples=["faq-encoder"])]
ItemKey = Annotated[
    str,
    Path(min_length=1, max_length=256, description="no slash, no control character", examples=["r1"]),
    AfterValidator(check_key),
]
ReleaseNumber = Annotated[int, Path(ge=1, le=2**31 - 1, description="number of the release", examples=[1])]
Limit = Annotated[int, Query(ge=1, le=MOST_ITEMS, description="items of the page")]
Cursor = Annotated[str | None, Query(max_length=256, description="next_cursor of the page before")]
WaitFor = Annotated[Wait, Query(description="visible: answer when searches find it; committed: when it is durable")]
