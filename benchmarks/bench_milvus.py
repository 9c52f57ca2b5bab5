"""Measures a Milvus server beside our index in memory: python -m benchmarks milvus --address http://HOST:19530.

The vectors are made up and seeded. Times are of the clock, since the server works in another process; medians.
With --bundle, instead: searches through the service, of real sentences, with the index here and on the server.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson

from benchmarks.bench_index import BATCH, K, exact_floors, made_up_vectors
from benchmarks.data import data_folder
from benchmarks.filling import PATH, create, fill
from benchmarks.load import run_load
from benchmarks.real_texts import real_texts
from benchmarks.server import HOST, add_encoder, samesay_server
from index.backends.milvus.releases import build_collection
from index.backends.milvus.server import Milvus
from index.factory import build
from index.interface import IndexReader
from index.milvus_kinds import MilvusKind, MilvusSpec
from index.spec import IndexKind, IndexSpec
from index.types import Vectors

N_QUERIES = 512
N_SINGLES = 200
NAME = "samesay_measured"


def main() -> None:
    """Print one line for each index."""
    arguments = _arguments()
    if arguments.bundle is not None:
        through_the_service(arguments.bundle, arguments.address, arguments.n)
        return
    every = made_up_vectors(arguments.n + N_QUERIES, arguments.dim)
    vectors, queries = every[: arguments.n], every[arguments.n :]
    floors = exact_floors(vectors, queries)
    server = Milvus(arguments.address, timeout_s=60)
    ids = np.arange(len(vectors))

    def on_server(kind: MilvusKind) -> IndexReader:
        server.drop(NAME)
        return build_collection(
            server, NAME, ids, vectors, MilvusSpec(kind=kind), encoder_checksum="measured", applied_seq=0
        )

    print(f"{len(vectors)} x {arguments.dim}, {N_QUERIES} queries, k {K}, batches of {BATCH}")
    print("index            build s  recall@10  single ms  queries/s in batches")
    _line("ivf_pq, ours", lambda: build(ids, vectors, IndexSpec(kind=IndexKind.IVF_PQ)), queries, floors)
    for kind in arguments.kinds:
        _line(f"milvus {kind}", partial(on_server, kind), queries, floors)
    server.drop(NAME)
    server.close()


def through_the_service(bundle: Path, address: str, n: int) -> None:
    """Print, for each place of the index, how long it takes to be compacted, and how fast searches are answered."""
    texts = real_texts(data_folder(), n + N_QUERIES)
    bodies, texts = [orjson.dumps({"query": text, "k": K}) for text in texts[:N_QUERIES]], texts[N_QUERIES:]
    print("index            compacted s  p50 ms, 1 connection  searches/s, 16 connections")
    for name, settings in (("ours", {}), ("milvus", {"SAMESAY_INDEX_SERVER": address})):
        with tempfile.TemporaryDirectory() as folder:
            add_encoder(bundle, Path(folder))
            with samesay_server(Path(folder), cpu=None, **settings) as server:
                create(server.url)
                fill(server.url, texts)
                built_s, _ = _timed(partial(_wait_until_compacted, server.url))
                load = partial(run_load, HOST, server.port, f"{PATH}:search", bodies)
                load(n=N_SINGLES, connections=4)  # to warm up
                one, many = load(n=N_SINGLES, connections=1), load(n=10 * N_SINGLES, connections=16)
                print(f"{name:<16} {built_s:>11.1f} {one.p50_ms:>21.2f} {many.per_s:>27.0f}", flush=True)


def _wait_until_compacted(url: str) -> None:
    while httpx.get(f"{url}{PATH}").raise_for_status().json()["index"]["uncompacted"]:
        time.sleep(0.2)


def _line(name: str, make: Callable[[], IndexReader], queries: Vectors, floors: Vectors) -> None:
    build_s, index = _timed(make)
    singles = [_timed(partial(index.search, queries[row : row + 1], K))[0] for row in range(N_SINGLES)]
    starts = range(0, len(queries), BATCH)
    batches = [_timed(partial(index.search, queries[start : start + BATCH], K))[0] for start in starts]
    recall = float((index.search(queries, K).scores >= floors[:, None] - 1e-6).mean())
    rate = BATCH / float(np.median(batches))
    print(f"{name:<16} {build_s:>7.1f} {recall:>10.4f} {1e3 * np.median(singles):>10.2f} {rate:>21.0f}", flush=True)


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    returned = call()
    return time.perf_counter() - started, returned


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="http://127.0.0.1:19530")
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--bundle", type=Path, help="an encoder; measures the service")
    parser.add_argument("--kinds", type=MilvusKind, nargs="+", default=[MilvusKind.IVF_FLAT, MilvusKind.HNSW])
    return parser.parse_args()


if __name__ == "__main__":
    main()
