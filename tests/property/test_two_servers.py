"""Two servers that follow one log and compact into one folder, against a plain dict: seeded random steps.

Every failure names its seed; SAMESAY_STEPS sets how many (400).
"""

import random
from pathlib import Path

import numpy as np
import pytest

from app.serving.applying import without_vectors
from app.serving.compacting import Compactor
from app.serving.repository import ChangedRecords
from app.serving.snapshots.base import StaleReleaseError
from index.snapshot import prune_snapshots
from tests.property.test_live_release import DIM, STEPS, Record, check_whole, encode, new_release


class TwoServers:
    """Two servers on one folder. Each reads the log a few changes at a time, and each record as it is then: so both may
    stand at the same change, and have read the records at different moments.
    """

    def __init__(self, seed: int, folder: Path) -> None:
        self.random, self.folder = random.Random(seed), folder
        self.records: dict[int, Record] = {}
        self.log: list[int] = []
        self.compactor = Compactor(folder, encoder_checksum="enc", dim=DIM, target_recall=0.99)
        self.servers = [new_release(folder), new_release(folder)]
        self.n_stale = 0

    def write(self, _: int) -> None:
        number = self.random.randrange(30)
        if self.random.random() < 0.4:
            self.records.pop(number, None)
        else:
            self.records[number] = Record(f"sentence {self.random.randrange(6)}", None, {})
        self.log.append(number)

    def follow(self, server: int) -> bool:
        release = self.servers[server]
        batch = self.log[release.applied_seq :][: 4 - release.applied_seq % 4]
        if batch:
            entries = {n: self.records[n].entry(n) for n in batch if n in self.records}
            new = list(without_vectors(entries, release.view))
            vectors = np.array([encode(entries[n].text) for n in new], np.float32).reshape(-1, DIM)
            seq, known = release.applied_seq + len(batch), len(self.log)
            gone = sorted(set(batch) - entries.keys())
            release.apply(ChangedRecords(seq, known, 7 * known, entries, gone), np.array(new, np.int64), vectors)
        return bool(batch)

    def load(self, server: int) -> None:
        """Again, from the newest snapshot."""
        before, self.servers[server] = self.servers[server].applied_seq, new_release(self.folder)
        while self.servers[server].applied_seq < before:
            self.follow(server)

    def compact(self, server: int) -> None:
        """As where changes wait for it: at the same change on both."""
        release = self.servers[server]
        while release.applied_seq % 12 and self.follow(server):
            pass
        view = release.view
        try:
            base = self.compactor.fold(view)
        except StaleReleaseError:
            self.n_stale += 1
            self.load(server)
            return
        for _ in range(self.random.randrange(3)):
            self.write(server)
            self.follow(server)
        release.rebase(base, view)
        prune_snapshots(self.folder)

    def check(self) -> None:
        for server, _ in enumerate(self.servers):
            while self.follow(server):
                pass
            check_whole(self.servers[server].view, self.records)


@pytest.mark.parametrize("seed", range(6))
def test_two_servers_on_one_folder_never_take_one_another_s_rows_for_their_own(seed: int, tmp_path: Path) -> None:
    scenario = TwoServers(seed, tmp_path / "snapshots")
    ways = [scenario.write, scenario.follow, scenario.load, scenario.compact]
    for step in range(STEPS):
        scenario.random.choices(ways, weights=[60, 10, 1, 6])[0](scenario.random.randrange(2))
        if step % 50 == 49:
            scenario.check()
    scenario.check()
    assert scenario.n_stale, "else this proves nothing"
