"""What happens around every request, in one plain ASGI middleware: id, key, size, errors of last resort, metrics."""

import asyncio
import re
import time
from collections.abc import Iterable
from typing import Final

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.declaring import ADMITTED
from app.access.door import Door
from app.errors import (
    BodyTooLargeError,
    NotFoundError,
    NotReadyError,
    OverloadedError,
    ServiceError,
    UndeclaredRouteError,
)
from app.http.errors import REQUEST_ID, defect, problem_of
from app.http.headers import safe_headers
from app.ids import IdSource
from app.observability.metrics import Metrics

ROUTE: Final = "samesay.route"
"""Key of the route's pattern in the ASGI scope, where it is not FastAPI that found the route."""

_STOPPING: Final = "the server is stopping, and could not wait for the end of this request: send it again"

_UPLOAD: Final = re.compile(r"/v1/collections/[^/:]+/imports")

_log = structlog.get_logger(__name__)


class ServiceMiddleware:
    """Wraps the app.

    Args:
        app: What to wrap.
        metrics: Counts the requests.
        door: Finds out who asks, or refuses.
        max_body_bytes: Larger bodies are refused, however they come.
        max_bodies_bytes: What all bodies may take together; more is refused until some are done.
        max_upload_bytes: The same as `max_body_bytes` for uploads, which go to the disk as they come.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        door: Door,
        max_body_bytes: int,
        max_bodies_bytes: int,
        max_upload_bytes: int,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._door = door
        self._max_body_bytes = max_body_bytes
        self._max_upload_bytes = max_upload_bytes
        self._bodies = _Room(max_bodies_bytes)
        self._ids = IdSource()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            # GET without its body, which the server leaves out by itself; it looks into its own scope for that
            scope = {**scope, "method": "GET"}
        exchange = self._exchange(scope, receive, send)
        started = time.perf_counter()
        try:
            await self._answer(scope, exchange)
        finally:
            exchange.end()
            self._metrics.answered(_route(scope), _method(scope), exchange.status, time.perf_counter() - started)
            self._door.close(scope)

    def _exchange(self, scope: Scope, receive: Receive, send: Send) -> "_Exchange":
        if scope["method"] == "POST" and _UPLOAD.fullmatch(scope["path"]):
            room, most = _Room(self._max_upload_bytes), self._max_upload_bytes  # of the disk: it takes no memory
        else:
            room, most = self._bodies, self._max_body_bytes
        return _Exchange(scope, receive, send, self._ids.take(), most, room)

    async def _answer(self, scope: Scope, exchange: "_Exchange") -> None:
        try:
            self._door.enter(scope)
            _check_path(scope)
            exchange.check_declared_length()
            await self._app(scope, exchange.receive, exchange.send)
        except UndeclaredRouteError:
            _log.exception("route_undeclared", request_id=exchange.request_id, path=scope["path"])
            await exchange.fall_back_on(defect(scope))
        except ServiceError as error:
            await exchange.fall_back_on(problem_of(scope, error))
        except asyncio.CancelledError:  # the server stops, and has waited long enough
            # not raised again: uvicorn would log the trace of a defect
            _log.warning("request_broken_off", request_id=exchange.request_id, route=_route(scope))
            await exchange.fall_back_on(problem_of(scope, NotReadyError(_STOPPING)))
        except ClientDisconnect:
            _log.info("caller_gone", request_id=exchange.request_id, route=_route(scope))
        except Exception:
            _log.exception("request_failed", request_id=exchange.request_id, path=scope["path"])
            await exchange.fall_back_on(defect(scope))


class _Room:
    """Bytes of memory that requests share; for one thread."""

    def __init__(self, size: int) -> None:
        self._size = self._free = size

    def take(self, n: int) -> None:
        """Take some, or raise OverloadedError."""
        if n > self._free:
            raise OverloadedError(f"{self._size - self._free} bytes of bodies are being worked on: try again soon")
        self._free -= n

    def give_back(self, n: int) -> None:
        """Give back what was taken."""
        self._free += n


class _Exchange:
    """One request and its answer, seen from outside the app."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, request_id: str, max_body_bytes: int, bodies: _Room
    ) -> None:
        self.request_id = scope[REQUEST_ID] = request_id
        self.status = 499  # until something is answered: the caller has gone
        self._scope = scope
        self._receive = receive
        self._send = send
        self._max_body_bytes = max_body_bytes
        self._bodies = bodies
        self._received = 0
        self._started = False

    def check_declared_length(self) -> None:
        """Refuse a body that says itself that it is too large."""
        length = _header(self._scope["headers"], b"content-length")
        if length is not None and length.isdigit() and int(length) > self._max_body_bytes:
            raise self._too_large()

    async def receive(self) -> Message:
        """Pass the body on and count it, as a chunked one says nothing."""
        message = await self._receive()
        if message["type"] == "http.request":
            n_bytes = len(message.get("body", b""))
            if self._received + n_bytes > self._max_body_bytes:
                raise self._too_large()
            self._bodies.take(n_bytes)
            self._received += n_bytes
        return message

    def end(self) -> None:
        """Make room for the bodies of others."""
        self._bodies.give_back(self._received)

    async def send(self, message: Message) -> None:
        """Pass the answer on, with the request's id."""
        if message["type"] == "http.response.start":
            if message["status"] < 400 and ADMITTED not in self._scope:  # a way that bypasses the declarations
                raise UndeclaredRouteError(f"{self._scope['path']} was answered without a look at who asks")
            self._started = True
            self.status = message["status"]
            message["headers"] = safe_headers(message["headers"], self._scope["path"], self.request_id)
        await self._send(message)

    async def fall_back_on(self, response: ASGIApp) -> None:
        """Answer with this, unless an answer has begun."""
        if not self._started:
            await response(self._scope, self._receive, self.send)

    def _too_large(self) -> BodyTooLargeError:
        return BodyTooLargeError(f"the body is larger than {self._max_body_bytes} bytes: send it in several requests")


def _check_path(scope: Scope) -> None:
    """Refuse a name with a slash: decoded, it would be two steps of the path, which may lead to something else."""
    if b"%2f" in scope["raw_path"].lower():
        raise NotFoundError("the path holds %2F: no name or id has a slash")


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    return next((value for key, value in headers if key == name), None)


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _route(scope: Scope) -> str:
    return str(scope.get(ROUTE) or getattr(scope.get("route"), "path_format", "unmatched"))


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "other"
