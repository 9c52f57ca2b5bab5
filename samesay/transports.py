"""The two ways of doing a plan's steps: blocking, and awaiting. All that differs between the two clients is here."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from importlib import metadata
from ipaddress import ip_address
from typing import Any, Final, TypeVar

import httpx

from samesay.calls import Request
from samesay.errors import UnexpectedAnswerError
from samesay.plans import Close, Item, Items, Next, Open, Pause, Plan, Send, Step
from samesay.sending import Retries

T = TypeVar("T")

_CONNECT_S: Final = 5.0


class _Wire:
    """What both transports know: where the server is, and how requests are written for httpx.

    Args:
        url: The server's.
        api_key: Sent with every request, without white space around it; an empty one is none.
        timeout_s: How long to wait for each piece of an answer.
        retries: For the plans.

    Raises:
        ValueError: It is no URL of a server, the key can be none, or the timeout is no number of seconds.
    """

    def __init__(self, url: str, api_key: str | None, timeout_s: float, retries: Retries) -> None:
        self.retries = retries
        self._url = _checked(url)
        self._timeout_s = _seconds(timeout_s)
        self._headers = {"User-Agent": f"samesay-python/{metadata.version('samesay')}"}
        key = _key(api_key)
        if key:
            self._headers["Authorization"] = f"Bearer {key}"

    def _options(self, request: Request) -> dict[str, Any]:
        timeout_s = self._timeout_s if request.timeout_s is None else request.timeout_s
        return {
            "method": request.method,
            "url": self._url + request.path,
            "params": dict(request.query) or None,
            "headers": {**self._headers, **request.headers},
            "timeout": httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_S)),
        }


def _is_here(url: str) -> bool:
    """Whether a server is on this machine: a client with a transport of its own asks no proxy of the environment."""
    host = httpx.URL(url).host
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _key(given: str | None) -> str:
    key = (given or "").strip()  # read from a file it ends with a newline
    if not (key.isascii() and key.isprintable()):
        raise ValueError("api_key has a character that no header may have: give the key as it was printed")
    return key


def _seconds(timeout: Any) -> float:
    """Without one, which httpx writes None, a call to a server that hangs would never end."""
    if not (isinstance(timeout, int | float) and 0 < timeout < math.inf):
        raise ValueError(f"timeout is {timeout!r}: give a number of seconds, more than 0")
    return timeout


def _checked(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{url!r} is no URL: {error}; give http://HOST:PORT") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"{url!r} is no URL of a server: give http://HOST:PORT")
    if parsed.path.rstrip("/").endswith("/v1"):  # as clients of OpenAI want it
        raise ValueError(f"{url!r} ends with /v1, which this client adds by itself: leave it out")
    return url.rstrip("/")


def _mangled(error: httpx.DecodingError) -> UnexpectedAnswerError:
    return UnexpectedAnswerError(
        f"an answer cannot be unpacked ({error}): is this a samesay server, or a proxy before it that changes answers?"
    )


class _Pump:
    """A plan that is being done: its next step, given what came of the last one."""

    def __init__(self, plan: Plan[Any]) -> None:
        self._plan = plan
        self._reply: Any = None
        self._error: httpx.TransportError | None = None

    def step(self) -> Step:
        """The next step; raises StopIteration with the plan's result at its end."""
        reply, error, self._reply, self._error = self._reply, self._error, None, None
        return self._plan.send(reply) if error is None else self._plan.throw(error)

    def answer(self, reply: Any) -> None:
        """Say what came of the step."""
        self._reply = reply

    def fail(self, error: httpx.TransportError) -> None:
        """Say that the step failed."""
        self._error = error


