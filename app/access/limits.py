"""Rate limits: a token bucket for each key of each server."""

import math
import time
from collections.abc import Callable
from typing import Final

from app.errors import RateLimitedError

_MOST_WAIT_S: Final = 86_400.0
"""So long a client is told to wait at most: of a tiny rate more would be no number that a header holds."""


class Bucket:
    """So many items a second, and some more at once after a pause; for one thread.

    What is larger than the bucket is let through when the bucket is full, and is paid off afterwards: a batch is never
    refused for ever, and the average holds all the same.

    Args:
        rate: Items a second.
        burst: Items at once, at least 1.
        clock: Tells seconds.
    """

    __slots__ = ("_at", "_clock", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self.burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._at = clock()

    def take(self, n: int, *, taken: int = 0) -> None:
        """Take n items.

        Args:
            n: At least 1.
            taken: What the same request has taken already; given back where it is refused.

        Raises:
            RateLimitedError: There are not enough now; says when there will be.
        """
        now = self._clock()
        tokens = self._tokens + (now - self._at) * self.rate
        if tokens > self.burst:
            tokens = self.burst
        self._at = now
        if tokens < n and tokens < self.burst - taken:
            wait_s = math.ceil(min(_MOST_WAIT_S, (min(n + taken, self.burst) - self._tokens) / self.rate))
            self._tokens = min(float(self.burst), tokens + taken)  # what is refused takes nothing
            raise RateLimitedError(
                f"this key may send {self.rate:g} items a second, {self.burst} at once: repeat it in {wait_s} s",
                retry_after_s=wait_s,
            )
        self._tokens = tokens - n
