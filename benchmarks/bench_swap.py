"""Searches while a release's index is built and takes over: p99 against the idle server, and the loop's lag at a swap.

SAMESAY_BENCH_DATA=... python -m benchmarks.bench_swap --bundles A B C [--records 20000] [--one-cpu]

Three releases of other encoders; the one that is not at hand is promoted in turn, so that every record is encoded anew
and an index is built, while searches come at a steady pace. `--one-cpu` has server, worker and builder share one CPU.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from benchmarks.data import data_folder
from benchmarks.disturbance import Searcher
from benchmarks.filling import PATH, create
from benchmarks.load import connected, get, post
from benchmarks.real_texts import real_texts
from benchmarks.server import CLIENT_CPU, HOST, SERVER_CPU, Server, pin, samesay_server, wait_until_idle

N_QUERIES = 2_000
N_PAIRS = 5
N_SWAPS = 40
IDLE_S = 8.0
PER_S = 300.0
CONNECTIONS = 4
PLACE = "/v1/collections/bench"
_PING_S = 0.001


def main() -> None:
    """Measure and print."""
    options = _options()
    texts = real_texts(data_folder(), options.records + N_QUERIES)
    queries, records = texts[:N_QUERIES], texts[N_QUERIES:]
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary)
        _register(options.bundles, data)
        with samesay_server(data, cpu=SERVER_CPU if options.one_cpu else None) as server:
            pin(CLIENT_CPU)
            _prepare(server, records)
            print(json.dumps({"measured": "building"} | asyncio.run(building(server, queries))), flush=True)
            print(json.dumps({"measured": "swap"} | asyncio.run(swapping(server, queries))), flush=True)


async def building(server: Server, queries: Sequence[str]) -> dict[str, Any]:
    """p99 while an index is built and takes over, against the idle server just before, in pairs."""
    requests = [post(HOST, f"{PATH}:search", json.dumps({"query": query, "k": 10}).encode()) for query in queries]
    pairs, seconds = [], []
    for _ in range(N_PAIRS):
        number = _cold(server)
        searcher = Searcher(server.port, requests, CONNECTIONS, PER_S)

        async def build(number: int = number) -> None:
            started = time.perf_counter()
            await asyncio.to_thread(_promote, server, number)
            seconds.append(time.perf_counter() - started)

        phases = [("", _rest(1.0)), ("idle", _rest(IDLE_S)), ("building", build), ("", _rest(1.0))]
        pairs.append(await searcher.run_phases(phases))
        await asyncio.to_thread(wait_until_idle, server)
    ratios = [pair["building"].p99_ms / pair["idle"].p99_ms for pair in pairs]
    return {
        "p99_idle_ms": [round(pair["idle"].p99_ms, 2) for pair in pairs],
        "p99_building_ms": [round(pair["building"].p99_ms, 2) for pair in pairs],
        "ratios": [round(ratio, 2) for ratio in ratios],
        "median_ratio": round(statistics.median(ratios), 2),
        "seconds_to_active": round(statistics.median(seconds), 1),
    }


async def swapping(server: Server, queries: Sequence[str]) -> dict[str, Any]:
    """The longest that the event loop let a ping wait, idle and while two releases take over from one another."""
    with httpx.Client(base_url=server.url) as client:
        active = client.get(PLACE).json()["active_release"]
        idle, _ = await asyncio.gather(_pings(server, 4.0), asyncio.sleep(0))
        took: list[float] = []

        def swap() -> None:
            for turn in range(N_SWAPS):
                verb = "rollback" if turn % 2 == 0 else "promote"
                started = time.perf_counter()
                client.post(f"{PLACE}/releases/{active}:{verb}").raise_for_status()
                took.append(time.perf_counter() - started)
                time.sleep(0.05)

        pings = asyncio.create_task(_pings(server, 4.0))
        await asyncio.to_thread(swap)
        beside = await pings
    return {
        "longest_ping_idle_ms": round(1000 * max(idle), 2),
        "longest_ping_while_swapping_ms": round(1000 * max(beside), 2),
        "lag_ms": round(1000 * (max(beside) - max(idle)), 2),
        "swap_median_ms": round(1000 * statistics.median(took), 1),
        "swap_longest_ms": round(1000 * max(took), 1),
    }


async def _pings(server: Server, seconds: float) -> list[float]:
    found, request = [], get(HOST, "/livez")
    async with connected(HOST, server.port) as connection:
        end = time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            await connection.ask(request)
            found.append(time.perf_counter() - started)
            await asyncio.sleep(_PING_S)
    return found


def _rest(seconds: float) -> Any:
    return lambda: asyncio.sleep(seconds)


def _register(bundles: Sequence[Path], data: Path) -> None:
    from app.container import open_encoders
    from app.db.opening import open_database
    from app.settings import Settings

    database = open_database(Settings(data=data))
    try:
        encoders = open_encoders(Settings(data=data), database)
        for number, bundle in enumerate(bundles, start=1):
            encoders.add(bundle, "bench" if number == 1 else f"bench-{number}")
    finally:
        database.close()


def _prepare(server: Server, records: Sequence[str]) -> None:
    """Fill the collection, and make a release of each encoder."""
    create(server.url)
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for start in range(0, len(records), 1000):
            part = records[start : start + 1000]
            upsert = [{"id": f"r{start + n}", "text": text, "group": f"g{n % 100}"} for n, text in enumerate(part)]
            client.post(f"{PLACE}/records:batch", json={"upsert": upsert}).raise_for_status()
        for number in (2, 3):
            gate = {"alpha": 1e-300, "above_chance": False}
            answer = client.post(f"{PLACE}/releases", json={"encoder": f"bench-{number}", "gate": gate})
            _wait(client, answer.raise_for_status().json()["id"])
    wait_until_idle(server)


def _cold(server: Server) -> int:
    """A release that is not at hand."""
    items = httpx.get(f"{server.url}{PLACE}/releases").json()["items"]
    return int(next(item["number"] for item in items if not item["warm"] and item["state"] != "active"))


def _promote(server: Server, number: int) -> None:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        answer = client.post(f"{PLACE}/releases/{number}:promote")
        assert answer.status_code == 202, answer.text
        _wait(client, answer.json()["id"])


def _wait(client: httpx.Client, job: str) -> None:
    while True:
        found = client.get(f"/v1/jobs/{job}").json()
        if found["state"] not in ("queued", "running"):
            assert found["error"] is None, found
            return
        time.sleep(0.2)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundles", type=Path, nargs=3, required=True, help="three bundles of different encoders")
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--one-cpu", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
