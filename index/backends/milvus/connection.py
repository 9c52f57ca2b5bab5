"""The connection to a Milvus server: made when first needed, its complaints as our errors, and no waiting for the dead.

pymilvus is imported here and nowhere else.
"""

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from index.errors import BackendMissingError, IndexServerAwayError, IndexServerRefusedError

REST_S: Final = 1.0
"""After a call that nobody answered, others fail at once for so long: each would wait for its whole deadline."""

REACH_S: Final = 1.0
"""How long a look takes at most whether anybody listens there, before a call is made again."""

_PORT: Final = 19_530

_AWAY_CODES: Final = (1, 2)
"""What pymilvus says itself: a deadline passed, all attempts used up; nobody there."""


def load_pymilvus() -> Any:
    """Import pymilvus where it is needed.

    Raises:
        BackendMissingError: With the command that installs it.
    """
    try:
        import pymilvus
    except ImportError as error:
        raise BackendMissingError(f"pymilvus cannot be imported ({error}): pip install 'samesay[milvus]'") from error
    # It logs every failed call with its traceback; what matters of it is in our errors.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL + 1)
    return pymilvus


class MilvusConnection:
    """A connection. Safe to use from many threads.

    Args:
        address: http://HOST:PORT, or https.
        token: USER:PASSWORD, or an API key; empty where the server asks for none.
        timeout_s: How long one call may take.

    Raises:
        BackendMissingError: pymilvus is not installed.
    """

    def __init__(self, address: str, *, token: str, timeout_s: float) -> None:
        self.address, self.token, self._timeout_s = address, token, timeout_s
        self._pymilvus = load_pymilvus()
        self._connecting = threading.Lock()
        self._connected: Any = None
        self._rests_until = 0.0  # of the monotonic clock
        self._is_doubtful = True

    def close(self) -> None:
        """Hang up."""
        if self._connected is not None:
            self._connected.close()

    @property
    def _client(self) -> Any:
        with self._connecting:
            if self._connected is None:
                with self._asking("let us in"):
                    self._connected = self._pymilvus.MilvusClient(
                        uri=self.address, token=self.token, timeout=self._timeout_s
                    )
            return self._connected

    @contextmanager
    def _asking(self, action: str) -> Iterator[None]:
        """Around every call.

        Raises:
            IndexServerAwayError: Nobody answers, or nobody did a moment ago.
            IndexServerRefusedError: The server says no.
        """
        import grpc  # comes with pymilvus, which lets some of its errors through

        self._look(action)
        try:
            yield
        except grpc.RpcError as error:
            raise self._away(action, f"{error.code().name}: {error.details()}") from error
        except self._pymilvus.MilvusException as error:
            # Its subclasses, which have these codes too, are about arguments.
            if type(error) is self._pymilvus.MilvusException and error.code in _AWAY_CODES:
                raise self._away(action, error.message) from error
            raise IndexServerRefusedError(self.address, action, error.message) from error
        self._is_doubtful = False

    def _look(self, action: str) -> None:
        """Refuse to call where nobody answered a moment ago, or nobody listens."""
        if not self._is_doubtful:
            return
        if time.monotonic() < self._rests_until:
            raise IndexServerAwayError(self.address, action, "it did not answer a moment ago")
        host = urlsplit(self.address)
        if host.hostname is None:
            return  # pymilvus says what is wrong with such an address
        try:
            socket.create_connection((host.hostname, host.port or _PORT), timeout=REACH_S).close()
        except OSError as error:
            raise self._away(action, str(error)) from error

    def _away(self, action: str, reason: str) -> IndexServerAwayError:
        self._rests_until, self._is_doubtful = time.monotonic() + REST_S, True
        return IndexServerAwayError(self.address, action, reason)
