"""ETags, If-Match and If-None-Match: a write that happens only on what the client has seen."""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import orjson
from fastapi import Request

from app.errors import InvalidValueError, PreconditionFailedError

_HASH_DIGITS: Final = 12
"""Of the content's hash in a tag; it decides only between a database and the one restored in its place."""


def tag_of(key: int, version: int, content_hash: str) -> str:
    """The ETag of a stored row, without its quotes; no two contents of a row, nor of two namesakes, have the same.

    Args:
        key: The row's number, which no later row of the table gets: a namesake made anew is another.
        version: How often the row was changed.
        content_hash: Hexadecimal. A database restored from a backup gives the numbers that came after it anew.
    """
    return f"{key}-{version}-{content_hash[-_HASH_DIGITS:]}"


def hash_of(content: Any) -> str:
    """A hash of JSON in hexadecimal, whatever the order of its keys."""
    return hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Precondition:
    """What must hold of what is stored, None standing for "there is none".

    Attributes:
        tags: Any of these ETags; None demands nothing.
        exists: It must exist (If-Match: *).
        absent: It must not exist (If-None-Match: *).
    """

    tags: frozenset[str] | None = None
    exists: bool = False
    absent: bool = False

    @property
    def demands_nothing(self) -> bool:
        """Whether any ETag, and none, would do: then nobody need look it up."""
        return self == _NOTHING

    def check(self, tag: str | None, *, what: str) -> None:
        """Raise PreconditionFailedError unless what is stored, by its ETag, is what is demanded."""
        if self.absent and tag is not None:
            raise PreconditionFailedError(f"{what} exists already, with ETag {tag}, and If-None-Match: * forbids it")
        if (self.exists or self.tags is not None) and tag is None:
            raise PreconditionFailedError(f"{what} does not exist, and If-Match demands it")
        if self.tags is not None and tag not in self.tags:
            raise PreconditionFailedError(
                f"{what} has ETag {tag}, If-Match names another: get it again, then repeat the change"
            )


_NOTHING: Final = Precondition()

_SEEN: Final = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "an ETag that was seen, several with commas between, or * for any: else 412, and nothing is changed",
    "schema": {"type": "string"},
    "example": '"7-2-90f3a1c4d2be"',
}
_NEW: Final = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "only if there is none yet: else 412, and nothing is changed",
    "schema": {"type": "string", "enum": ["*"]},
}
CHANGES: Final[dict[str, Any]] = {"parameters": [_SEEN]}
"""`openapi_extra` of a route that changes what is there; the hot routes read headers themselves, past the framework."""

CREATES_OR_CHANGES: Final[dict[str, Any]] = {"parameters": [_SEEN, _NEW]}
"""`openapi_extra` of a route that creates too."""


def read_precondition(request: Request) -> Precondition:
    """Read both headers.

    Raises:
        InvalidValueError: A header in a form that we never send.
    """
    if_match, if_none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    if if_none_match is not None and if_none_match.strip() != "*":
        raise InvalidValueError("If-None-Match: only * is supported, which creates and never replaces")
    absent = if_none_match is not None
    if if_match is None:
        return Precondition(absent=absent)
    if if_match.strip() == "*":
        return Precondition(exists=True, absent=absent)
    return Precondition(tags=frozenset(_bare(tag) for tag in if_match.split(",")), absent=absent)


def _bare(tag: str) -> str:
    """A tag without quotes, and without the mark of a proxy that compressed the answer."""
    return tag.strip().removeprefix("W/").strip('"')


def etag(tag: str) -> dict[str, str]:
    """The header that names what is stored now."""
    return {"ETag": f'"{tag}"'}
