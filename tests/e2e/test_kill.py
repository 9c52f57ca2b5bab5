"""SIGKILL at any moment, again and again: what was acknowledged is there, once and whole, and nothing else is.

SAMESAY_CRASH_ROUNDS is how often the server is killed, SAMESAY_CRASH_SEED repeats what the writers did.
"""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.conftest import add_encoder
from tests.fakes.running import make_settings, wait_for
from tests.fakes.spawned import Spawned, spawned
from tests.fakes.tiny_bundle import make_tiny_bundle
from tests.fakes.writers import PLACE, Writer, check_searches, read_stored

ROUNDS = int(os.environ.get("SAMESAY_CRASH_ROUNDS", "3"))
SEED = int(os.environ.get("SAMESAY_CRASH_SEED", random.randrange(10**6)))

FILLED = 6_000
"""Changes after which an index is compacted when nothing comes for two seconds."""

DIM = 512
"""So wide that the index of those has lists and codes, and is built by a process of its own."""


class Crashes:
    """A data folder, its writers, and the ways in which its server dies.

    Args:
        data: The folder.
        seed: Of what is written and when the server is killed.
    """

    def __init__(self, data: Path, seed: int) -> None:
        self.data = data
        self.rng = random.Random(seed)
        self.writers = [Writer(f"w{number}-", random.Random(f"{seed} {number}")) for number in range(4)]
        self.filler = Writer("filler", random.Random(f"{seed} filler"))
        self.children: list[psutil.Process] = []

    def among_writes(self, server: Spawned) -> None:
        """Killed while all write."""
        with self.writing(server):
            self.pause_among_writes()
            self.kill(server)

    def while_stopping(self, server: Spawned) -> None:
        """Killed when it was told to stop, drains, and saves its snapshot."""
        with self.writing(server, may_be_refused=True):
            self.pause_among_writes()
            before = self.snapshot_files()
            server.process.send_signal(signal.SIGTERM)
            with suppress(TimeoutError):  # it need not save anything
                wait_for(lambda: self.snapshot_files() != before or server.process.poll() is not None, timeout_s=2)
            time.sleep(self.rng.choice((0, self.rng.uniform(0, 0.02), self.rng.uniform(0, 0.3))))
            self.kill(server)

    def while_compacting(self, server: Spawned) -> None:
        """Killed while it compacts and saves in the background; writes begin again meanwhile."""
        with server.client() as client:
            before = self.snapshot_files()
            self.filler.fill(client, FILLED)
            wait_for(lambda: self.snapshot_files() != before)
        with self.writing(server):
            time.sleep(self.rng.choice((0, self.rng.uniform(0, 0.05), self.rng.uniform(0, 1.0))))
            self.kill(server)

    def pause_among_writes(self) -> None:
        """Wait until every writer has had some answers, and a little more."""
        before = [writer.acknowledged for writer in self.writers]
        wait_for(lambda: all(now.acknowledged > then + 5 for now, then in zip(self.writers, before, strict=True)))
        time.sleep(self.rng.uniform(0, 0.5))

    def kill(self, server: Spawned) -> None:
        """SIGKILL, to the server alone."""
        with suppress(psutil.NoSuchProcess):  # it may have stopped by itself
            self.children = server.memory.children(recursive=True)
        server.process.kill()

    @contextmanager
    def writing(self, server: Spawned, *, may_be_refused: bool = False) -> Iterator[None]:
        """All writers write until the server is dead; whatever one of them saw wrong is raised."""
        with ThreadPoolExecutor(len(self.writers)) as pool:
            futures = [pool.submit(writer.write_until_it_dies, server.url) for writer in self.writers]
            try:
                yield
            finally:
                server.process.kill()  # else they would write on
                refused = [future.result() for future in futures]
        assert may_be_refused or not any(refused)

    def check(self, client: httpx.Client) -> None:
        """What is found and what is stored is what was acknowledged, from the first answer on."""
        everyone = [*self.writers, self.filler]
        doubtful = {key for writer in everyone if writer.doubt for key in writer.doubt.changes}
        self.check_searches(client, everyone, without=doubtful)
        before = read_stored(client)
        for writer in everyone:
            writer.settle(client, before)
        records = {key: nonce for writer in everyone for key, nonce in writer.records.items()}
        assert read_stored(client) == records
        state = client.get(PLACE).json()
        assert state["records"] == len(records)
        wait_for(lambda: client.get(PLACE).json()["visible_seq"] == state["last_seq"])
        assert f'samesay_index_vectors{{collection="faq"}} {float(len(records))}' in client.get("/metrics").text
        self.check_searches(client, everyone, without=set())

    def check_searches(self, client: httpx.Client, everyone: Sequence[Writer], *, without: Set[str]) -> None:
        """Searches find what was acknowledged and nothing that is gone; of each writer, 100 are asked for."""
        for writer in everyone:
            keys = sorted((writer.records.keys() | writer.gone.keys()) - without)
            check_searches(client, writer.records, writer.gone, self.rng.sample(keys, min(len(keys), 100)))

    def snapshot_files(self) -> set[str]:
        """Everything that stands where snapshots are written; files may come and go meanwhile."""
        return {f"{folder}/{name}" for folder, _, names in os.walk(self.data / "collections") for name in names}


@pytest.fixture
def crashes(tmp_path: Path) -> Crashes:
    print(f"SAMESAY_CRASH_SEED={SEED}")
    data, bundle = tmp_path / "data", tmp_path / "bundle"
    make_tiny_bundle(bundle, dim=DIM)
    add_encoder(make_settings(data), bundle)
    return Crashes(data, SEED)


def test_every_acknowledged_write_survives_sigkill(crashes: Crashes) -> None:
    ways = [crashes.while_compacting, crashes.among_writes, crashes.while_stopping]
    ways += [crashes.rng.choice(ways) for _ in range(ROUNDS - len(ways))]
    for number, way in enumerate(ways[:ROUNDS]):
        live_and_die(crashes, way, is_first=number == 0)
    with spawned(crashes.data) as server, server.client() as client:
        crashes.check(client)


def live_and_die(crashes: Crashes, way: Callable[[Spawned], None], *, is_first: bool) -> None:
    """One life of the server: what it finds is checked, then it dies; no process of its own outlives it for long."""
    print(way.__name__)
    with spawned(crashes.data) as server:
        with server.client() as client:
            if is_first:
                assert client.post("/v1/collections", json={"name": "faq", "encoder": "tiny"}).status_code == 201
            else:
                crashes.check(client)
        way(server)
        server.process.wait(10)
        print(f"killed with {len(crashes.children)} processes of its own")
        _, alive = psutil.wait_procs(crashes.children, timeout=20)
        assert not alive, f"{alive} outlived the server"
