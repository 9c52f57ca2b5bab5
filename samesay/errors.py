"""What a call can raise, drawn as a tree.

SamesayError
 +- FileChangedError               a file that was being uploaded became shorter
 +- ConnectionFailedError          no server could be reached, or the connection broke and repeating it was no use
 +- AnswerTimeoutError             the server did not answer in time; it may have done what was asked
 +- UnexpectedAnswerError          what answered is no samesay, or one too new or too old for this client
 +- ProblemError                   the server refused: status, code, detail, errors, request_id
 |   +- MalformedError             400
 |   +- UnauthorisedError          401 no key, or one that is wrong
 |   +- ForbiddenError             403 the key does not allow it
 |   +- NotFoundError              404
 |   +- ConflictError              409
 |   +- PreconditionFailedError    412 If-Match or If-None-Match does not hold
 |   +- TooLargeError              413
 |   +- UnsupportedMediaTypeError  415 an upload in a form that is not taken
 |   +- InvalidValueError          422 a wrong value; `errors` says which
 |   +- RateLimitedError           429
 |   +- ServerError                500
 |   +- UnavailableError           503 the same call may succeed later
 |   +- StorageFullError           507
 +- JobError                       a job that was waited for
     +- JobFailedError             it failed; code and detail
     +- JobCancelledError          somebody cancelled it
     +- JobTimeoutError            it goes on, but not within the time
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One wrong value: a JSON pointer into the body (or the parameter's name), and what is wrong with it."""

    pointer: str
    detail: str


class SamesayError(Exception):
    """Base of all that this package raises on purpose."""


class FileChangedError(SamesayError):
    """A file that is being uploaded has become shorter; nothing of it was imported."""


class ConnectionFailedError(SamesayError):
    """No server could be reached, or the connection broke and repeating the request was no use."""


class AnswerTimeoutError(SamesayError):
    """The server did not answer in time; it may have done what was asked."""


class UnexpectedAnswerError(SamesayError):
    """What answered is no samesay, or one too new or too old for this client."""


class ProblemError(SamesayError):
    """The server refused.

    Attributes:
        status: HTTP's.
        code: A stable name of what is wrong, such as "not_found".
        detail: What is wrong, and what to do.
        errors: Which values are wrong, where it is values.
        request_id: Names the request in the server's log.
        retry_after_s: When to try again, where the server says so.
    """

    def __init__(
        self,
        *,
        status: int,
        code: str,
        detail: str,
        errors: Sequence[FieldProblem] = (),
        request_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{detail} (HTTP {status}, {code}, request {request_id or 'unknown'})")
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class MalformedError(ProblemError):
    """400: the body is not what JSON is."""


class UnauthorisedError(ProblemError):
    """401: no key, or one that is wrong: give `api_key`."""


class ForbiddenError(ProblemError):
    """403: the key does not allow it."""


class NotFoundError(ProblemError):
    """404: there is no such thing."""


class ConflictError(ProblemError):
    """409: it contradicts what is there."""


class PreconditionFailedError(ProblemError):
    """412: somebody else changed it meanwhile."""


class TooLargeError(ProblemError):
    """413: the body is larger than the server takes."""


class UnsupportedMediaTypeError(ProblemError):
    """415: an upload in a form that is not taken."""


class InvalidValueError(ProblemError):
    """422: a wrong value; `errors` says which."""


class RateLimitedError(ProblemError):
    """429: the key has asked for too much of late."""


class ServerError(ProblemError):
    """500: a defect of the server; its log has more under the request_id."""


class UnavailableError(ProblemError):
    """503: the same call may succeed later."""


class StorageFullError(ProblemError):
    """507: the server's disk is full."""


BY_STATUS: Final[dict[int, type[ProblemError]]] = {
    400: MalformedError,
    401: UnauthorisedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    412: PreconditionFailedError,
    413: TooLargeError,
    415: UnsupportedMediaTypeError,
    422: InvalidValueError,
    429: RateLimitedError,
    500: ServerError,
    503: UnavailableError,
    507: StorageFullError,
}


class JobError(SamesayError):
    """A job that was waited for did not succeed, or not in time.

    Attributes:
        job_id: Which.
    """

    def __init__(self, job_id: str, message: str) -> None:
        super().__init__(message)
        self.job_id = job_id


class JobFailedError(JobError):
    """It failed.

    Attributes:
        code: A stable name of why, such as "gate_refused".
        detail: Why.
    """

    def __init__(self, job_id: str, *, code: str, detail: str) -> None:
        super().__init__(job_id, f"job {job_id} failed: {detail} ({code})")
        self.code = code
        self.detail = detail


class JobCancelledError(JobError):
    """Somebody cancelled it."""


class JobTimeoutError(JobError):
    """It goes on, but has not ended within the time."""
