"""Imports as a job: rows stored and searchable a second, memory, kills, and searches meanwhile.

SAMESAY_BENCH_DATA=... python -m benchmarks.bench_import --bundle B [--records 1000000] [--only speed kills searches]

`speed` lets server and worker use all CPUs, and sends NDJSON. `kills` ends server and worker with SIGKILL at random
moments, ten times. `searches` pins server and worker to one CPU and compares p99 with that of the idle server before.
"""

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil  # type: ignore[import-untyped]

from benchmarks.data import data_folder
from benchmarks.disturbance import Searcher
from benchmarks.filling import PATH, create
from benchmarks.load import post
from benchmarks.progress import tell
from benchmarks.real_texts import real_texts
from benchmarks.server import CLIENT_CPU, HOST, SERVER_CPU, Server, add_encoder, pin, samesay_server, wait_until_idle

N_QUERIES = 4_000
N_BASE = 100_000
"""Records that are searched while others come."""

N_KILLS = 10
N_PAIRS = 5
IDLE_S = 8.0
CONNECTIONS = 8


def main() -> None:
    """Measure and print."""
    options = _options()
    texts = real_texts(data_folder(), options.records + N_QUERIES)
    queries, records = texts[:N_QUERIES], texts[N_QUERIES:]
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary, "records.ndjson")
        _write(file, records)
        for name, measure in (("speed", speed), ("kills", kills), ("searches", partial(searches, per_s=options.rate))):
            if name in options.only:
                data = Path(temporary, name)
                add_encoder(options.bundle, data)
                print(json.dumps({"measured": name} | measure(data, file, records, queries)), flush=True)


def speed(data: Path, file: Path, records: Sequence[str], queries: Sequence[str]) -> dict[str, Any]:
    """One import from the first byte sent to the last record found."""
    with samesay_server(data, cpu=None) as server:
        create(server.url)
        idle_mb = server.memory_mb()
        started = time.perf_counter()
        with _memory(server) as most:
            job = _send(server, file)
            sent_s = time.perf_counter() - started
            stored_s, over_s = _follow(server, job, started)
            cpu_s = server.cpu_s()
        return {
            "records": len(records),
            "file_mb": round(file.stat().st_size / 1e6),
            "sent_s": round(sent_s, 1),
            "stored_per_s": round(len(records) / (stored_s - sent_s)),
            "searchable_per_s": round(len(records) / over_s),
            "cpu_s_of_what_still_runs": round(cpu_s, 1),
            "server_idle_mb": round(idle_mb),
            **{f"most_{name}_mb": round(value) for name, value in most.items()},
        }


def kills(data: Path, file: Path, records: Sequence[str], queries: Sequence[str]) -> dict[str, Any]:
    """Kill the server with its worker at random moments of one import, and count what is there in the end."""
    rng, resumed, job = random.Random(0), [], ""
    for kill in range(N_KILLS + 1):
        with samesay_server(data, cpu=None) as server:
            ready = time.perf_counter()
            if kill == 0:
                create(server.url)
                job = _send(server, file)
            else:
                resumed.append(_until_further(server, job) + time.perf_counter() - ready)
            if kill < N_KILLS:
                time.sleep(rng.uniform(0.2, 0.08 * len(records) / 20_000))
                _kill(server)
                continue
            _follow(server, job, ready)
            result = httpx.get(f"{server.url}/v1/jobs/{job}").json()
            stored = httpx.get(f"{server.url}{PATH}").json()
            results = httpx.get(f"{server.url}/v1/jobs/{job}/results", timeout=600).text.splitlines()
    lines = [orjson.loads(line)["line"] for line in results]
    return {
        "records": len(records),
        "kills": N_KILLS,
        "attempts": result["attempts"],
        "state": result["state"],
        "created": result["result"]["created"],
        "stored": stored["records"],
        "changes": stored["last_seq"],
        "results_in_order": lines == list(range(1, len(records) + 1)),
        "resumed_s": [round(seconds, 1) for seconds in resumed],
    }