class SyncTransport(_Wire):
    """Does plans, blocking. May be shared by threads.

    Args:
        http: Connections; closed with this only if it is not the caller's.
        url, api_key, timeout_s, retries: As above.
    """

    def __init__(
        self, url: str, api_key: str | None, timeout_s: float, retries: Retries, http: httpx.Client | None
    ) -> None:
        super().__init__(url, api_key, timeout_s, retries)
        self._http = http or httpx.Client(transport=httpx.HTTPTransport() if _is_here(self._url) else None)
        self._is_ours = http is None

    def run(self, plan: Plan[T]) -> T:
        """Do a plan without items."""
        pump, streams = _Pump(plan), _Streams()
        try:
            while True:
                self._do(pump, pump.step(), streams)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            plan.close()
            streams.close()

    def iterate(self, items: Items[T]) -> Iterator[T]:
        """Do a plan as far as its items are wanted."""
        pump, streams = _Pump(items.plan), _Streams()
        with closing(items.plan), closing(streams):
            while True:
                try:
                    step = pump.step()
                except StopIteration:
                    return
                if isinstance(step, Item):
                    yield step.value
                else:
                    self._do(pump, step, streams)

    def close(self) -> None:
        """Close the connections."""
        if self._is_ours:
            self._http.close()

    def _do(self, pump: _Pump, step: Step, streams: "_Streams") -> None:
        try:
            pump.answer(self._done(step, streams))
        except httpx.TransportError as error:
            pump.fail(error)
        except httpx.DecodingError as error:
            raise _mangled(error) from error

    def _done(self, step: Step, streams: "_Streams") -> Any:
        match step:
            case Send(request):
                return self._http.send(self._written(request))
            case Open(request):
                response = self._http.send(self._written(request), stream=True)
                streams.add(response)
                if not response.is_success:
                    response.read()
                return response
            case Next(response):
                return next(streams.pieces(response), None)
            case Close(response):
                streams.drop(response)
            case Pause(seconds):
                time.sleep(seconds)
        return None

    def _written(self, request: Request) -> httpx.Request:
        content = request.content
        pieces = content if content is None or isinstance(content, bytes) else content.pieces()
        return self._http.build_request(content=pieces, **self._options(request))


class AsyncTransport(_Wire):
    """Does plans, awaiting. For one event loop of asyncio.

    Args:
        http: Connections; closed with this only if it is not the caller's.
        url, api_key, timeout_s, retries: As above.
    """

    def __init__(
        self, url: str, api_key: str | None, timeout_s: float, retries: Retries, http: httpx.AsyncClient | None
    ) -> None:
        super().__init__(url, api_key, timeout_s, retries)
        self._http = http or httpx.AsyncClient(transport=httpx.AsyncHTTPTransport() if _is_here(self._url) else None)
        self._is_ours = http is None

    async def run(self, plan: Plan[T]) -> T:
        """Do a plan without items."""
        pump = _Pump(plan)
        async with aclosing(_AsyncStreams()) as streams:
            with closing(plan):
                while True:
                    try:
                        step = pump.step()
                    except StopIteration as end:
                        result: T = end.value
                        return result
                    await self._do(pump, step, streams)

    async def iterate(self, items: Items[T]) -> AsyncIterator[T]:
        """Do a plan as far as its items are wanted."""
        pump = _Pump(items.plan)
        async with aclosing(_AsyncStreams()) as streams:
            with closing(items.plan):
                while True:
                    try:
                        step = pump.step()
                    except StopIteration:
                        return
                    if isinstance(step, Item):
                        yield step.value
                    else:
                        await self._do(pump, step, streams)

    async def close(self) -> None:
        """Close the connections."""
        if self._is_ours:
            await self._http.aclose()

    async def _do(self, pump: _Pump, step: Step, streams: "_AsyncStreams") -> None:
        try:
            pump.answer(await self._done(step, streams))
        except httpx.TransportError as error:
            pump.fail(error)
        except httpx.DecodingError as error:
            raise _mangled(error) from error

    async def _done(self, step: Step, streams: "_AsyncStreams") -> Any:
        match step:
            case Send(request):
                return await self._http.send(self._written(request))
            case Open(request):
                response = await self._http.send(self._written(request), stream=True)
                streams.add(response)
                if not response.is_success:
                    await response.aread()
                return response
            case Next(response):
                return await anext(streams.pieces(response), None)
            case Close(response):
                await streams.drop(response)
            case Pause(seconds):
                await asyncio.sleep(seconds)
        return None

    def _written(self, request: Request) -> httpx.Request:
        content = request.content
        pieces = content if content is None or isinstance(content, bytes) else content.pieces_async()
        return self._http.build_request(content=pieces, **self._options(request))


class _Streams:
    """The answers that a plan has open."""

    def __init__(self) -> None:
        self._open: dict[httpx.Response, Iterator[bytes]] = {}

    def add(self, response: httpx.Response) -> None:
        self._open[response] = response.iter_bytes()

    def pieces(self, response: httpx.Response) -> Iterator[bytes]:
        return self._open[response]

    def drop(self, response: httpx.Response) -> None:
        del self._open[response]
        response.close()

    def close(self) -> None:
        for response in list(self._open):
            self.drop(response)


class _AsyncStreams:
    """The answers that a plan has open."""

    def __init__(self) -> None:
        self._open: dict[httpx.Response, AsyncIterator[bytes]] = {}

    def add(self, response: httpx.Response) -> None:
        self._open[response] = response.aiter_bytes()

    def pieces(self, response: httpx.Response) -> AsyncIterator[bytes]:
        return self._open[response]

    async def drop(self, response: httpx.Response) -> None:
        del self._open[response]
        await response.aclose()

    async def aclose(self) -> None:
        for response in list(self._open):
            await self.drop(response)
