"""Parts of the server with a thread of their own: how they begin and end, and when something is due again."""

import math
import threading
import time
from abc import ABC, abstractmethod


class Background(ABC):
    """Works on a thread of its own. `start` and `stop` it once each; `stop` also where `start` was never called.

    Args:
        name: Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Have the thread end, and wait for that."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    @abstractmethod
    def _run(self) -> None:
        """What the thread does, until `_stopping` is set."""


class Rhythm:
    """Says now and then that something is due, the first time at once; for one thread."""

    def __init__(self) -> None:
        self._last = -math.inf

    def is_due(self, every_s: float) -> bool:
        """Whether so long went by since the last time it was."""
        now = time.monotonic()
        if now - self._last < every_s:
            return False
        self._last = now
        return True