def searches(data: Path, file: Path, records: Sequence[str], queries: Sequence[str], *, per_s: float) -> dict[str, Any]:
    """Searches at a fixed rate, or without pause: p99 of the idle server, then while an import goes on, in turn."""
    pin(CLIENT_CPU)
    asked = [post(HOST, f"{PATH}:search", orjson.dumps({"query": query, "k": 10})) for query in queries]
    parts = [file.with_name(f"part{number}.ndjson") for number in range(N_PAIRS + 1)]
    share = len(records) - N_BASE
    _write(parts[0], records[:N_BASE])
    for number in range(N_PAIRS):
        _write(
            parts[number + 1],
            records[N_BASE + number * share // N_PAIRS : N_BASE + (number + 1) * share // N_PAIRS],
            f"p{number}-",
        )
    ratios, idle_p99, busy_p99 = [], [], []
    with samesay_server(data, cpu=SERVER_CPU) as server:
        create(server.url)
        tell(f"importing {N_BASE} records to search among")
        _follow(server, _send(server, parts[0]), time.perf_counter())
        for part in parts[1:]:
            wait_until_idle(server)

            async def importing(part: Path = part) -> None:
                job = await asyncio.to_thread(_send, server, part)
                await asyncio.to_thread(_follow, server, job, time.perf_counter())

            searcher = Searcher(server.port, asked, CONNECTIONS, per_s)
            loads = asyncio.run(searcher.run_phases((("idle", lambda: asyncio.sleep(IDLE_S)), ("busy", importing))))
            idle_p99.append(loads["idle"].p99_ms)
            busy_p99.append(loads["busy"].p99_ms)
            ratios.append(loads["busy"].p99_ms / loads["idle"].p99_ms)
            tell(f"{len(ratios)} of {N_PAIRS} pairs: p99 {idle_p99[-1]:.1f} ms idle, {busy_p99[-1]:.1f} ms importing")
    return {
        "imported_each_time": share // N_PAIRS,
        "idle_p99_ms": [round(value, 1) for value in idle_p99],
        "busy_p99_ms": [round(value, 1) for value in busy_p99],
        "median_ratio": round(statistics.median(ratios), 2),
    }


def _write(file: Path, records: Sequence[str], prefix: str = "r") -> None:
    with file.open("wb") as target:
        for number, text in enumerate(records):
            target.write(orjson.dumps({"id": f"r{number}", "text": text, "group": f"g{number % 997}"}) + b"\n")


def _send(server: Server, file: Path) -> str:
    with file.open("rb") as content:
        answer = httpx.post(
            f"{server.url}{PATH}/imports",
            content=iter(lambda: content.read(1 << 20), b""),
            headers={"Content-Type": "application/x-ndjson"},
            timeout=600,
        )
    answer.raise_for_status()
    return str(answer.json()["id"])


def _follow(server: Server, job: str, started: float) -> tuple[float, float]:
    """Seconds from `started` until all rows were stored, and until all were searchable."""
    stored_s = None
    with httpx.Client(base_url=server.url) as client:
        while True:
            found = client.get(f"/v1/jobs/{job}").json()
            if stored_s is None and found["progress"]["stage"] == "indexing":
                stored_s = time.perf_counter() - started
            if found["state"] not in ("queued", "running"):
                if found["state"] != "succeeded":
                    raise RuntimeError(str(found))
                over_s = time.perf_counter() - started
                return stored_s or over_s, over_s
            time.sleep(0.1)


def _until_further(server: Server, job: str) -> float:
    """Seconds until a job that was cut off comes further."""
    started, before = time.perf_counter(), None
    with httpx.Client(base_url=server.url) as client:
        while True:
            found = client.get(f"/v1/jobs/{job}").json()
            at = (found["progress"]["stage"], found["progress"]["done"])
            if found["state"] == "succeeded" or (before is not None and at != before):
                return time.perf_counter() - started
            before = before or at
            time.sleep(0.05)


def _kill(server: Server) -> None:
    for process in (server.process, *server.process.children(recursive=True)):
        process.kill()
    server.process.wait(60)


@contextmanager
def _memory(server: Server) -> Iterator[dict[str, float]]:
    """The most memory of the server, what it maps included and not, and of its workers, looked at every two seconds.

    More often is felt: the server waits for each look where it wants memory, and twice a second took 1.5 % of the CPU.
    """
    most = {"server": 0.0, "server_own": 0.0, "worker": 0.0}
    stopped = threading.Event()

    def look() -> None:
        while not stopped.wait(2.0):
            info = server.process.memory_full_info()
            most["server"] = max(most["server"], info.pss / 1e6)
            most["server_own"] = max(most["server_own"], (info.rss - info.shared) / 1e6)
            for child in server.process.children():
                try:
                    if "worker" in child.cmdline():
                        most["worker"] = max(most["worker"], child.memory_full_info().pss / 1e6)
                except psutil.Error:  # it ended this moment
                    continue

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        stopped.set()
        thread.join()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument(
        "--only", nargs="+", choices=["speed", "kills", "searches"], default=["speed", "kills", "searches"]
    )
    parser.add_argument("--rate", type=float, default=500, help="searches a second beside imports; 0 for all that fits")
    return parser.parse_args()


if __name__ == "__main__":
    main()
