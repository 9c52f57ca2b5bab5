"""Servers that follow a log which is trimmed, against a plain dict: seeded random writes, compactions, restarts, trims.

One server sleeps through them. Some trims are the service's own, others are careless.

Every failure names its seed; the same seed plays the same steps again. SAMESAY_STEPS sets how many (120).
"""

import os
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from app.collection.repository import CollectionRepository
from app.db.database import Database
from app.db.opening import open_database
from app.encoder.store import EncoderStore
from app.encoding.bulk import encode_many
from app.record.schemas import RecordDraft
from app.record.writer import RecordWriter
from app.serving import holding, marks, trimming
from app.serving.follower import Follower
from app.serving.housekeeper import Housekeeper
from app.serving.loading import Loader
from app.serving.release import ServingRelease
from app.serving.repository import list_wanted
from app.serving.roster import Roster
from app.serving.snapshots.base import StaleReleaseError
from app.serving.trimming import LogTrimmer
from app.serving.visibility import Visibility
from app.settings import Settings
from app.tables import ChangeLogEntry, Collection, Release
from index.snapshot import latest_snapshot
from tests.conftest import add_encoder
from tests.fakes.live_rows import live_rows
from tests.fakes.running import make_settings

STEPS = int(os.environ.get("SAMESAY_STEPS", "120"))
N_IDS, MOST_ROUNDS = 14, 20


class Server:
    """What follows the log, without threads: each `follow` goes to its end, as rounds of the follower do."""

    def __init__(self, database: Database, data: Path) -> None:
        self.roster = Roster()
        self.housekeeper = Housekeeper(data, lambda _: None, is_shared=True)
        self._follower = Follower(
            database,
            Loader(database, EncoderStore(data / "encoders"), data, is_shared=True),
            self.housekeeper,
            self.roster,
            Visibility(),
            poll_s=1.0,
            observe_lag=lambda _: None,
        )

    def follow(self) -> ServingRelease:
        assert any(not self._follower._round() for _ in range(MOST_ROUNDS)), "it goes round in circles"
        assert not self._follower.failing
        return self.release

    @property
    def release(self) -> ServingRelease:
        found = self.roster.find("faq")
        assert found is not None
        return found


