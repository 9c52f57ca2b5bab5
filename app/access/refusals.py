"""Refused requests: why, how often, and a bounded number of lines in the log."""

import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final

import structlog
from starlette.types import Scope

from app.access.caller import caller_of
from app.http.errors import REQUEST_ID

REFUSAL: Final = "samesay.refusal"
"""Key of the reason in the ASGI scope, set by who refuses."""

MOST_LINES: Final = 5
"""Lines in the log a second."""

_log = structlog.get_logger(__name__)


class Refusal(StrEnum):
    """Why a request was refused."""

    NO_KEY = "no_key"
    WRONG_KEY = "wrong_key"
    EXPIRED = "expired"
    REVOKED = "revoked"
    SCOPE = "scope"
    COLLECTION = "collection"
    OTHER_SITE = "other_site"
    RATE = "rate"


class RefusalLog:
    """Counts all, logs some; for one thread.

    Args:
        count: Counts one by its reason.
        clock: Tells seconds.
    """

    def __init__(self, count: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._count = count
        self._clock = clock
        self._second = 0
        self._lines = 0
        self._unlogged = 0

    def tell(self, scope: Scope) -> None:
        """Count a request that was refused, and log it unless many are."""
        reason = scope[REFUSAL]
        self._count(reason)
        second = int(self._clock())
        if second != self._second:
            self._second, self._lines = second, 0
        if self._lines == MOST_LINES:
            self._unlogged += 1
            return
        self._lines += 1
        unlogged, self._unlogged = self._unlogged, 0
        _log.warning(
            "request_refused",
            reason=str(reason),
            caller=caller_of(scope),
            method=scope["method"][:16],
            address=(scope.get("client") or ("",))[0],
            request_id=scope[REQUEST_ID],
            unlogged=unlogged,
        )
