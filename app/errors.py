"""Errors of the service, drawn as a tree. Each answerable one knows its HTTP status and a stable code.

SamesayError                       (model.contract.errors)
 +- ServiceError                   answered as problem+json
 |   +- MalformedBodyError         400 the body is not UTF-8 or not JSON
 |   +- UnauthorisedError          401 no key, or one that is wrong, expired or revoked
 |   +- ForbiddenError             403 the key does not allow it, or the page of another site asks
 |   +- NotFoundError              404 no such collection, record, group, encoder or release
 |   +- ConflictError              409
 |   |   +- NameTakenError         the name belongs to another one
 |   |   +- GroupNotEmptyError     a group that still has records
 |   |   +- StillRunningError      the same Idempotency-Key is being worked on
 |   +- PreconditionFailedError    412 If-Match or If-None-Match does not hold
 |   +- BodyTooLargeError          413
 |   +- UnsupportedMediaTypeError  415 an upload in a form that is not taken
 |   +- InvalidValueError          422 the body or a parameter has a wrong value; says which
 |   |   +- KeyReusedError         an Idempotency-Key that came with another request
 |   +- RateLimitedError           429 the key has asked for too much of late
 |   +- UnavailableError           503 try again later
 |   |   +- OverloadedError        a queue is full
 |   |   +- NotReadyError          still loading, or stopping
 |   |   +- IndexAwayError         the index server does not answer, or refuses
 |   |   +- WorkerDeadError        a thread of the server has died
 |   |   +- StorageError           the database cannot be reached, read or written
 |   |   +- ErasureError           what was deleted is still in some file
 |   |   +- NotAuditedError        done, but not written into the audit log
 |   +- StorageFullError           507 the disk is full
 |   +- UndeclaredRouteError       500 a route that does not say who may use it: a defect of ours
 +- StartupError                   the process refuses to start
     +- NoDeviceError              the GPU that the index is to be on cannot be used
     +- NoIndexServerError         the index server cannot be used: its client is not installed
     +- InsecureBindError          reachable from outside and without a key
     +- BorrowedKeyError           the settings have a key of the database, which allows less
     +- DataFolderBusyError        another server holds the data folder
     +- PortBusyError              another process listens there
     +- SchemaOutdatedError        the database needs `samesay db upgrade`
     +- SchemaTooNewError          a newer version of samesay has upgraded the database
 +- BackupError                    a backup cannot be written or restored
     +- BackupDamagedError         the file is cut off, was altered, or is no backup
     +- BackupVersionError         made by a version of samesay that this one cannot read
     +- TargetNotEmptyError        where it shall be restored, something is
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from model.contract.errors import SamesayError


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One wrong value: a JSON pointer into the body (or the parameter's name), and what is wrong with it."""

    pointer: str
    detail: str


class ServiceError(SamesayError):
    """Base of every error that is answered as problem+json."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    retry_after_s: int | None = None

    def __init__(self, detail: str, *, errors: Sequence[FieldProblem] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)


class MalformedBodyError(ServiceError):
    """The body is not UTF-8 or not JSON."""

    status, code, title = 400, "malformed_body", "Malformed body"


class UnauthorisedError(ServiceError):
    """No key, or one that is wrong, expired or revoked."""

    status, code, title = 401, "unauthorised", "Unauthorised"


class ForbiddenError(ServiceError):
    """The key does not allow it, or the page of another site asks a server that wants no key."""

    status, code, title = 403, "forbidden", "Forbidden"


class NotFoundError(ServiceError):
    """There is no such collection, record, group, encoder or release."""

    status, code, title = 404, "not_found", "Not found"


class ConflictError(ServiceError):
    """The request contradicts what is stored."""

    status, code, title = 409, "conflict", "Conflict"


class NameTakenError(ConflictError):
    """The name belongs to another one."""

    code, title = "name_taken", "Name taken"


class GroupNotEmptyError(ConflictError):
    """The group still has records."""

    code, title = "group_not_empty", "Group not empty"


class StillRunningError(ConflictError):
    """The same Idempotency-Key is being worked on."""

    code, title, retry_after_s = "still_running", "Still running", 1


class PreconditionFailedError(ServiceError):
    """If-Match or If-None-Match does not hold."""

    status, code, title = 412, "precondition_failed", "Precondition failed"


class BodyTooLargeError(ServiceError):
    """The body is larger than the server takes."""

    status, code, title = 413, "body_too_large", "Body too large"


class UnsupportedMediaTypeError(ServiceError):
    """An upload in a form that is not taken, or in another one than its headers say."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"


