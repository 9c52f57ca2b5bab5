"""Ids of requests and answers: in order of time, and not to be guessed."""

import os
import time
from typing import Final

_RANDOM_BYTES: Final = 10
_BUFFERED: Final = 400


class IdSource:
    """Makes ids of 32 hex digits; for one thread.

    Random bytes are fetched for many ids at once: each fetch lets another thread take the interpreter, which costs a
    busy server more than all the rest of an id.
    """

    def __init__(self) -> None:
        self._random = ""
        self._position = 0

    def take(self) -> str:
        """The next id."""
        if self._position == len(self._random):
            self._random, self._position = os.urandom(_RANDOM_BYTES * _BUFFERED).hex(), 0
        start = self._position
        self._position = start + 2 * _RANDOM_BYTES
        return f"{time.time_ns() // 1_000_000:012x}{self._random[start : self._position]}"
