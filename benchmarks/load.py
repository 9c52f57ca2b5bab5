"""A load generator as light as Python allows: raw sockets, keep-alive, a fixed number of connections."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True, slots=True)
class Load:
    """What a run of requests took."""

    n: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def per_s(self) -> float:
        return self.n / self.seconds

    @classmethod
    def of(cls, latencies_s: Sequence[float], seconds: float) -> Self:
        """Of the seconds that each request took, and those that all took together."""
        p50, p99 = np.percentile(1000 * np.array(latencies_s), [50, 99])
        return cls(len(latencies_s), seconds, float(p50), float(p99))


class Connection:
    """One keep-alive connection: a request, its answer, the next request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, request: bytes) -> bytes:
        """Send a request; returns the answer's body.

        Raises:
            RuntimeError: The answer is no success.
        """
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        body = await self._reader.readexactly(length)
        if b" 20" not in head[:12]:
            raise RuntimeError((head + body).decode())
        return body


@asynccontextmanager
async def connected(host: str, port: int) -> AsyncIterator[Connection]:
    """Connect, and hang up at the end."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def run_load(host: str, port: int, path: str, bodies: Sequence[bytes], *, n: int, connections: int) -> Load:
    """Send n POST requests over so many connections; every answer must be a success."""
    return run_requests(host, port, [post(host, path, body) for body in bodies], n=n, connections=connections)


def run_requests(host: str, port: int, requests: Sequence[bytes], *, n: int, connections: int) -> Load:
    """Send n requests, these in their order and again from the first, over so many connections."""
    return asyncio.run(_run(host, port, requests, n, connections))


def answers(host: str, port: int, requests: Sequence[bytes]) -> list[bytes]:
    """The bodies that these requests are answered with, sent one after the other."""

    async def ask_all() -> list[bytes]:
        async with connected(host, port) as connection:
            return [await connection.ask(request) for request in requests]

    return asyncio.run(ask_all())


def post(host: str, path: str, body: bytes) -> bytes:
    """A POST request of JSON, as it goes over the wire."""
    lines = (f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode() + body


def get(host: str, path: str) -> bytes:
    """A GET request, as it goes over the wire."""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


async def _run(host: str, port: int, requests: Sequence[bytes], n: int, connections: int) -> Load:
    turns = iter(range(n))
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(connected(host, port)) for _ in range(connections)]
        started = time.perf_counter()
        latencies = await asyncio.gather(*(_keep_asking(connection, requests, turns) for connection in opened))
        seconds = time.perf_counter() - started
    return Load.of([latency for each in latencies for latency in each], seconds)


async def _keep_asking(connection: Connection, requests: Sequence[bytes], turns: Iterator[int]) -> list[float]:
    latencies = []
    for turn in turns:
        started = time.perf_counter()
        await connection.ask(requests[turn % len(requests)])
        latencies.append(time.perf_counter() - started)
    return latencies