class Scenario:
    """Random steps on a database and its servers, and the dict of what must be there."""

    def __init__(self, seed: int, settings: Settings, sha: str) -> None:
        self.random = random.Random(seed)
        self.database, self.data = open_database(settings), settings.data
        self.records: dict[str, str] = {}
        self.seq = 0
        self.n_trimmed = 0
        self.collection_id = self.database.write(lambda session: create(session, sha)).result()
        self.trimmer = LogTrimmer(self.database, self.data)
        self.awake, self.sleeper = self.start(), self.start()

    def start(self) -> Server:
        server = Server(self.database, self.data)
        server.follow()
        return server

    def write(self) -> None:
        keys = self.random.sample(range(N_IDS), self.random.choice([1, 1, 3, 6]))
        upserts = {f"r{key}": f"sentence {self.random.randrange(40)}" for key in keys[: self.random.choice([1, 6])]}
        gone = [f"r{key}" for key in keys if f"r{key}" not in upserts]

        def unit(session: Session) -> list[int]:
            collection_id, _ = CollectionRepository(session).lock("faq")
            writer = RecordWriter(session, collection_id)
            drafts = [RecordDraft(id=key, text=text) for key, text in upserts.items()]
            written = [one.seq for one in writer.upsert(drafts) if one.changed]
            return [*written, *writer.delete(gone).values()]

        n_changes = sum(self.records.get(key) != text for key, text in upserts.items())
        n_changes += sum(key in self.records for key in gone)
        assert self.database.write(unit).result() == list(range(self.seq + 1, self.seq + 1 + n_changes))
        self.seq += n_changes
        self.records = {key: text for key, text in {**self.records, **upserts}.items() if key not in gone}

    def follow(self) -> None:
        self.check(self.awake.follow())

    def wake(self) -> None:
        """The one that slept."""
        self.check(self.sleeper.follow())

    def compact(self) -> None:
        server = self.random.choice([self.awake, self.awake, self.sleeper])
        view = server.release.view
        try:
            server.housekeeper.compact(server.release, lambda: False)
        except StaleReleaseError:
            newest = latest_snapshot(server.release.key.folder(self.data))
            assert newest is not None
            is_gone = view.base.folder is not None and not view.base.folder.exists()
            assert is_gone or int(newest.name) >= view.applied_seq, "another has removed it, or was first"

    def restart(self) -> None:
        self.awake = self.start()
        self.check(self.awake.release)

    def fall_asleep_anew(self) -> None:
        self.sleeper = self.start()

    def trim(self) -> None:
        """As the service does."""
        before = len(self.logged())
        self.trimmer.trim(self.database.read(list_wanted), [self.awake.release])
        self.n_trimmed += before - len(self.logged())

    def cut(self) -> None:
        """Without a look at who needs what."""
        end = self.random.randrange(self.seq + 1)
        careless = delete(ChangeLogEntry).where(ChangeLogEntry.seq < end)
        self.database.write(lambda session: session.execute(careless) and None).result()

    def logged(self) -> list[int]:
        statement = select(ChangeLogEntry.seq).order_by(ChangeLogEntry.seq)
        return self.database.read(lambda session: list(session.scalars(statement)))

    def check(self, release: ServingRelease) -> None:
        """It has every record as it is, with its vector, and nothing else."""
        view = release.view
        ids, vectors = live_rows(view.index)
        entries = view.catalogue.find(ids.tolist())
        assert {entry.id: entry.text for entry in entries if entry is not None} == self.records
        assert len(ids) == len(self.records)
        expected = encode_many(release.bundle.encoder, [entry.text for entry in entries if entry is not None])
        np.testing.assert_allclose(vectors, expected, atol=1e-6)
        assert view.applied_seq == self.seq
        assert view.known_seq == self.seq
        last_seq = self.database.read(lambda session: session.scalars(select(Collection.last_seq)).one())
        logged = self.logged()
        assert last_seq == self.seq
        assert logged == list(range(self.seq - len(logged) + 1, self.seq + 1)), "no gap, and the last is there"
        assert logged or not self.seq

    def steps(self, weights: dict[str, int]) -> Iterator[str]:
        for _ in range(STEPS):
            (name,) = self.random.choices(list(weights), weights=list(weights.values()))
            getattr(self, name)()
            yield name


def create(session: Session, sha: str) -> int:
    collection = Collection(name="faq", settings={})
    CollectionRepository(session).add(collection)
    session.add(Release(collection_id=collection.id, number=1, encoder_sha=sha, state="active", decision={}))
    return collection.id


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written is old at the next look, and little is removed at a time."""
    monkeypatch.setattr(trimming, "AGE", timedelta(0))
    monkeypatch.setattr(trimming, "MARK_EVERY", timedelta(0))
    monkeypatch.setattr(trimming, "_PAUSE_S", 0.0)
    monkeypatch.setattr(marks, "AT_ONCE", 3)


WEIGHTS = {"write": 40, "follow": 12, "wake": 3, "compact": 6, "restart": 3, "fall_asleep_anew": 1, "trim": 8}


@pytest.mark.parametrize("seed", range(6))
def test_no_server_misses_a_change(
    seed: int, tmp_path: Path, tiny_bundle: Path, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(tmp_path / "data")
    sha = add_encoder(settings, tiny_bundle)
    if seed % 2:  # no snapshot of another is taken over unless it must be
        monkeypatch.setattr(holding, "_LOOK_S", 1e9)
    scenario, done = Scenario(seed, settings, sha), []
    weights: dict[str, Any] = WEIGHTS | ({"cut": 5} if seed % 3 else {})
    try:
        with capture_logs() as logs:
            done.extend(scenario.steps(weights))
            scenario.follow()
            scenario.wake()
    except AssertionError:
        print(f"seed {seed} failed after {len(done)} steps: {' '.join(done)}")
        raise
    finally:
        scenario.database.close()
    assert scenario.n_trimmed
    if "cut" not in weights:
        assert "snapshot_thrown_away" not in [event["event"] for event in logs], "what a start needs stays"
