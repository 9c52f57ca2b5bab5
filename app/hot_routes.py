"""The short way to the hot routes: past FastAPI's routing and dependencies, which cost as much as a search.

The endpoints are the very same functions, so that the routes behave alike either way; see docs/benchmarks.md.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.http_errors import problem_of
from app.middleware import ROUTE
from model.contract.errors import SamesayError

_PREFIX: Final = "/v1/collections/"

Endpoint = Callable[[Request, str], Awaitable[Response]]


class HotRoutes:
    """Answers POST /v1/collections/NAME:VERB itself, and hands everything else on.

    Args:
        app: What comes after.
        endpoints: By verb.
    """

    def __init__(self, app: ASGIApp, *, endpoints: Mapping[str, Endpoint]) -> None:
        self._app = app
        self._endpoints = endpoints
        self._patterns = {verb: f"{_PREFIX}{{collection}}:{verb}" for verb in endpoints}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name, verb = _match(scope)
        endpoint = self._endpoints.get(verb)
        if endpoint is None or "/" in name:
            await self._app(scope, receive, send)
            return
        scope[ROUTE] = self._patterns[verb]
        try:
            response = await endpoint(Request(scope, receive), name)
        except SamesayError as error:
            response = problem_of(scope, error)
        await response(scope, receive, send)


def _match(scope: Scope) -> tuple[str, str]:
    if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].startswith(_PREFIX):
        return "", ""
    name, _, verb = scope["path"][len(_PREFIX) :].rpartition(":")
    return name, verb
