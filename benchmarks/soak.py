"""Minutes of mixed load on one server, then many snapshot swaps: does its memory stay flat, are its answers right?

python -m benchmarks.soak [--minutes 10] [--swaps 100] [--bundle RUN/bundle] [--tolerance-mb 8]        (`make soak`)
Without --bundle it takes the tests' tiny encoder. Ends with 1 when memory grew past the tolerance, or anything was
answered wrongly or refused. The writers are those of the crash test: they know what each search must find.

Between two compactions, a minute apart, memory rises with the changes and falls again: in less than ten minutes the
tenths that are compared may lie at different heights of that, and want a larger tolerance.
"""

import argparse
import random
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from benchmarks.growth import TOLERANCE_MB, Sample, Watch, show
from benchmarks.latency import Latencies
from benchmarks.progress import tell
from benchmarks.server import Server, add_encoder, samesay_server
from tests.fakes.tiny_bundle import make_tiny_bundle
from tests.fakes.writers import PLACE, Writer, content

Failures = list[str]
"""What was answered wrongly or refused."""

WRITERS = 4
KEYS = 500
"""Records of each writer: they are written again and again, so that nothing should grow but the disk."""

FILLED = 6_000
REWRITTEN = 2_600
"""Both lead to more than the 5,000 changes after which an index is compacted: a rewritten record counts twice."""

DIM = 512
"""Of the tiny encoder: so wide that the index of so many records has lists and codes, and is built apart."""

SWAP_TIMEOUT_S = 120.0
SWAP_S = 0.3
"""What a server may need to put a snapshot that is whole in the old one's place."""


def main() -> None:
    """Soak, report, and judge."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        add_encoder(arguments.bundle or _tiny(Path(folder) / "tiny"), data)
        with samesay_server(data, cpu=None) as server:
            httpx.post(f"{server.url}/v1/collections", json={"name": "faq", "encoder": "bench"}).raise_for_status()
            watch, latencies, failures = Watch(server.process, data), Latencies(), Failures()
            load = mixed_load(server, watch, latencies, failures, arguments.minutes * 60)
            swaps = swap(server, watch, data, failures, arguments.swaps)
    print(latencies.table())
    tolerance_bytes = arguments.tolerance_mb * 2**20
    grew = [
        show(name, samples, tolerance_bytes)
        for name, samples in (("mixed load", load), (f"{arguments.swaps} snapshot swaps", swaps))
    ]
    for failure in failures[:5]:
        print(f"WRONG: {failure}")
    print(f"{len(failures)} wrong answers or errors")
    sys.exit(bool(failures) or any(grew))


def mixed_load(server: Server, watch: Watch, latencies: Latencies, failures: Failures, seconds: float) -> list[Sample]:
    """Search, classify and write from several connections at once, and look at the process meanwhile."""
    samples, until, minute = [], time.monotonic() + seconds, 0
    with ThreadPoolExecutor(WRITERS) as pool:
        working = [pool.submit(_work, server.url, number, until, latencies, failures) for number in range(WRITERS)]
        while time.monotonic() < until:
            time.sleep(min(1.0, seconds / 60))
            samples.append(watch.look())
            if samples[-1].at_s >= 60 * (minute + 1):
                minute += 1
                tell(f"mixed load: {minute} of {seconds / 60:g} minutes, RSS {samples[-1].rss_bytes / 2**20:.0f} MB")
    for each in working:
        each.result()
    return samples


def _work(url: str, number: int, until: float, latencies: Latencies, failures: Failures) -> None:
    """One client: what it does is seeded, and a failure does not end it."""
    writer = Writer(f"w{number}-", random.Random(number), n_keys=KEYS)
    with httpx.Client(base_url=url, timeout=30) as client:
        writer.fill(client, KEYS)
        while time.monotonic() < until:
            try:
                _step(client, writer, latencies)
            except (AssertionError, httpx.HTTPError) as error:
                failures.append(f"{type(error).__name__}: {str(error)[:300]}")
                time.sleep(1)


def _step(client: httpx.Client, writer: Writer, latencies: Latencies) -> None:
    known = sorted(writer.records)
    kind = writer.rng.choices(("write", "search", "searches", "classify"), (4, 8, 1, 2))[0] if known else "write"
    if kind == "write":
        operation = writer.next_operation()
        with latencies.timed("batch" if operation.idempotency_key else "write", waits=operation.visible):
            assert writer.write(client, operation), "refused"
    elif kind == "classify":
        key = writer.rng.choice(known)
        with latencies.timed("classify"):
            body = {"text": content(key, writer.records[key])["text"]}
            client.post(f"{PLACE}:classify", json=body).raise_for_status()
    else:
        keys = writer.rng.sample([*known, *sorted(writer.gone)], 1 if kind == "search" else min(16, len(known)))
        with latencies.timed(kind):
            writer.check_searches(client, keys)


def swap(server: Server, watch: Watch, data: Path, failures: Failures, n: int) -> list[Sample]:
    """Write enough for a compaction, wait until it is over, look at the process; n times and once before."""
    filler, samples = Writer("filler", random.Random(0)), []
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for number in range(n + 1):
            before = _newest(data)
            filler.fill(client, REWRITTEN if number else FILLED)
            if not _swapped(data, before):
                failures.append(f"no snapshot after {before} within {SWAP_TIMEOUT_S} s")
                break
            filler.check_searches(client, filler.rng.sample(sorted(filler.records), 50))
            samples.append(watch.look())
            if number and number % 10 == 0:
                tell(f"{number} of {n} swaps, RSS {samples[-1].rss_bytes / 2**20:.0f} MB")
    return samples[1:]


def _swapped(data: Path, before: int) -> bool:
    """Wait until there is a newer snapshot, and what it was made of is cleared away."""
    deadline = time.monotonic() + SWAP_TIMEOUT_S
    while time.monotonic() < deadline:
        if _newest(data) > before and not list(data.glob("collections/*/releases/*/snapshots/.tmp-*")):
            time.sleep(SWAP_S)
            return True
        time.sleep(0.05)
    return False


def _newest(data: Path) -> int:
    """The sequence number of the newest snapshot, 0 where there is none."""
    return max((int(folder.name) for folder in data.glob("collections/*/releases/*/snapshots/[0-9]*")), default=0)


def _tiny(folder: Path) -> Path:
    make_tiny_bundle(folder, dim=DIM)
    return folder


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--swaps", type=int, default=100)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--tolerance-mb", type=float, default=TOLERANCE_MB, help="and 5 %% of RSS after the warm-up")
    return parser.parse_args()


if __name__ == "__main__":
    main()
