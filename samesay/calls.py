"""Requests as data: what a method of the client asks the server, said once for both kinds of clients."""

import json
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final, Generic, Literal, Protocol, TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from samesay.errors import UnexpectedAnswerError

T = TypeVar("T")

Value = str | int | float | bool | None
Query = Mapping[str, Value | list[str]]


class Repeat(Enum):
    """When a request may be sent again though an earlier one may have been done."""

    ALWAYS = "it changes nothing, or nothing more the second time"
    WITH_KEY = "the server does it once for each Idempotency-Key"
    NEVER = "it could be done twice, or be refused for having been done"


class Content(Protocol):
    """A body that is sent in pieces."""

    @property
    def is_repeatable(self) -> bool:
        """Whether it can be sent a second time."""
        ...

    def pieces(self) -> Iterable[bytes]:
        """From the start, for a client that blocks."""
        ...

    def pieces_async(self) -> AsyncIterable[bytes]:
        """From the start, for one that does not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request.

    Attributes:
        path: Below the server's URL; quoted.
        timeout_s: How long to wait for each piece of the answer; None for the client's own.
    """

    method: str
    path: str
    query: Query = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | Content | None = None
    timeout_s: float | None = None

    def having(self, headers: Mapping[str, str]) -> "Request":
        """The same with more headers."""
        return replace(self, headers={**self.headers, **headers})


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request, how its answer is read, and whether it may be repeated.

    Attributes:
        missing_is_done: It deletes: where it was sent before and may have been done, 404 says that it is.
    """

    request: Request
    read: Callable[[httpx.Response], T]
    repeat: Repeat
    missing_is_done: bool = False


def path(*steps: str | int) -> str:
    """A path of quoted steps: ("v1", "jobs", "x/y") is /v1/jobs/x%2Fy.

    Raises:
        ValueError: A step is "", "." or "..": HTTP takes these away, and with ".." the step before it.
    """
    for step in steps:
        if step in ("", ".", ".."):
            raise ValueError(f"{step!r} has a meaning of its own in a URL's path: give the name or id of something")
    return "".join("/" + quote(str(step), safe=":") for step in steps)


class _Keep(Enum):
    KEEP = "keep"

    def __repr__(self) -> str:
        return "KEEP"


KEEP: Final = _Keep.KEEP
"""What a change leaves as it is, where None would take it away."""

Keep = Literal[_Keep.KEEP]


def listed(name: str, values: Iterable[T]) -> list[T]:
    """Several values as a list.

    Raises:
        TypeError: It is one alone: of a string each character would be taken for a value, of a mapping each key.
    """
    if isinstance(values, str | bytes | Mapping):
        raise TypeError(f"{name} is a {type(values).__name__}: give a list, also of one")
    return list(values)


def given(**fields: Any) -> dict[str, Any]:
    """The fields that are not None: for the others the server's defaults hold."""
    return {name: value for name, value in fields.items() if value is not None}


def changed(**fields: Any) -> dict[str, Any]:
    """The fields that are not KEEP."""
    return {name: value for name, value in fields.items() if value is not KEEP}


def json_bytes(body: Any) -> bytes:
    """As JSON in UTF-8.

    Raises:
        ValueError: It holds NaN or an infinity, half a surrogate pair, or itself.
    """
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:
        around = error.object[max(0, error.start - 20) : error.end + 20]
        raise ValueError(f"{around!a} holds half a surrogate pair, which is no character: remove it") from None
    except ValueError as error:
        raise ValueError(f"what is to be sent is no JSON ({error}): send numbers that end, or None") from None


def asking(
    method: str, where: str, answer: Any, *, query: Query | None = None, body: Mapping[str, Any] | None = None
) -> Call[Any]:
    """A call that changes nothing."""
    return _call(method, where, answer, query, body, {}, Repeat.ALWAYS)


def changing(
    method: str,
    where: str,
    answer: Any,
    *,
    query: Query | None = None,
    body: Mapping[str, Any] | None = None,
    if_match: str | None = None,
    only_new: bool = False,
    repeat: Repeat = Repeat.ALWAYS,
) -> Call[Any]:
    """A call that changes something, only as the caller has seen it if it says so.

    Such a call is not repeated: the second one would be refused since the first was done.
    """
    headers = {}
    if if_match is not None:
        headers["If-Match"] = f'"{if_match}"'
    if only_new:
        headers["If-None-Match"] = "*"
    return _call(method, where, answer, query, body, headers, Repeat.NEVER if headers else repeat)


def _call(
    method: str,
    where: str,
    answer: Any,
    query: Query | None,
    body: Mapping[str, Any] | None,
    headers: dict[str, str],
    repeat: Repeat,
) -> Call[Any]:
    if body is not None:
        headers["Content-Type"] = "application/json"
    request = Request(
        method=method,
        path=where,
        query={name: value for name, value in (query or {}).items() if value is not None},
        headers=headers,
        content=None if body is None else json_bytes(body),
    )
    return Call(request, reader(answer), repeat, missing_is_done=method == "DELETE" and answer is None)


def reader(answer: Any) -> Callable[[httpx.Response], Any]:
    """What reads an answer of this type.

    The reader raises UnexpectedAnswerError for another one.
    """
    if answer is None:
        return lambda _: None
    adapter: TypeAdapter[Any] = TypeAdapter(answer)

    def read(response: httpx.Response) -> Any:
        try:
            return adapter.validate_json(response.content)
        except ValidationError as error:
            raise unexpected(response, error) from None

    return read


def unexpected(response: httpx.Response, error: ValidationError) -> UnexpectedAnswerError:
    """The error that says what is odd about an answer, without the answer's own values."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"])) or "it"
    return UnexpectedAnswerError(
        f"{response.request.method} {response.request.url.path} was answered with HTTP {response.status_code}, but "
        f"{where}: {first['msg']}; is this a samesay server, and of the client's version?"
    )