class InvalidValueError(ServiceError):
    """The body or a parameter has a wrong value."""

    status, code, title = 422, "invalid_value", "Invalid value"

    @classmethod
    def at(cls, pointer: str, detail: str) -> Self:
        """Of one value."""
        return cls.of([FieldProblem(pointer, detail)])

    @classmethod
    def of(cls, problems: Sequence[FieldProblem], *, whole: str = "the body") -> Self:
        """Of several values, at least one; the first is told, and `whole` names what a pointer to nothing means."""
        first = problems[0]
        return cls(f"{first.pointer or whole}: {first.detail}", errors=problems)


class KeyReusedError(InvalidValueError):
    """An Idempotency-Key that came with another request."""

    code, title = "idempotency_key_reused", "Idempotency-Key reused"


class RateLimitedError(ServiceError):
    """The key has asked for too much of late."""

    status, code, title = 429, "rate_limited", "Rate limited"

    def __init__(self, detail: str, *, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class UnavailableError(ServiceError):
    """The same request may succeed later."""

    status, code, title, retry_after_s = 503, "unavailable", "Unavailable", 1


class OverloadedError(UnavailableError):
    """A queue is full."""

    code, title = "overloaded", "Overloaded"


class NotReadyError(UnavailableError):
    """Still loading, or stopping already."""

    code, title = "not_ready", "Not ready"


class IndexAwayError(UnavailableError):
    """The server that has the index does not answer, or refuses; the message names its address."""

    code, title, retry_after_s = "index_unavailable", "Index unavailable", 2


class WorkerDeadError(UnavailableError):
    """A thread that the server cannot do without has died: only a restart helps."""

    code, title, retry_after_s = "worker_dead", "Worker dead", 30


class StorageError(UnavailableError):
    """The database cannot be reached, read or written."""

    code, title, retry_after_s = "storage_unavailable", "Storage unavailable", 5


class ErasureError(UnavailableError):
    """What was deleted is still in some file: the same request goes on from there."""

    code, title, retry_after_s = "not_erased_yet", "Not erased yet", 30


class NotAuditedError(UnavailableError):
    """It was done, but could not be written into the audit log."""

    code, title, retry_after_s = "not_audited", "Not audited", 5


class StorageFullError(ServiceError):
    """The disk is full: nothing more is accepted, everything acknowledged is kept."""

    status, code, title, retry_after_s = 507, "storage_full", "Storage full", 30


class UndeclaredRouteError(ServiceError):
    """A route does not say who may use it: a defect of ours, found when the app is made."""


class StartupError(SamesayError):
    """The process refuses to start."""


class NoDeviceError(StartupError):
    """The GPU that the index is to be on cannot be used."""


class NoIndexServerError(StartupError):
    """The index server cannot be used, since its client is not installed."""


class InsecureBindError(StartupError):
    """Reachable from outside and without a key."""


class BorrowedKeyError(StartupError):
    """The settings have a key of the database: as theirs it would allow everything."""


class DataFolderBusyError(StartupError):
    """Another server holds the data folder."""


class PortBusyError(StartupError):
    """Another process listens on the port."""


class SchemaOutdatedError(StartupError):
    """The database has an older schema than this version needs, or none."""


class SchemaTooNewError(StartupError):
    """The database has a schema that this version does not know: a newer one has upgraded it."""


class BackupError(SamesayError):
    """A backup cannot be written or restored."""


class BackupDamagedError(BackupError):
    """The file is cut off, was altered, or is no backup."""


class BackupVersionError(BackupError):
    """Made by a version of samesay that this one cannot read."""


class TargetNotEmptyError(BackupError):
    """Where the backup shall be restored, something is."""
