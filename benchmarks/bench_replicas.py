"""Replicas on one PostgreSQL: how far the slowest lags behind writes, and searches a second of three against one.

SAMESAY_BENCH_DATA=... python -m benchmarks.bench_replicas --bundle RUN/bundle [--records 100000]

The lag of a write is told by searching each replica, from the acknowledgement on, until its text is found there; one
write in ten is followed. PostgreSQL is that of the tests, without fsync. All share the machine, whose cores are told.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson

from benchmarks.data import data_folder
from benchmarks.filling import PATH, create, fill
from benchmarks.load import connected, post, run_requests
from benchmarks.real_texts import real_texts
from benchmarks.server import HOST, Server, samesay_server
from tests.fakes.postgres import create_database, postgres_server
from tests.fakes.spawned import samesay

N_REPLICAS = 3
WRITES_PER_S = 200
FOLLOWED = 10
"""One write in so many is looked for."""

SECONDS = 30.0
N_SEARCHES = 12_000
CONNECTIONS = 24
_LOOK_S = 0.002


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--records", type=int, default=100_000)
    options = parser.parse_args()
    n_writes = int(WRITES_PER_S * SECONDS)
    texts = real_texts(data_folder(), options.records + n_writes)
    records, written = texts[: options.records], texts[options.records :]
    with tempfile.TemporaryDirectory() as temporary, postgres_server() as url, ExitStack() as stack:
        data = Path(temporary, "data")
        os.environ["SAMESAY_DATABASE_URL"] = create_database(url, "bench")
        os.environ["SAMESAY_DATA"] = str(data)
        for command in (["db", "upgrade"], ["encoders", "add", str(options.bundle), "--name", "bench"]):
            done = samesay(*command)
            if done.returncode:
                raise RuntimeError(done.stderr)
        servers = [stack.enter_context(samesay_server(data, cpu=None)) for _ in range(N_REPLICAS)]
        create(servers[0].url)
        fill(servers[0].url, records)
        for server in servers:
            _wait_for(server, options.records)
        lags = asyncio.run(_lags(servers, written))
        slowest = 1000 * np.max(np.array(lags), axis=1)
        print(
            json.dumps(
                {
                    "cores": os.cpu_count(),
                    "records": options.records,
                    "writes_per_s": WRITES_PER_S,
                    "followed": len(lags),
                    "slowest_lag_ms": {f"p{p}": round(float(np.percentile(slowest, p)), 1) for p in (50, 99, 100)},
                }
            )
        )
        print(json.dumps({"cores": os.cpu_count(), **_searches(servers, records)}))


async def _lags(servers: Sequence[Server], texts: Sequence[str]) -> list[list[float]]:
    """Seconds from the acknowledgement of a write until each replica finds it, of those that are followed."""
    following: list[asyncio.Task[list[float]]] = []
    async with connected(HOST, servers[0].port) as writer:
        due = time.perf_counter()
        for number, text in enumerate(texts):
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            due += 1 / WRITES_PER_S
            await writer.ask(_put(number, text))
            if number % FOLLOWED == 0:
                following.append(asyncio.create_task(_follow(servers, number, text, time.perf_counter())))
    return list(await asyncio.gather(*following))


async def _follow(servers: Sequence[Server], number: int, text: str, since: float) -> list[float]:
    return list(await asyncio.gather(*(_until_found(server, number, text, since) for server in servers)))


async def _until_found(server: Server, number: int, text: str, since: float) -> float:
    request = post(HOST, f"{PATH}:search", orjson.dumps({"query": text, "k": 1}))
    async with connected(HOST, server.port) as connection:
        while True:
            found: dict[str, Any] = orjson.loads(await connection.ask(request))
            if any(hit["id"] == f"w{number}" for hit in found["results"][0]):
                return time.perf_counter() - since
            await asyncio.sleep(_LOOK_S)


def _put(number: int, text: str) -> bytes:
    body = orjson.dumps({"text": text})
    head = f"PUT {PATH}/records/w{number} HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _searches(servers: Sequence[Server], texts: Sequence[str]) -> dict[str, Any]:
    """Searches a second of one replica alone, and of all at once, each with its own connections."""
    requests = [post(HOST, f"{PATH}:search", orjson.dumps({"query": text, "k": 10})) for text in texts[:4000]]
    one = run_requests(HOST, servers[0].port, requests, n=N_SEARCHES, connections=CONNECTIONS).per_s
    return {"one_per_s": round(one), "all_per_s": round(asyncio.run(_all(servers, requests))), "replicas": len(servers)}


async def _all(servers: Sequence[Server], requests: Sequence[bytes]) -> float:
    started, share = time.perf_counter(), N_SEARCHES // (len(servers) * CONNECTIONS)

    async def keep_asking(server: Server, first: int) -> None:
        async with connected(HOST, server.port) as connection:
            for turn in range(share):
                await connection.ask(requests[(first + turn) % len(requests)])

    await asyncio.gather(*(keep_asking(server, 100 * n) for server in servers for n in range(CONNECTIONS)))
    return len(servers) * CONNECTIONS * share / (time.perf_counter() - started)


def _wait_for(server: Server, seq: int) -> None:
    deadline = time.monotonic() + 300
    while httpx.get(f"{server.url}{PATH}").json()["visible_seq"] < seq:
        if time.monotonic() > deadline:
            raise TimeoutError("a replica did not catch up")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
