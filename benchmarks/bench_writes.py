"""Writes over HTTP, encoder included, each durable when it is answered; beside them a bare append and bare SQLite.

SAMESAY_BENCH_DATA=... python -m benchmarks.bench_writes --bundle RUN/bundle
The server is pinned to one CPU, the client to another; every writer keeps its connection. The yardstick stores the same
bytes: a file that is appended to and fsynced, and sqlite3's executemany with the same durability.
"""

import argparse
import http.client
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import orjson

from benchmarks.data import data_folder
from benchmarks.real_texts import real_texts
from benchmarks.server import CLIENT_CPU, SERVER_CPU, Server, add_encoder, pin, samesay_server

_AT_ONCE = 1000
_GROUPS = 997
_WRITERS = 8


@dataclass(frozen=True, slots=True)
class Request:
    """A write, ready to be sent."""

    method: str
    path: str
    body: bytes


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    n_singles = arguments.singles * 2
    texts = real_texts(data_folder(), arguments.records + n_singles)
    batches = list(_batches(texts[: arguments.records]))
    singles = [_single(number, text) for number, text in enumerate(texts[arguments.records :])]
    pin(CLIENT_CPU)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        data = Path(folder)
        yardstick(data, texts[: arguments.records], batches, singles[: arguments.singles])
        add_encoder(arguments.bundle, data / "server")
        with samesay_server(data / "server", cpu=SERVER_CPU) as server:
            for name in ("warm", "bench"):
                body = {"name": name, "encoder": "bench"}
                httpx.post(f"{server.url}/v1/collections", json=body).raise_for_status()
            many(server, [Request(r.method, r.path.replace("bench", "warm"), r.body) for r in batches[:3]], None)
            many(server, batches, arguments.records)
            one_by_one(server, singles[: arguments.singles])
            side_by_side(server, singles[arguments.singles :])


def many(server: Server, batches: Sequence[Request], n_records: int | None) -> None:
    """Batches one after the other; the last is answered once searches find all of them."""
    last = Request(batches[-1].method, batches[-1].path + "?wait=visible", batches[-1].body)
    before, started = server.cpu_s(), time.perf_counter()
    milliseconds = _send(server, [*batches[:-1], last])
    seconds, cpu_s = time.perf_counter() - started, server.cpu_s() - before
    if n_records is not None:
        _print(
            f"batches of {_AT_ONCE:,} until searchable",
            f"{n_records / seconds:,.0f} rows/s, {1000 * cpu_s / n_records:.3f} CPU s of the server a 1,000 rows; "
            f"a batch acknowledged {_percentiles(milliseconds)}",
        )


def one_by_one(server: Server, singles: Sequence[Request]) -> None:
    """One writer, one record a request."""
    before = server.cpu_s()
    milliseconds = _send(server, singles)
    cpu_ms = 1000 * (server.cpu_s() - before) / len(singles)
    _print("single upserts", f"{_percentiles(milliseconds)}, {cpu_ms:.2f} CPU ms of the server an upsert")


def side_by_side(server: Server, singles: Sequence[Request]) -> None:
    """Several writers, one record a request."""
    before, started = server.cpu_s(), time.perf_counter()
    with ThreadPoolExecutor(_WRITERS) as pool:
        latencies = pool.map(lambda start: _send(server, singles[start::_WRITERS]), range(_WRITERS))
        milliseconds = [value for each in latencies for value in each]
    seconds = time.perf_counter() - started
    cpu_ms = 1000 * (server.cpu_s() - before) / len(singles)
    _print(
        f"{_WRITERS} writers of single upserts",
        f"{len(singles) / seconds:,.0f}/s in all, {_percentiles(milliseconds)}, "
        f"{cpu_ms:.2f} CPU ms of the server an upsert",
    )


def yardstick(folder: Path, texts: Sequence[str], batches: Sequence[Request], singles: Sequence[Request]) -> None:
    """What the disk and SQLite alone take for the same bytes and rows."""
    milliseconds = list(_appends(folder / "batches", batches))
    _print(f"bare append and fsync of {_AT_ONCE:,} rows", f"{_rate(milliseconds)}, {_percentiles(milliseconds)}")
    milliseconds = list(_inserts(folder / "bare.db", texts))
    _print(f"bare sqlite3 executemany of {_AT_ONCE:,}", f"{_rate(milliseconds)}, {_percentiles(milliseconds)}")
    milliseconds = list(_appends(folder / "singles", singles))
    _print("bare append and fsync of one row", _percentiles(milliseconds))


def _appends(path: Path, requests: Sequence[Request]) -> Iterator[float]:
    with path.open("ab", buffering=0) as file:
        for request in requests:
            started = time.perf_counter()
            file.write(request.body)
            os.fsync(file.fileno())
            yield 1000 * (time.perf_counter() - started)


def _inserts(path: Path, texts: Sequence[str]) -> Iterator[float]:
    """The rows that a write needs at least: the record with a unique key, and an entry in the log."""
    connection = sqlite3.connect(path)
    connection.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
        "CREATE TABLE records (record_id INTEGER PRIMARY KEY, id TEXT UNIQUE, text TEXT, group_id INTEGER);"
        "CREATE TABLE changes (seq INTEGER PRIMARY KEY, record_id INTEGER)"
    )
    for start in range(0, len(texts), _AT_ONCE):
        rows = [(n, str(n), text, n % _GROUPS) for n, text in enumerate(texts[start : start + _AT_ONCE], start)]
        started = time.perf_counter()
        with connection:
            connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", rows)
            connection.executemany("INSERT INTO changes VALUES (?, ?)", [(row[0], row[0]) for row in rows])
        yield 1000 * (time.perf_counter() - started)
    connection.close()


def _send(server: Server, requests: Sequence[Request]) -> list[float]:
    """Send each once the one before is answered; returns milliseconds."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    milliseconds = []
    for request in requests:
        started = time.perf_counter()
        connection.request(request.method, request.path, request.body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        body = response.read()
        milliseconds.append(1000 * (time.perf_counter() - started))
        if response.status not in (200, 201):
            raise RuntimeError(f"{response.status}: {body[:500]!r}")
    connection.close()
    return milliseconds


def _batches(texts: Sequence[str]) -> Iterator[Request]:
    for start in range(0, len(texts), _AT_ONCE):
        part = enumerate(texts[start : start + _AT_ONCE], start)
        upserts = [{"id": f"b{n}", "text": text, "group": f"g{n % _GROUPS}"} for n, text in part]
        yield Request("POST", "/v1/collections/bench/records:batch", orjson.dumps({"upsert": upserts}))


def _single(number: int, text: str) -> Request:
    body = orjson.dumps({"text": text, "group": f"g{number % _GROUPS}"})
    return Request("PUT", f"/v1/collections/bench/records/s{number}", body)


def _rate(milliseconds: Sequence[float]) -> str:
    return f"{1000 * _AT_ONCE * len(milliseconds) / sum(milliseconds):,.0f} rows/s"


def _percentiles(milliseconds: Sequence[float]) -> str:
    p50, p99 = np.percentile(milliseconds, [50, 99])
    return f"p50 {p50:.2f} ms, p99 {p99:.2f} ms"


def _print(name: str, value: str) -> None:
    print(f"{name:38} {value}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--records", type=int, default=50_000, help="a multiple of 1,000")
    parser.add_argument("--singles", type=int, default=1_000)
    parser.add_argument("--folder", type=Path, help="where to store; on the disk that is to be measured")
    return parser.parse_args()


if __name__ == "__main__":
    main()
