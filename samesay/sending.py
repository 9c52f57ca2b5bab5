"""Sending a call until it is answered: which failures are worth another attempt, and when."""

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from samesay.calls import Call, Repeat, Request, unexpected
from samesay.errors import (
    BY_STATUS,
    AnswerTimeoutError,
    ConnectionFailedError,
    FieldProblem,
    ProblemError,
    SamesayError,
    ServerError,
    UnavailableError,
)
from samesay.plans import Pause, Plan, open_answer, send

T = TypeVar("T")

_KEY: Final = "Idempotency-Key"
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_ANSWER_TIMEOUTS: Final = (httpx.ReadTimeout, httpx.WriteTimeout)
_BUSY: Final = 503
_AWAY: Final = frozenset({_BUSY, 502, 504})
"""What a server that starts or is busy answers, or a proxy in its place."""
_TOO_MUCH: Final = 429
_REFUSED: Final = "overloaded"
"""The code of a 503 that says that nothing was done. Others come in the middle of a request too, or after it."""

_MOST_DOUBLINGS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often and when a call is sent again, where that is safe.

    Attributes:
        attempts: At most so many in all; 1 repeats nothing.
        first_s: About so long to wait before the second attempt, twice as long before each further one.
        most_s: Never longer than that by itself.
        most_asked_s: Longest Retry-After that is waited for; a longer one is left to the caller.
    """

    attempts: int = 4
    first_s: float = 0.2
    most_s: float = 8.0
    most_asked_s: float = 60.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts}: give 1 or more")

    def backoff_s(self, attempt: int) -> float:
        """Before attempt number `attempt` + 1; between half and all of it, so that clients do not come all at once."""
        whole = min(self.most_s, self.first_s * 2.0 ** min(attempt - 1, _MOST_DOUBLINGS))
        return whole * random.uniform(0.5, 1.0)


def sent(call: Call[T], retries: Retries) -> Plan[T]:
    """The answer to a call.

    Raises:
        ProblemError: The server refused.
        ConnectionFailedError, AnswerTimeoutError: It did not answer.
        UnexpectedAnswerError: Something else did.
    """
    response, may_be_done = yield from _answered(call, retries, send)
    if response.is_success or (may_be_done and call.missing_is_done and response.status_code == 404):
        return call.read(response)
    raise problem_of(response)


def opened(call: Call[T], retries: Retries) -> Plan[httpx.Response]:
    """The answer to a call, whose body is still to be read. Raises what `sent` raises."""
    response, _ = yield from _answered(call, retries, open_answer)
    if response.is_success:
        return response
    raise problem_of(response)


def _answered(
    call: Call[T], retries: Retries, do: Callable[[Request], Plan[httpx.Response]]
) -> Plan[tuple[httpx.Response, bool]]:
    """The last answer, and whether an earlier attempt may have been done."""
    request = call.request
    if call.repeat is Repeat.WITH_KEY and _KEY not in request.headers:
        request = request.having({_KEY: uuid.uuid4().hex})
    may_be_done = False
    attempt = 1
    while True:
        try:
            response = yield from do(request)
        except httpx.TransportError as error:
            is_safe = isinstance(error, _NEVER_SENT) or _may_repeat(call)
            if attempt >= retries.attempts or not is_safe or isinstance(error, _ANSWER_TIMEOUTS):
                raise failure_of(request, error, attempt) from error
            may_be_done = may_be_done or not isinstance(error, _NEVER_SENT)
            wait_s = retries.backoff_s(attempt)
        else:
            asked_s = _asked_s(response)
            if attempt >= retries.attempts or not _is_worth_it(call, response) or asked_s > retries.most_asked_s:
                return response, may_be_done
            may_be_done = may_be_done or (response.status_code in _AWAY and _code_of(response) != _REFUSED)
            wait_s = max(asked_s, retries.backoff_s(attempt))
        yield Pause(wait_s)
        attempt += 1


def _may_repeat(call: Call[T]) -> bool:
    return call.repeat is not Repeat.NEVER and _is_repeatable(call)


def _is_repeatable(call: Call[T]) -> bool:
    content = call.request.content
    return content is None or isinstance(content, bytes) or content.is_repeatable


def _is_worth_it(call: Call[T], response: httpx.Response) -> bool:
    """Whether the refusal is one of the moment, and the call was not done, or may be done twice."""
    if response.status_code == _TOO_MUCH:  # refused at the door, whatever it was
        return _is_repeatable(call)
    if response.status_code in _AWAY:
        return _may_repeat(call)
    still_runs = response.status_code == 409 and "Retry-After" in response.headers
    return still_runs and call.repeat is Repeat.WITH_KEY and _is_repeatable(call)


def _asked_s(response: httpx.Response) -> float:
    try:
        return max(0.0, float(response.headers.get("Retry-After", "0")))
    except ValueError:  # a date, which proxies may send
        return 0.0


def failure_of(request: Request, error: httpx.TransportError, attempts: int) -> SamesayError:
    """What a caller gets to see of a transport's error."""
    what = f"{request.method} {request.path}{_server_of(error)}"
    if isinstance(error, _ANSWER_TIMEOUTS):
        return AnswerTimeoutError(f"{what}: no answer in time; it may have been done: look, or give a longer timeout")
    tried = f" after {attempts} attempts" if attempts > 1 else ""
    return ConnectionFailedError(f"{what}: {type(error).__name__}: {error or 'no reason given'}{tried}")


def _server_of(error: httpx.TransportError) -> str:
    """Where the request went, as far as that is known; without a name and password that the address may have."""
    try:
        url = error.request.url
    except RuntimeError:  # it was none yet
        return ""
    return f" at {url.scheme}://{url.netloc.decode()}"


class _WrongValue(BaseModel):
    pointer: str
    detail: str


class _Problem(BaseModel):
    code: str
    detail: str
    request_id: str = ""
    errors: list[_WrongValue] = []


def _code_of(response: httpx.Response) -> str | None:
    """A problem's code; None of what something else answered, such as a proxy."""
    try:
        return _Problem.model_validate_json(response.content).code
    except ValidationError:
        return None


def problem_of(response: httpx.Response) -> SamesayError:
    """The error that a refusal is."""
    try:
        problem = _Problem.model_validate_json(response.content)
    except ValidationError as error:
        if response.status_code in _AWAY:
            return _answered_by_proxy(response)
        return unexpected(response, error)
    kind = BY_STATUS.get(response.status_code, ServerError if response.status_code >= 500 else ProblemError)
    return kind(
        status=response.status_code,
        code=problem.code,
        detail=problem.detail,
        errors=[FieldProblem(wrong.pointer, wrong.detail) for wrong in problem.errors],
        request_id=problem.request_id or response.headers.get("X-Request-Id", ""),
        retry_after_s=_asked_s(response) or None,
    )


def _answered_by_proxy(response: httpx.Response) -> UnavailableError:
    request = response.request
    return UnavailableError(
        status=response.status_code,
        code="no_server_behind_proxy",
        detail=f"{request.method} {request.url.path} was answered by something before the server, which reaches none",
        retry_after_s=_asked_s(response) or None,
    )
