"""The short way to the hot routes: past FastAPI's routing and dependencies, which cost as much as a search.

The endpoints are the very same functions, so that the routes behave alike either way; see docs/benchmarks.md.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from fastapi import Request, Response
from pydantic import TypeAdapter, ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from app.http.errors import problem_of
from app.http.parameters import Wait
from app.middleware import ROUTE
from app.schemas import Key
from model.contract.errors import SamesayError

_PREFIX: Final = "/v1/collections/"
_RECORD: Final = f"{_PREFIX}{{collection}}/records/{{record}}"
_WAITS: Final = {b"": Wait.COMMITTED, **{f"wait={wait}".encode(): wait for wait in Wait}}
_KEY: Final[TypeAdapter[str]] = TypeAdapter(Key)

Endpoint = Callable[..., Awaitable[Response]]
"""Called with names, as FastAPI does."""

_Bound = Callable[[Request], Awaitable[Response]]


class HotRoutes:
    """Answers POST /v1/collections/NAME:VERB and PUT /v1/collections/NAME/records/ID, and hands everything else on.

    That includes what of these is not quite right, or has a query that is not known here: FastAPI finds what is wrong.

    Args:
        app: What comes after.
        verbs: Endpoints by verb.
        put_record: The endpoint that stores a record.
    """

    def __init__(self, app: ASGIApp, *, verbs: Mapping[str, Endpoint], put_record: Endpoint) -> None:
        self._app = app
        self._verbs = verbs
        self._patterns = {verb: f"{_PREFIX}{{collection}}:{verb}" for verb in verbs}
        self._put_record = put_record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._find(scope)
        if found is None:
            await self._app(scope, receive, send)
            return
        scope[ROUTE], endpoint = found
        try:
            response = await endpoint(Request(scope, receive))
        except SamesayError as error:
            response = problem_of(scope, error)
        await response(scope, receive, send)

    def _find(self, scope: Scope) -> tuple[str, _Bound] | None:
        """The pattern of a hot route and what answers it."""
        if scope["type"] != "http" or not scope["path"].startswith(_PREFIX):
            return None
        place = scope["path"][len(_PREFIX) :]
        if scope["method"] == "POST":
            return None if scope["query_string"] else self._find_verb(place)
        return self._find_record(place, scope["query_string"]) if scope["method"] == "PUT" else None

    def _find_verb(self, place: str) -> tuple[str, _Bound] | None:
        name, _, verb = place.rpartition(":")
        endpoint = self._verbs.get(verb)
        if endpoint is None or "/" in name:
            return None
        return self._patterns[verb], lambda request: endpoint(request=request, collection=name)

    def _find_record(self, place: str, query: bytes) -> tuple[str, _Bound] | None:
        name, _, key = place.partition("/records/")
        wait = _WAITS.get(query)
        if wait is None or not name or "/" in name or ":" in name or not _is_key(key):
            return None
        return _RECORD, lambda request: self._put_record(request=request, collection=name, record=key, wait=wait)


def _is_key(key: str) -> bool:
    try:
        _KEY.validate_python(key)
    except ValidationError:
        return False
    return True
