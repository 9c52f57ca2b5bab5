"""How long searches take while other things go on: connections that keep searching, phases that follow one another."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

from benchmarks.load import Load, connected
from benchmarks.server import HOST


class Searcher:
    """Connections that keep searching; what a search took is kept under the phase in which it began.

    Args:
        port: Of the server.
        requests: Sent in turn.
        connections: How many.
        per_s: Searches a second, of all together, at most; 0 for no pause at all.
    """

    def __init__(self, port: int, requests: Sequence[bytes], connections: int, per_s: float = 0.0) -> None:
        self._port = port
        self._requests = requests
        self._connections = connections
        self._every_s = connections / per_s if per_s else 0.0
        self._stopped = False
        self._turn = 0
        self._phase = ""
        self._latencies: dict[str, list[float]] = defaultdict(list)
        self._seconds: dict[str, float] = defaultdict(float)

    async def run_phases(self, phases: Sequence[tuple[str, Callable[[], Awaitable[None]]]]) -> dict[str, Load]:
        """Search while each of these goes on, one after the other; those without a name are not counted."""
        searches = [asyncio.create_task(self._search(number)) for number in range(self._connections)]
        try:
            for name, happen in phases:
                self._phase, started = name, time.perf_counter()
                await happen()
                self._seconds[name] += time.perf_counter() - started
        finally:
            self._stopped = True
            await asyncio.gather(*searches)
        return {name: Load.of(self._latencies[name], self._seconds[name]) for name in self._seconds if name}

    async def _search(self, number: int) -> None:
        async with connected(HOST, self._port) as connection:
            due = time.perf_counter() - self._every_s * number / self._connections  # not all at the same moment
            while not self._stopped:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                phase, started = self._phase, time.perf_counter()
                self._turn += 1
                await connection.ask(self._requests[self._turn % len(self._requests)])
                self._latencies[phase].append(time.perf_counter() - started)
                due = self._next(due)

    def _next(self, due: float) -> float:
        """When to search again: late ones keep their beat, or one delay would have all search together ever after."""
        if not self._every_s:
            return due
        missed = int(max(0.0, time.perf_counter() - due) / self._every_s)
        return due + self._every_s * max(1, missed)


async def write_steadily(port: int, requests: Sequence[bytes], every_s: float) -> None:
    """Send these, one each so many seconds, or as soon as the one before is answered."""
    async with connected(HOST, port) as connection:
        due = time.perf_counter()
        for request in requests:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            due += every_s
            await connection.ask(request)
