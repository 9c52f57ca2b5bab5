"""Server CPU of POST :search against a bare FastAPI route, at 100k records; requests a second; latency.

python -m benchmarks.bench_http --bundle RUN/bundle --texts FILE
The server is pinned to one CPU, the client to another. CPU is the server process's own, all threads, user and system.
"""

import argparse
import json
import tempfile
from pathlib import Path

import httpx
import orjson

from benchmarks.load import Load, run_load
from benchmarks.server import (
    CLIENT_CPU,
    SERVER_CPU,
    Server,
    add_encoder,
    bare_server,
    compact,
    pin,
    samesay_server,
)
from benchmarks.texts import many_texts, read_texts


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    texts = read_texts(arguments.texts)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        add_encoder(arguments.bundle, data)
        with samesay_server(data, cpu=None) as server:
            fill(server.url, many_texts(texts, arguments.records))
            compact(server.url, "bench")
        pin(CLIENT_CPU)
        with bare_server(cpu=SERVER_CPU) as server:
            bare = measure(server, "/bytes", texts, arguments, "bare FastAPI route")
        with samesay_server(data, cpu=SERVER_CPU) as server:
            search = measure(server, "/v1/collections/bench:search", texts, arguments, "POST :search")
            memory = server.process.memory_info().rss / 2**20
        with bare_server(cpu=SERVER_CPU) as server:
            bare = min(bare, measure(server, "/bytes", texts, arguments, "bare FastAPI route, again"))
    result = {"records": arguments.records, "bare_us": bare, "search_us": search, "ratio": round(search / bare, 2)}
    print(json.dumps({**result, "rss_mb": round(memory)}))


def fill(url: str, texts: list[str]) -> None:
    """Create the collection and store the texts."""
    with httpx.Client(base_url=url, timeout=120) as client:
        client.post("/v1/collections", json={"name": "bench", "encoder": "bench"}).raise_for_status()
        for start in range(0, len(texts), 1000):
            part = enumerate(texts[start : start + 1000], start)
            body = {"upsert": [{"id": str(i), "text": text, "group": f"g{i % 997}"} for i, text in part]}
            last = start + 1000 >= len(texts)
            client.post(
                "/v1/collections/bench/records:batch", json=body, params={"wait": "visible"} if last else {}
            ).raise_for_status()


def measure(server: Server, path: str, texts: list[str], arguments: argparse.Namespace, name: str) -> float:
    """CPU of the server a request, in microseconds."""
    bodies = [orjson.dumps({"query": text, "k": 10}) for text in texts]
    send = ("127.0.0.1", server.port, path, bodies)
    run_load(*send, n=arguments.requests // 5, connections=arguments.connections)
    before = server.cpu_s()
    load = run_load(*send, n=arguments.requests, connections=arguments.connections)
    cpu_us = 1e6 * (server.cpu_s() - before) / arguments.requests
    alone = run_load(*send, n=arguments.requests // 4, connections=1)
    _print(name, cpu_us, load, alone)
    return float(round(cpu_us, 1))


def _print(name: str, cpu_us: float, load: Load, alone: Load) -> None:
    print(
        f"{name:28} {cpu_us:7.1f} us CPU a request, {load.per_s:7,.0f} requests/s; "
        f"one connection: p50 {alone.p50_ms:.2f} ms, p99 {alone.p99_ms:.2f} ms",
        flush=True,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=32)
    return parser.parse_args()


if __name__ == "__main__":
    main()
