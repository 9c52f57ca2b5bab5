"""Measures every index on the same vectors, one thread: python -m benchmarks.bench_index [--bundle RUN/bundle].

With a bundle the vectors are its embeddings of real sentences (SAMESAY_BENCH_DATA), without one they are made up.
Times are CPU times, so that a busy machine changes them less.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import data_folder
from benchmarks.index_peers import installed_peers
from benchmarks.real_texts import real_texts
from index.factory import build
from index.live import LiveIndex
from index.spec import IndexKind, IndexSpec, choose_spec
from index.types import Vectors
from model.contract.bundle import load_bundle

K = 10
BATCH = 64
N_QUERIES = 2_048
TARGET = 0.99

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

Search = Callable[[Vectors], NDArray[np.int64]]
"""(n, dim) queries to (n, K) rows, -1 where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line of the table; seconds and milliseconds of CPU time, a query each."""

    name: str
    build_s: float
    index_recall: float
    single_ms: float
    batch_ms: float
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Truth:
    """What is searched, what for, and the score of each query's K-th neighbour."""

    vectors: Vectors
    queries: Vectors
    floors: NDArray[np.float32]


def real_vectors(bundle: Path, n: int) -> Vectors:
    """Embeddings of n different real sentences."""
    encoder = load_bundle(bundle).encoder
    texts = real_texts(data_folder(), n)
    return np.concatenate([encoder.encode(texts[start : start + 1_000]) for start in range(0, n, 1_000)])


