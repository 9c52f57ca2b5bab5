"""A load generator as light as Python allows: raw sockets, keep-alive, a fixed number of connections."""

import asyncio
import time
from collections.abc import Iterator, Sequence
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

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        """Connect."""
        return cls(*await asyncio.open_connection(host, port))

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

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


def run_load(host: str, port: int, path: str, bodies: Sequence[bytes], *, n: int, connections: int) -> Load:
    """Send n POST requests over so many connections; every answer must be a success."""
    return run_requests(host, port, [post(host, path, body) for body in bodies], n=n, connections=connections)


def run_requests(host: str, port: int, requests: Sequence[bytes], *, n: int, connections: int) -> Load:
    """Send n requests, these in their order and again from the first, over so many connections."""
    return asyncio.run(_run(host, port, requests, n, connections))


def answers(host: str, port: int, requests: Sequence[bytes]) -> list[bytes]:
    """The bodies that these requests are answered with, sent one after the other."""

    async def ask_all() -> list[bytes]:
        connection = await Connection.open(host, port)
        bodies = [await connection.ask(request) for request in requests]
        connection.close()
        return bodies

    return asyncio.run(ask_all())


def post(host: str, path: str, body: bytes) -> bytes:
    """A POST request of JSON, as it goes over the wire."""
    lines = (f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode() + body


def get(host: str, path: str) -> bytes:
    """A GET request, as it goes over the wire."""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


async def _run(host: str, port: int, requests: Sequence[bytes], n: int, connections: int) -> Load:
    opened = [await Connection.open(host, port) for _ in range(connections)]
    turns = iter(range(n))
    started = time.perf_counter()
    latencies = await asyncio.gather(*(_keep_asking(connection, requests, turns) for connection in opened))
    seconds = time.perf_counter() - started
    for connection in opened:
        connection.close()
    return Load.of([latency for each in latencies for latency in each], seconds)


async def _keep_asking(connection: Connection, requests: Sequence[bytes], turns: Iterator[int]) -> list[float]:
    latencies = []
    for turn in turns:
        started = time.perf_counter()
        await connection.ask(requests[turn % len(requests)])
        latencies.append(time.perf_counter() - started)
    return latencies
