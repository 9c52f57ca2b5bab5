"""A load generator as light as Python allows: raw sockets, keep-alive, a fixed number of connections."""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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


def run_load(host: str, port: int, path: str, bodies: Sequence[bytes], *, n: int, connections: int) -> Load:
    """Send n POST requests over so many connections; every answer must be a 200."""
    return asyncio.run(_run(host, port, path, bodies, n, connections))


async def _run(host: str, port: int, path: str, bodies: Sequence[bytes], n: int, connections: int) -> Load:
    requests = [_request(host, path, body) for body in bodies]
    turns = iter(range(n))
    started = time.perf_counter()
    latencies = await asyncio.gather(
        *(_connection(host, port, itertools.islice(itertools.cycle(requests), start, None), turns)
          for start in range(connections))
    )  # fmt: skip
    milliseconds = 1000 * np.concatenate([np.array(each) for each in latencies])
    p50, p99 = np.percentile(milliseconds, [50, 99])
    return Load(n, time.perf_counter() - started, float(p50), float(p99))


async def _connection(host: str, port: int, requests: Iterator[bytes], turns: Iterator[int]) -> list[float]:
    reader, writer = await asyncio.open_connection(host, port)
    latencies = []
    for _ in turns:
        started = time.perf_counter()
        writer.write(next(requests))
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head[:20]:
            raise RuntimeError(head.decode())
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        latencies.append(time.perf_counter() - started)
    writer.close()
    return latencies


def _request(host: str, path: str, body: bytes) -> bytes:
    lines = (f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode() + body