def made_up_vectors(n: int, dim: int, seed: int = 0) -> Vectors:
    """Sentences in groups in topics, the first numbers larger than the last, as trained embeddings are."""
    random = np.random.default_rng(seed)
    scale = ((1.0 + np.arange(dim)) ** -0.5).astype(np.float32)
    topics = random.standard_normal((max(2, n // 2_000), dim), np.float32) * scale
    own_topic = random.integers(0, len(topics), max(2, n // 12))
    groups = topics[own_topic] + 0.8 * random.standard_normal((len(own_topic), dim), np.float32) * scale
    vectors = groups[random.integers(0, len(groups), n)] + 0.5 * random.standard_normal((n, dim), np.float32) * scale
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def exact_floors(vectors: Vectors, queries: Vectors) -> NDArray[np.float32]:
    """Score of each query's K-th neighbour."""
    blocks = [queries[row : row + BATCH] @ vectors.T for row in range(0, len(queries), BATCH)]
    return np.concatenate([np.partition(block, -K, axis=1)[:, -K] for block in blocks])


def measure(name: str, search: Search, build_s: float, truth: Truth, remark: str = "") -> Result:
    """Time searches one by one and in batches; medians, since the machine is shared."""
    queries = truth.queries
    singles = [cpu_s(partial(search, queries[row : row + 1]))[0] for row in range(len(queries) // 4)]
    starts = range(0, len(queries) - BATCH + 1, BATCH)
    batches = [cpu_s(partial(search, queries[row : row + BATCH]))[0] / BATCH for row in starts]
    found = search(queries)
    scores = np.einsum("qkd,qd->qk", truth.vectors[found], queries)
    scores[found < 0] = -np.inf
    return Result(
        name=name,
        build_s=build_s,
        index_recall=float((scores >= truth.floors[:, None] - 1e-6).mean()),
        single_ms=1e3 * float(np.median(singles)),
        batch_ms=1e3 * float(np.median(batches)),
        remark=remark,
    )


def cpu_s(call: Callable[[], Any]) -> tuple[float, Any]:
    """The CPU seconds of a call, and what it returned."""
    start = time.process_time()
    returned = call()
    return time.process_time() - start, returned


def ours(spec: IndexSpec, truth: Truth) -> Iterator[Result]:
    """An index of ours by itself and, where it is the approximate one, under a LiveIndex with changes."""
    vectors = truth.vectors
    build_s, index = cpu_s(lambda: build(np.arange(len(vectors)), vectors, spec))

    def run(name: str, searched: Any, remark: str = "") -> Result:
        return measure(name, lambda q: searched.search(q, K).record_ids, build_s, truth, remark)

    if spec.kind is not IndexKind.IVF_PQ:
        yield run(index.spec.kind.value, index)
        return
    chosen = f"nlist {index.spec.nlist}, nprobe {index.spec.nprobe}, rerank {index.spec.rerank}"
    yield run(
        "ours, " + spec.kind.value, index, f"tuned for {spec.target_recall}, told {index.index_recall:.4f}: {chosen}"
    )
    live = LiveIndex(index)
    changed = np.random.default_rng(1).permutation(len(vectors))[: len(vectors) // 100]
    live.delete(changed, 1)
    live.upsert(changed, vectors[changed], 2)
    yield run("  live, 1 % replaced", live)


def peers(truth: Truth, efs: list[int]) -> Iterator[Result]:
    """Every peer, with every ef."""
    for peer in installed_peers():
        build_s, search = cpu_s(partial(peer.build, truth.vectors, K))
        for ef in efs:
            yield measure(peer.name, partial(search, ef=ef), build_s, truth, f"ef {ef}")


def print_table(results: list[Result]) -> None:
    """All results, a line each."""
    print(f"\n{'index':22}{'build s':>9}{'recall@10':>11}{'1 query ms':>12}{'in 64s, ms':>12}{'queries/s':>11}  remark")
    for r in results:
        print(
            f"{r.name:22}{r.build_s:9.1f}{r.index_recall:11.4f}{r.single_ms:12.3f}{r.batch_ms:12.4f}"
            f"{1e3 / r.batch_ms:11,.0f}  {r.remark}"
        )


def print_verdict(our_results: list[Result], peer_results: list[Result]) -> None:
    """Ours against the fastest peer that finds as much; the peer may choose its ef on the queries that are reported."""
    mine = next((r for r in our_results if r.index_recall >= TARGET and r.name.startswith("ours")), None)
    rivals = [r for r in peer_results if r.index_recall >= TARGET]
    if mine is None or not rivals:
        print(f"\nNothing to compare at a recall of {TARGET}")
        return
    best, soonest = min(rivals, key=lambda r: r.batch_ms), min(peer_results, key=lambda r: r.build_s)
    print(
        f"\nat a recall of {TARGET}, in batches of {BATCH}: {best.batch_ms / mine.batch_ms:.2f} times the queries/s of "
        f"{best.name}, {best.remark} ({best.index_recall:.4f}, ours {mine.index_recall:.4f}); "
        f"built {best.build_s / mine.build_s:.1f} times faster, {soonest.build_s / mine.build_s:.1f} times faster than "
        f"{soonest.name}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100_000, help="vectors to index")
    parser.add_argument("--dim", type=int, default=256, help="of made-up vectors")
    parser.add_argument("--bundle", type=Path, help="embeds real sentences")
    parser.add_argument("--vectors", type=Path, help=f".npy of unit float32 rows; the last {N_QUERIES} become queries")
    parser.add_argument("--ef", type=int, nargs="*", default=[60, 80, 100, 120, 160, 240], help="of the peers")
    arguments = parser.parse_args()
    if arguments.vectors:
        rows = np.ascontiguousarray(np.load(arguments.vectors), dtype=np.float32)
    elif arguments.bundle:
        rows = real_vectors(arguments.bundle, arguments.n + N_QUERIES)
    else:
        rows = made_up_vectors(arguments.n + N_QUERIES, arguments.dim)
    vectors, queries = rows[:-N_QUERIES], rows[-N_QUERIES:]
    truth = Truth(vectors, queries, exact_floors(vectors, queries))
    chosen = choose_spec(*vectors.shape)
    kind = "real" if arguments.bundle else str(arguments.vectors or "made up")
    print(f"{len(vectors):,} x {vectors.shape[1]} ({kind}), {len(queries):,} other queries; choose_spec: {chosen.kind}")
    specs = [IndexSpec(kind=IndexKind.EXACT), IndexSpec(kind=IndexKind.FLAT)]
    if chosen.kind is IndexKind.IVF_PQ:
        specs += [replace(chosen, target_recall=target) for target in (0.95, TARGET)]
    our_results = [result for spec in specs for result in ours(spec, truth)]
    peer_results = list(peers(truth, arguments.ef))
    print_table(our_results + peer_results)
    print_verdict(our_results, peer_results)


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        # NumPy's BLAS reads these when it is loaded, which it is by now: start again with them.
        again = [sys.executable, "-m", "benchmarks.bench_index", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, **ONE_THREAD})
    main()
