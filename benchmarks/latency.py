"""How long requests of several kinds took, from several threads."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


class Latencies:
    """Collects durations by kind; safe from any thread."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)

    @contextmanager
    def timed(self, kind: str, *, waits: bool = False) -> Iterator[None]:
        """Time what happens inside, if it ends well.

        Args:
            kind: Its name in the table.
            waits: It waits until searches see it: a kind of its own.
        """
        started = time.perf_counter()
        yield
        self._seconds[f"{kind} until found" if waits else kind].append(time.perf_counter() - started)

    def table(self) -> str:
        """A line a kind."""
        lines = [f"{'request':20} {'n':>8} {'p50 ms':>8} {'p99 ms':>8}"]
        for kind, seconds in sorted(self._seconds.items()):
            p50, p99 = 1000 * np.percentile(seconds, [50, 99])
            lines.append(f"{kind:20} {len(seconds):8,} {p50:8.2f} {p99:8.2f}")
        return "\n".join(lines)
