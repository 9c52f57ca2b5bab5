"""What the drivers raise, as errors of ours: what happened, whether something was stored, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy.exc import DBAPIError, OperationalError

from app.errors import ConflictError, OverloadedError, ServiceError, StorageError, StorageFullError


@contextmanager
def translated(*, commits: bool = False) -> Iterator[None]:
    """Raise our errors in place of the driver's; `commits` says that what is done is a commit."""
    try:
        yield
    except DBAPIError as error:
        raise translate(error, commits=commits) from error


def translate(error: DBAPIError, *, commits: bool = False) -> Exception:
    """The error to answer in place of the driver's; the driver's own where it means a defect of ours."""
    sqlite = getattr(error.orig, "sqlite_errorcode", None)
    state = getattr(error.orig, "sqlstate", None)
    if sqlite is not None:
        found = _SQLITE_ERRORS.get(sqlite) or _SQLITE_ERRORS.get(sqlite & 0xFF)  # the low byte is the kind
    else:
        found = _POSTGRES_ERRORS.get(state or "")
    if found is not None:
        return found[0](found[1])
    if isinstance(error, OperationalError) or error.connection_invalidated:
        return StorageError((_UNHEARD if commits else _AWAY).format(type(error.orig).__name__))
    return error


_AWAY: Final = "the database cannot be reached or used ({}): nothing was stored; try again later"
_UNHEARD: Final = (
    "the database did not say whether it stored the write ({}): it may be stored or not; "
    "see what is there, then repeat the request"
)
_FULL: Final = "the disk of the database is full: nothing was stored; free some space, then repeat the request"
_BUSY: Final = "the database is busy: nothing was stored; repeat the request"
_UNUSABLE: Final = (
    "the database's files cannot be read or written: nothing was stored; "
    "look at the disk, its free space and its rights"
)
_NOT_FLUSHED: Final = (
    "the disk did not make the write durable: it may be stored or not, and the next start decides; "
    "look at the disk, then repeat the request"
)
_READ_ONLY: Final = (
    "the database is read-only, as a standby is, or one whose disk is nearly full: nothing was stored; "
    "make it writable, or repeat the request when it is"
)
_DAMAGED: Final = "the database file is damaged or is no SQLite file: `samesay restore` a backup into a new folder"
_RACE: Final = "another request changed the same thing at the same moment: nothing was stored; repeat the request"

_Known = dict[Any, tuple[type[ServiceError], str]]
_SQLITE_ERRORS: Final[_Known] = {
    5: (OverloadedError, _BUSY),
    6: (OverloadedError, _BUSY),
    8: (StorageError, _UNUSABLE),
    10: (StorageError, _UNUSABLE),
    10 | 4 << 8: (StorageError, _NOT_FLUSHED),  # the bytes are in the WAL, and SQLite may find them there after a crash
    13: (StorageFullError, _FULL),
    11: (StorageError, _DAMAGED),
    14: (StorageError, _UNUSABLE),
    19: (ConflictError, _RACE),
    26: (StorageError, _DAMAGED),
}
_POSTGRES_ERRORS: Final[_Known] = {
    "25006": (StorageError, _READ_ONLY),
    "23505": (ConflictError, _RACE),
    "23503": (ConflictError, _RACE),
    "40001": (OverloadedError, _BUSY),
    "40P01": (OverloadedError, _BUSY),
    "55P03": (OverloadedError, _BUSY),
    "53100": (StorageFullError, _FULL),
}
