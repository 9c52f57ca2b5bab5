"""Measures every index on the same vectors, one thread: python -m benchmarks.bench_index [--n 100000 --dim 256].

Peers (hnswlib, usearch) are measured in the same run where they are installed.
"""

import argparse
import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.factory import build
from index.live import LiveIndex
from index.spec import IndexKind, IndexSpec, choose_spec
from index.types import Vectors

K = 10
BATCH = 64
N_QUERIES = 1_024

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

Search = Callable[[Vectors], NDArray[np.int64]]
"""(n, dim) queries to (n, K) rows, -1 where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line of the table."""

    name: str
    build_s: float
    index_recall: float
    single_ms: float
    batch_ms: float
    remark: str = ""


def make_vectors(n: int, dim: int, seed: int = 0) -> Vectors:
    """Sentences in groups in topics, the first numbers larger than the last, as trained embeddings are."""
    random = np.random.default_rng(seed)
    scale = ((1.0 + np.arange(dim)) ** -0.5).astype(np.float32)
    topics = random.standard_normal((max(2, n // 2_000), dim), np.float32) * scale
    own_topic = random.integers(0, len(topics), max(2, n // 12))
    groups = topics[own_topic] + 0.8 * random.standard_normal((len(own_topic), dim), np.float32) * scale
    vectors = groups[random.integers(0, len(groups), n)] + 0.5 * random.standard_normal((n, dim), np.float32) * scale
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def measure(
    name: str, search: Search, build_s: float, vectors: Vectors, queries: Vectors, floors: Vectors, remark: str = ""
) -> Result:
    """Time searches one by one and in batches; medians, since the machine is shared."""
    singles, batches = [], []
    for row in range(len(queries) // 4):
        start = time.perf_counter()
        search(queries[row : row + 1])
        singles.append(time.perf_counter() - start)
    for row in range(0, len(queries) - BATCH + 1, BATCH):
        start = time.perf_counter()
        search(queries[row : row + BATCH])
        batches.append((time.perf_counter() - start) / BATCH)
    found = search(queries)
    scores = np.einsum("qkd,qd->qk", vectors[found], queries)
    scores[found < 0] = -np.inf
    return Result(
        name=name,
        build_s=build_s,
        index_recall=float((scores >= floors[:, None] - 1e-6).mean()),
        single_ms=1e3 * float(np.median(singles)),
        batch_ms=1e3 * float(np.median(batches)),
        remark=remark,
    )


def ours(spec: IndexSpec, vectors: Vectors, queries: Vectors, floors: Vectors) -> list[Result]:
    """An index of ours by itself and, where it is the approximate one, under a LiveIndex in three conditions."""
    start = time.perf_counter()
    index = build(np.arange(len(vectors)), vectors, spec)
    build_s = time.perf_counter() - start
    remark = f"nlist {index.spec.nlist}, nprobe {index.spec.nprobe}, rerank {index.spec.rerank}" if spec.nlist else ""
    if spec.nlist and not spec.nprobe:
        remark += f", told {index.index_recall:.4f}"

    def run(name: str, searched: Any, remark: str = "") -> Result:
        return measure(name, lambda q: searched.search(q, K).record_ids, build_s, vectors, queries, floors, remark)

    results = [run(index.spec.kind.value, index, remark)]
    if spec.kind is IndexKind.IVF_PQ:
        live = LiveIndex(index)
        results.append(run("  live, no changes", live))
        changed = np.random.default_rng(1).permutation(len(vectors))[: len(vectors) // 100]
        live.delete(changed, 1)
        live.upsert(changed[: len(changed) // 2], vectors[changed[: len(changed) // 2]], 2)
        live.upsert(changed[len(changed) // 2 :], vectors[changed[len(changed) // 2 :]], 3)
        results.append(run(f"  live, {len(changed):,} replaced", live))
    return results


PeerSearch = Callable[..., NDArray[np.int64]]
"""(queries, ef) to (n, K) rows."""


def hnswlib_peer(vectors: Vectors) -> tuple[PeerSearch, float]:
    """Returns a search of (queries, ef), and the seconds of the build."""
    start = time.perf_counter()
    index: Any = importlib.import_module("hnswlib").Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), ef_construction=200, M=16)
    index.set_num_threads(1)
    index.add_items(vectors, np.arange(len(vectors)))

    def search(queries: Vectors, ef: int) -> NDArray[np.int64]:
        index.set_ef(ef)
        labels: NDArray[np.int64] = index.knn_query(queries, k=K)[0].astype(np.int64)
        return labels

    return search, time.perf_counter() - start


def usearch_peer(vectors: Vectors) -> tuple[PeerSearch, float]:
    """Returns a search of (queries, ef), and the seconds of the build."""
    start = time.perf_counter()
    index: Any = importlib.import_module("usearch.index").Index(ndim=vectors.shape[1], metric="ip")
    index.add(np.arange(len(vectors)), vectors, threads=1)

    def search(queries: Vectors, ef: int) -> NDArray[np.int64]:
        index.expansion_search = ef
        keys: NDArray[np.int64] = np.atleast_2d(index.search(queries, K, threads=1).keys).astype(np.int64)
        return keys

    return search, time.perf_counter() - start


PEERS = {"hnswlib": hnswlib_peer, "usearch": usearch_peer}


def exact_floors(vectors: Vectors, queries: Vectors) -> Vectors:
    """Score of each query's K-th neighbour."""
    blocks = [queries[row : row + BATCH] @ vectors.T for row in range(0, len(queries), BATCH)]
    return np.concatenate([np.partition(block, -K, axis=1)[:, -K] for block in blocks])


def print_table(results: list[Result]) -> None:
    print(
        f"{'index':24}{'build s':>9}{'recall@10':>11}{'1 query ms':>12}{'q/s':>9}{'in 64s, ms':>12}{'q/s':>9}  remark"
    )
    for r in results:
        print(
            f"{r.name:24}{r.build_s:9.2f}{r.index_recall:11.4f}{r.single_ms:12.4f}{1e3 / r.single_ms:9,.0f}"
            f"{r.batch_ms:12.4f}{1e3 / r.batch_ms:9,.0f}  {r.remark}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100_000, help="vectors to index")
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--vectors", type=Path, help=f".npy of unit float32 rows; the last {N_QUERIES} become queries")
    parser.add_argument("--ef", type=int, nargs="+", default=[20, 50, 100], help="of the peers")
    arguments = parser.parse_args()
    if arguments.vectors:
        rows = np.ascontiguousarray(np.load(arguments.vectors), dtype=np.float32)
    else:
        rows = make_vectors(arguments.n + N_QUERIES, arguments.dim)
    vectors, queries = rows[:-N_QUERIES], rows[-N_QUERIES:]
    floors = exact_floors(vectors, queries)
    chosen = choose_spec(*vectors.shape)
    specs = [IndexSpec(kind=IndexKind.EXACT), IndexSpec(kind=IndexKind.FLAT)]
    if chosen.kind is IndexKind.IVF_PQ:
        specs += [replace(chosen, target_recall=target) for target in (0.95, 0.99)]
    print(f"{len(vectors):,} x {vectors.shape[1]}, choose_spec: {chosen.kind}, one thread, medians")
    results = [result for spec in specs for result in ours(spec, vectors, queries, floors)]
    for name, make in PEERS.items():
        if importlib.util.find_spec(name) is None:
            print(f"{name} is not installed: not measured")
            continue
        search, build_s = make(vectors)
        for ef in arguments.ef:
            at_ef = partial(search, ef=ef)
            results.append(measure(name, at_ef, build_s, vectors, queries, floors, f"ef {ef}"))
    print_table(results)


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        # NumPy's BLAS reads these when it is loaded, which it is by now: start again with them.
        again = [sys.executable, "-m", "benchmarks.bench_index", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, **ONE_THREAD})
    main()
