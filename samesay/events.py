"""A job's Server-Sent Events: parsed, and gone on with where a connection broke."""

import json
import time
from collections.abc import Iterator
from typing import Final

import httpx

from samesay.answers import JobEvent
from samesay.calls import Call, Repeat, Request, path, reader
from samesay.errors import (
    AnswerTimeoutError,
    ConnectionFailedError,
    JobTimeoutError,
    RateLimitedError,
    UnavailableError,
    UnexpectedAnswerError,
)
from samesay.plans import Close, Item, Items, Pause, Plan, next_piece
from samesay.sending import Retries, failure_of, opened

UNFINISHED: Final = ("queued", "running", "cancelling")

PATIENCE_S: Final = 60.0
"""A server that was heard of less long ago may be starting anew."""

_QUIET_S: Final = 30.0
"""An event stream that says nothing for longer is dead: the server writes something every 15 s."""

_MOST_LATE: Final = 0.9
"""A stream whose patience would go further past the deadline than a tenth of itself is opened again, with less."""

_ONCE: Final = Retries(attempts=1)
_PASSING: Final = (
    httpx.TransportError,
    ConnectionFailedError,
    AnswerTimeoutError,
    UnavailableError,
    RateLimitedError,
)


class Deadline:
    """A time until which something is waited for.

    Args:
        job_id: Whose end is waited for.
        timeout_s: From now on; None for ever.
    """

    def __init__(self, job_id: str, timeout_s: float | None) -> None:
        self._job_id = job_id
        self._timeout_s = timeout_s
        self._end = None if timeout_s is None else time.monotonic() + timeout_s

    def left_s(self) -> float:
        """The time that is left, at most _QUIET_S.

        Raises:
            JobTimeoutError: None.
        """
        if self._end is None:
            return _QUIET_S
        left = self._end - time.monotonic()
        if left <= 0:
            raise JobTimeoutError(self._job_id, f"job {self._job_id} has not ended within {self._timeout_s} s")
        return min(left, _QUIET_S)


def job_events(job_id: str, after: int, retries: Retries, deadline: Deadline) -> Items[JobEvent]:
    """A job's events past a number, up to its last; across broken connections and a server that starts anew."""
    return Items(_following(job_id, after, retries, deadline))


def _following(job_id: str, after: int, retries: Retries, deadline: Deadline) -> Plan[None]:
    heard_at = time.monotonic()
    failures = 0
    while True:
        try:
            patience_s = deadline.left_s()  # of the whole stream: it is set when it is opened
            response = yield from opened(_stream(job_id, after, patience_s), _ONCE)
            parser = EventParser()
            while (piece := (yield from next_piece(response))) is not None:
                heard_at, failures = time.monotonic(), 0
                for event in parser.feed(piece):
                    after = event.number
                    yield Item(event)
                    if event.state not in UNFINISHED:
                        return
                if deadline.left_s() < _MOST_LATE * patience_s:
                    break
            if response.status_code == 204:
                return  # over, and all of it was told
            yield Close(response)
            if piece is not None:
                continue
        except _PASSING as error:
            deadline.left_s()
            if time.monotonic() - heard_at > PATIENCE_S:
                if isinstance(error, httpx.TransportError):
                    raise failure_of(_stream(job_id, after, 0).request, error, 1) from error
                raise
        failures += 1
        yield Pause(min(retries.backoff_s(failures), deadline.left_s()))


def _stream(job_id: str, after: int, timeout_s: float) -> Call[None]:
    request = Request(
        method="GET",
        path=path("v1", "jobs", job_id, "events"),
        headers={"Accept": "text/event-stream", "Last-Event-ID": str(after)},
        timeout_s=timeout_s,
    )
    return Call(request, reader(None), Repeat.ALWAYS)


class EventParser:
    """Server-Sent Events out of the pieces in which they come.

    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
    """

    def __init__(self) -> None:
        self._rest = b""
        self._number = ""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> Iterator[JobEvent]:
        """The events that are whole now.

        Raises:
            UnexpectedAnswerError: One of them tells of no job.
        """
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            event = self._take(line.removesuffix(b"\r").decode())
            if event is not None:
                yield event

    def _take(self, line: str) -> JobEvent | None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            self._number = value
        elif name == "data":
            self._data.append(value)
        elif not line and self._data:
            return self._whole()
        return None

    def _whole(self) -> JobEvent:
        data, self._data = "\n".join(self._data), []
        try:
            return JobEvent.model_validate({"number": self._number, **json.loads(data)})
        except (TypeError, ValueError):  # pydantic's and json's are ValueErrors
            raise UnexpectedAnswerError(
                f"event {self._number} is none of a job's: is this a samesay server, and of the client's version?"
            ) from None
