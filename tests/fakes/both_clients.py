"""One way to call either client, so that a test says once what both must do."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from samesay import AsyncClient, Client, Retries

QUICK = Retries(first_s=0.01, most_s=0.05)

KINDS = ("blocking", "awaited")

Hook = Callable[[httpx.Response], None]


class Driver:
    """A client of one kind.

    Attributes:
        client: Its methods give a result, or something to await, which `do` and `items` turn into one.
    """

    def __init__(self, client: Any, runner: asyncio.Runner | None) -> None:
        self.client = client
        self._runner = runner

    def do(self, given: Any) -> Any:
        """The result of a method."""
        return given if self._runner is None else self._runner.run(given)

    def items(self, given: Any, most: int | None = None) -> list[Any]:
        """The items of a listing, or the first of them."""
        if self._runner is None:
            return _first(given, most)
        return self._runner.run(_first_async(given, most))


@contextmanager
def driving(kind: str, url: str, *, on_response: Hook | None = None, **options: Any) -> Iterator[Driver]:
    """A client of this kind for the length of the block; `on_response` sees every answer."""
    options = {"retries": QUICK, "timeout": 20.0, **options}
    if kind == "blocking":
        hooks = {"response": [on_response]} if on_response else {}
        with httpx.Client(event_hooks=hooks) as http, Client(url, http=http, **options) as client:
            yield Driver(client, None)
        return
    with asyncio.Runner() as runner:
        http_async = httpx.AsyncClient(event_hooks={"response": [_awaited(on_response)]} if on_response else {})
        client_async = runner.run(_made(url, http_async, options))
        try:
            yield Driver(client_async, runner)
        finally:
            runner.run(client_async.close())
            runner.run(http_async.aclose())


async def _made(url: str, http: httpx.AsyncClient, options: dict[str, Any]) -> AsyncClient:
    return AsyncClient(url, http=http, **options)


def is_json(response: httpx.Response) -> bool:
    """Whether the answer is one JSON document, and no stream."""
    return response.headers.get("content-type") in ("application/json", "application/problem+json")


def _awaited(hook: Hook) -> Callable[[httpx.Response], Coroutine[Any, Any, None]]:
    async def awaited(response: httpx.Response) -> None:
        if is_json(response):
            await response.aread()
        hook(response)

    return awaited


def _first(items: Iterable[Any], most: int | None) -> list[Any]:
    found = []
    for item in items:
        found.append(item)
        if len(found) == most:
            break
    return found


async def _first_async(items: AsyncIterator[Any], most: int | None) -> list[Any]:
    found = []
    async for item in items:
        found.append(item)
        if len(found) == most:
            break
    await items.aclose()  # type: ignore[attr-defined]  # generators have it
    return found
