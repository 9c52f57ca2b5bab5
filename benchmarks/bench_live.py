"""The live index as a service: reopening after a kill, memory, and searches while it writes and compacts.

SAMESAY_BENCH_DATA=... python -m benchmarks.bench_live --bundle RUN/bundle [--records 1000000] [--only reopen memory]

The server runs on one CPU, its client on another. Reopening is measured from the start of the process to the first
answer; a server on an empty folder shows how much of it is Python's imports. Memory is PSS: mapped files count as far
as their pages are in use; anonymous memory, which is no file's, is told besides.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from app.serving.housekeeper import QUIET_S
from benchmarks.data import data_folder
from benchmarks.disturbance import Searcher, write_steadily
from benchmarks.filling import COLLECTION, PATH, create, fill
from benchmarks.load import Load, answers, connected, get, post
from benchmarks.real_texts import real_texts
from benchmarks.server import (
    CLIENT_CPU,
    HOST,
    SERVER_CPU,
    Server,
    add_encoder,
    pin,
    samesay_server,
    wait_until_idle,
)

N_QUERIES = 4_000
N_SEARCHES = 2_000
"""Searches before memory is read."""

AFTER_S = 1.0
"""Searches that still belong to a compaction that has just ended: they are the first to use the new index."""


def main() -> None:
    """Measure and print."""
    options = _options()
    texts = real_texts(data_folder(), options.records + N_QUERIES)
    queries, records = texts[:N_QUERIES], texts[N_QUERIES:]
    searches = [post(HOST, f"{PATH}:search", orjson.dumps({"query": query, "k": 10})) for query in queries]
    with tempfile.TemporaryDirectory() as temporary:
        data = options.data or Path(temporary, "data")
        if not (data / "encoders").exists():
            build(options.bundle, data, records)
        pin(CLIENT_CPU)
        if "reopen" in options.only:
            measure_reopening(data, Path(temporary, "empty"), searches, options.rounds)
        if "memory" in options.only:
            measure_memory(data, Path(temporary, "idle"), options.bundle, searches)
        if "calm" in options.only:
            measure_calm(data, records, searches, options)


def build(bundle: Path, data: Path, records: Sequence[str]) -> None:
    """Fill a collection, wait until it is compacted, and kill the server."""
    add_encoder(bundle, data)
    with samesay_server(data, cpu=None) as server:
        create(server.url)
        started = time.perf_counter()
        fill(server.url, records)
        visible_s = time.perf_counter() - started
        settled_s = visible_s + wait_until_idle(server)
        _print("build", records=len(records), visible_s=visible_s, settled_s=settled_s, cpu_s=server.cpu_s(),
               **_memory(server))  # fmt: skip
        server.kill()


def measure_reopening(data: Path, empty: Path, searches: Sequence[bytes], rounds: int) -> None:
    """Seconds from the start of the process, page cache warm, after a kill; without records, and with them."""
    empty.mkdir()
    starts: dict[str, list[float]] = {"empty_s": [], "empty_cpu_s": [], "full_s": [], "full_cpu_s": []}
    for _ in range(rounds):
        started = time.perf_counter()
        with samesay_server(empty, cpu=SERVER_CPU) as server:
            starts["empty_s"].append(time.perf_counter() - started)
            starts["empty_cpu_s"].append(server.cpu_s())
        started = time.perf_counter()
        with samesay_server(data, cpu=SERVER_CPU) as server:
            answers(HOST, server.port, searches[:1])
            starts["full_s"].append(time.perf_counter() - started)
            starts["full_cpu_s"].append(server.cpu_s())
            server.kill()
    middle = {name: statistics.median(values) for name, values in starts.items()}
    apart = {"imports_apart_s": middle["full_s"] - middle["empty_s"],
             "imports_apart_cpu_s": middle["full_cpu_s"] - middle["empty_cpu_s"]}  # fmt: skip
    _print("reopen", **middle, **apart, all_s=starts["full_s"])


def measure_memory(data: Path, idle: Path, bundle: Path, searches: Sequence[bytes]) -> None:
    """After a start and many searches: of a server without a collection, with an empty one, with all records."""
    idle.mkdir()
    add_encoder(bundle, idle)
    with samesay_server(idle, cpu=SERVER_CPU) as server:
        nothing = _memory(server)
        create(server.url)
        answers(HOST, server.port, searches[:N_SEARCHES])
        empty = _memory(server)
    with samesay_server(data, cpu=SERVER_CPU) as server:
        answers(HOST, server.port, searches[:N_SEARCHES])
        wait_until_idle(server)
        full = _memory(server)
    _print("memory", no_collection=nothing, empty_collection=empty, records=full,
           over_no_collection_mb=full["pss_mb"] - nothing["pss_mb"],
           over_empty_collection_mb=full["pss_mb"] - empty["pss_mb"])  # fmt: skip


def measure_calm(data: Path, records: Sequence[str], searches: Sequence[bytes], options: argparse.Namespace) -> None:
    """99th percentiles of searches: while nothing else goes on, while records change, while the index is compacted."""
    n_changes = max(6_000, len(records) * 12 // 100)
    ratios = []
    with samesay_server(data, cpu=SERVER_CPU) as server:
        answers(HOST, server.port, searches[:N_SEARCHES])
        for number in range(options.rounds):
            changes = _changes(records, n_changes, number + 1, options.batch)
            loads = asyncio.run(_one_run(server, searches, changes, options))
            worst = max(loads["writing"].p99_ms, loads["compacting"].p99_ms)
            ratios.append(worst / loads["idle"].p99_ms)
            _print(f"run {number + 1}", ratio=ratios[-1], **{
                name: {"p50_ms": load.p50_ms, "p99_ms": load.p99_ms, "per_s": load.per_s, "seconds": load.seconds}
                for name, load in loads.items()
            })  # fmt: skip
    _print("calm", median_ratio=statistics.median(ratios), changes=n_changes, connections=options.connections,
           rate=options.rate)  # fmt: skip


async def _one_run(
    server: Server, searches: Sequence[bytes], changes: Sequence[bytes], options: argparse.Namespace
) -> dict[str, Load]:
    searcher = Searcher(server.port, searches, options.connections, options.rate)
    return await searcher.run_phases([
        ("idle", lambda: asyncio.sleep(options.seconds)),
        ("writing", lambda: write_steadily(server.port, changes, options.every)),
        ("", lambda: asyncio.sleep(QUIET_S - 0.2)),
        ("compacting", lambda: _until_compacted(server.port)),
    ])  # fmt: skip


async def _until_compacted(port: int, timeout_s: float = 1800) -> None:
    """Wait until the changes are gone into a new base, and a moment longer."""
    before, deadline = await _delta(port), time.monotonic() + timeout_s
    while await _delta(port) > before / 2:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{before} changes are not compacted after {timeout_s} s")
        await asyncio.sleep(0.2)
    await asyncio.sleep(AFTER_S)


async def _delta(port: int) -> float:
    """Records that are not in the base yet."""
    async with connected(HOST, port) as connection:
        metrics = (await connection.ask(get(HOST, "/metrics"))).decode()
    name = f'samesay_index_delta_vectors{{collection="{COLLECTION}"}} '
    return float(metrics.split(name)[1].split("\n")[0])


def _changes(records: Sequence[str], n: int, number: int, batch: int) -> list[bytes]:
    """Batches that give the first n records other texts than they had in earlier runs."""
    return [
        post(HOST, f"{PATH}/records:batch", orjson.dumps({
            "upsert": [
                {"id": str(record), "text": records[(record + number * n) % len(records)]}
                for record in range(start, start + batch)
            ]
        }))
        for start in range(0, n, batch)
    ]  # fmt: skip


def _memory(server: Server) -> dict[str, float]:
    return {"pss_mb": server.memory_mb(), "anonymous_mb": server.anonymous_mb()}


def _print(name: str, **values: object) -> None:
    print(json.dumps({"what": name, **_rounded(values)}), flush=True)


def _rounded(values: dict[str, object]) -> dict[str, object]:
    return {name: _round(value) for name, value in values.items()}


def _round(value: object) -> object:
    if isinstance(value, float):
        return round(value, 3 if value < 100 else 1)
    if isinstance(value, dict):
        return _rounded(value)
    return [_round(each) for each in value] if isinstance(value, list) else value


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--data", type=Path, help="folder to keep; built where it is not there")
    parser.add_argument("--only", nargs="+", default=["reopen", "memory", "calm"], choices=["reopen", "memory", "calm"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=8, help="that search while records change")
    parser.add_argument("--rate", type=float, default=0, help="of these searches, a second; 0 for all that fits")
    parser.add_argument("--seconds", type=float, default=10, help="that searches are alone, in each round")
    parser.add_argument("--batch", type=int, default=100, help="records that change at once")
    parser.add_argument("--every", type=float, default=0.1, help="seconds from one batch to the next")
    return parser.parse_args()


if __name__ == "__main__":
    main()
