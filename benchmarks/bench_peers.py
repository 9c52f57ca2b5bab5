"""The service against its peers: text in, neighbours with their texts out, over a socket, at the same recall.

SAMESAY_BENCH_DATA=... python -m benchmarks.bench_peers --bundle RUN/bundle --peers-python VENV/bin/python

This service is given sentences and encodes them; the peers are given the embeddings, made beforehand, with records and
queries alike. Every server runs on one CPU, with all its processes; its client on another. A peer's effort (ef, nprobe)
is raised until it finds 99 % of the exact neighbours. Then all of them are measured in turn, several times; medians.
Peers that are not installed are named and left out. They live in an environment of their own:
python -m venv VENV; VENV/bin/pip install chromadb zvec 'txtai[api]'. pgvector comes with the extra `test`.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from benchmarks.peers.chroma import Chroma
from benchmarks.peers.corpus import Corpus, load_corpus
from benchmarks.peers.interface import Peer, Session
from benchmarks.peers.pgvector import PgVector
from benchmarks.peers.samesay import Samesay
from benchmarks.peers.txtai import Txtai
from benchmarks.peers.zvec import Zvec
from benchmarks.server import CLIENT_CPU, pin, wait_until_idle

TARGET_RECALL = 0.99
N_JUDGED = 1_000
"""Queries that the recall is measured on."""
N_WARM_UP = 100
N_ALONE = 500


@dataclass(slots=True)
class Measured:
    """What was found out about a peer; lists have one number a round."""

    name: str
    version: str
    idle_mb: float = 0.0
    load_s: float = 0.0
    settled_s: float = 0.0
    effort: int = 0
    index_recall: float = 0.0
    reopen_s: list[float] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    alone_p50_ms: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)


def main() -> None:
    """Measure and print."""
    options = _options()
    corpus = load_corpus(options.bundle, options.records, options.queries)
    print(
        f"{len(corpus.texts):,} records x {corpus.dim}, {len(corpus.queries):,} other sentences as queries", flush=True
    )
    pin(CLIENT_CPU)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        root.chmod(0o711)  # PostgreSQL refuses to run as root and must get through as somebody else
        prepared = ((peer, prepare(peer, _folder(root, peer), corpus)) for peer in _peers(options, corpus))
        found = [(peer, measured) for peer, measured in prepared if measured is not None]
        for _ in range(options.rounds):
            for peer, measured in found:
                run_round(peer, measured, _folder(root, peer), options)
    print_table([measured for _, measured in found], len(corpus.texts))


def prepare(peer: Peer, folder: Path, corpus: Corpus) -> Measured | None:
    """Load a peer and find the effort that it needs; None if it is not installed."""
    version = peer.version()
    if version is None:
        print(f"{peer.name}: not installed, not measured", flush=True)
        return None
    measured = Measured(peer.name, version)
    with peer.running(folder, peer.efforts[0]) as session:
        _load(session, measured)
    for effort in peer.efforts:
        with peer.running(folder, effort) as session:
            measured.effort, measured.index_recall = effort, corpus.index_recall(session.neighbours(N_JUDGED))
        print(f"{peer.name} ({version}): effort {effort}, index_recall@10 {measured.index_recall:.4f}", flush=True)
        if measured.index_recall >= TARGET_RECALL:
            return measured
    print(f"{peer.name}: does not reach {TARGET_RECALL}, measured at its highest effort", flush=True)
    return measured


def run_round(peer: Peer, measured: Measured, folder: Path, options: argparse.Namespace) -> None:
    """Start a peer again and measure it once."""
    started = time.perf_counter()
    with peer.running(folder, measured.effort) as session:
        session.neighbours(1)
        measured.reopen_s.append(time.perf_counter() - started)
        wait_until_idle(session.server, window_s=2.0)
        session.drive(N_WARM_UP, 1)
        alone = session.drive(N_ALONE, 1)
        measured.alone_p50_ms.append(alone.p50_ms)
        connections = min(options.connections, peer.max_connections)
        n = int(options.seconds * 1e3 / alone.p50_ms)
        before = session.server.cpu_s()
        load = session.drive(n, connections)
        measured.cpu_us.append(1e6 * (session.server.cpu_s() - before) / n)
        measured.per_s.append(load.per_s)
        measured.p99_ms.append(load.p99_ms)
        measured.memory_mb.append(_memory_mb(session, n // 4, connections))
    print(
        f"{peer.name:20} {load.per_s:8,.0f}/s, {measured.cpu_us[-1]:7,.0f} us CPU, alone p50 {alone.p50_ms:.2f} ms, "
        f"reopened in {measured.reopen_s[-1]:.2f} s; the machine's load is {psutil.getloadavg()[0]:.1f}",
        flush=True,
    )


def print_table(results: Sequence[Measured], n: int) -> None:
    """Medians of the rounds; how many times faster the first one is, by requests and by CPU."""
    ours = results[0]
    for row, each in enumerate(results):
        cells = _cells(each, ours, n)
        if row == 0:
            print(f"{'':20}" + "".join(f"{name:>9}" for name in cells) + "  version")
        print(f"{each.name:20}" + "".join(f"{cell:>9}" for cell in cells.values()) + f"  {each.version}")
    print("rows/s: until searches find all; settled: until all is built. +MB: over the idle server, after searches.")
    print("wanted of the first: 1,800 q/s, alone 0.6 ms, and 5 times txtai and pgvector.")


def _cells(each: Measured, ours: Measured, n: int) -> dict[str, str]:
    per_s, cpu_us = statistics.median(each.per_s), statistics.median(each.cpu_us)
    return {
        "recall": f"{each.index_recall:.4f}",
        "effort": f"{each.effort or 'tuned'}",
        "q/s": f"{per_s:,.0f}",
        "times": f"{statistics.median(ours.per_s) / per_s:.1f}",
        "CPU us": f"{cpu_us:,.0f}",
        "times CPU": f"{cpu_us / statistics.median(ours.cpu_us):.1f}",
        "p99 ms": f"{statistics.median(each.p99_ms):.1f}",
        "alone ms": f"{statistics.median(each.alone_p50_ms):.2f}",
        "rows/s": f"{n / each.load_s:,.0f}",
        "settled": f"{n / each.settled_s:,.0f}",
        "reopen s": f"{statistics.median(each.reopen_s):.2f}",
        "idle MB": f"{each.idle_mb:,.0f}",
        "+MB": f"{statistics.median(each.memory_mb) - each.idle_mb:,.0f}",
    }


def _load(session: Session, measured: Measured) -> None:
    measured.idle_mb = session.server.memory_mb()
    started = time.perf_counter()
    session.load()
    measured.load_s = time.perf_counter() - started
    session.settle()
    measured.settled_s = time.perf_counter() - started + wait_until_idle(session.server)


def _memory_mb(session: Session, n: int, connections: int) -> float:
    """The most that it holds while it is searched: what processes share is seen only in those that live."""
    with ThreadPoolExecutor(1) as driver:
        driving = driver.submit(session.drive, n, connections)
        readings = [session.server.memory_mb()]
        while not driving.done():
            time.sleep(0.1)
            readings.append(session.server.memory_mb())
    driving.result()
    return max(readings)


def _peers(options: argparse.Namespace, corpus: Corpus) -> list[Peer]:
    python = options.peers_python
    made: dict[str, Callable[[], Peer]] = {
        "samesay": lambda: Samesay(corpus, options.bundle),
        "chroma": lambda: Chroma(corpus, python),
        "txtai": lambda: Txtai(corpus, python),
        "pgvector": lambda: PgVector(corpus),
        "zvec": lambda: Zvec(corpus, python),
    }
    return [make() for name, make in made.items() if name in ("samesay", *options.only)]


def _folder(root: Path, peer: Peer) -> Path:
    folder = root / type(peer).__name__.lower()
    folder.mkdir(exist_ok=True)
    return folder


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--peers-python", type=Path, required=True, help="Python that has the peers installed")
    parser.add_argument("--only", nargs="*", default=["chroma", "txtai", "pgvector", "zvec"], help="peers to measure")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=4_000, help="different ones, at least 1,000")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="of one connection's time that a round's load is worth"
    )
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
