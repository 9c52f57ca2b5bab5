"""Which changes leave the log and when, on both databases, and what servers make of a log that was trimmed."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from app.collection.repository import CollectionRepository
from app.db.database import Database
from app.db.opening import open_database
from app.errors import OverloadedError
from app.record.schemas import RecordDraft
from app.record.writer import RecordWriter
from app.serving import holding, marks, trimming
from app.serving.release import ServingRelease
from app.serving.release_key import ReleaseKey
from app.serving.repository import WantedRelease
from app.serving.trimming import LogTrimmer
from app.settings import Settings
from app.tables import ChangeLogEntry, ChangeMark, Collection
from index.snapshot import snapshot_folder
from tests.conftest import add_encoder, make_collection, postgres_settings
from tests.fakes.backups import restore_backup, write_backup
from tests.fakes.running import Running, make_settings, running, wait_for

DAY = timedelta(days=1)
postgres_only = pytest.mark.parametrize("settings", ["postgresql"], indirect=True)


class Log:
    """A collection's log in a database, without a server: its releases are as far as they are said to be."""

    def __init__(self, database: Database, data: Path) -> None:
        self.database, self.data = database, data
        self.trimmer = LogTrimmer(database, data)
        self.collection_id = database.write(_create).result()
        self.releases: dict[int, int] = {}  # to the change that they have come to

    def release(self, number: int, *snapshots: int, applied_seq: int) -> None:
        self.releases[number] = applied_seq
        for seq in snapshots:
            snapshot_folder(self._key(number).folder(self.data), seq).mkdir(parents=True)

    def grow(self, n: int) -> None:
        def unit(session: Session) -> None:
            writer = RecordWriter(session, CollectionRepository(session).lock("faq")[0])
            writer.upsert([RecordDraft(id=f"r{number}", text=f"{datetime.now(UTC)}") for number in range(n)])

        self.database.write(unit).result()

    def trim(self, held: set[int] | None = None) -> None:
        """A turn of a server that has some of the releases in memory; all of them unless told."""
        here = set(self.releases) if held is None else held
        in_memory = [SimpleNamespace(key=self._key(n), applied_seq=self.releases[n]) for n in here]
        self.trimmer.trim([self._wanted(n) for n in self.releases], cast(list[ServingRelease], in_memory))

    def age(self, by: timedelta) -> None:
        def unit(session: Session) -> None:
            for mark in session.scalars(select(ChangeMark)):
                mark.marked_at -= by

        self.database.write(unit).result()

    @property
    def last_seq(self) -> int:
        return self.database.read(lambda session: session.scalars(select(Collection.last_seq)).one())

    @property
    def seqs(self) -> list[int]:
        return seqs(self.database)

    @property
    def marked(self) -> list[int]:
        return self.database.read(lambda session: sorted(session.scalars(select(ChangeMark.seq))))

    def _key(self, number: int) -> ReleaseKey:
        return ReleaseKey(
            collection_id=self.collection_id, collection="faq", release_id=number, number=number, encoder_sha="sha"
        )

    def _wanted(self, number: int, last_seq: int | None = None) -> WantedRelease:
        seq = self.last_seq if last_seq is None else last_seq
        return WantedRelease(self._key(number), {}, {}, seq, number == 1, None, 0)


def seqs(database: Database) -> list[int]:
    """The log of the only collection."""
    return database.read(lambda session: sorted(session.scalars(select(ChangeLogEntry.seq))))


def _create(session: Session) -> int:
    collection = Collection(name="faq", settings={})
    CollectionRepository(session).add(collection)
    return collection.id


@pytest.fixture
def log(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Log:
    """Forty changes, of which nothing is known but that they are there."""
    monkeypatch.setattr(marks, "AT_ONCE", 7)
    made = Log(database, tmp_path / "data")
    made.grow(40)
    return made


def test_only_what_is_old_goes(log: Log) -> None:
    log.release(1, 30, 40, applied_seq=60)
    log.trim()
    log.grow(20)
    log.trim()
    assert (log.seqs, log.marked) == (list(range(1, 61)), [40]), "marked, within the same hour once"
    log.age(DAY - timedelta(minutes=1))
    log.trim()
    assert (log.seqs, log.marked) == (list(range(1, 61)), [40, 60])
    log.age(timedelta(minutes=2))
    log.trim()
    assert log.seqs == list(range(30, 61)), "from the oldest snapshot on"
    assert log.last_seq == 60


def test_a_clock_that_went_ahead_keeps_nothing_for_long(log: Log) -> None:
    """A machine that starts with a date of next year marks so, until it has asked what time it is."""
    log.release(1, 40, applied_seq=60)
    log.trim()
    log.age(timedelta(days=-365))
    log.grow(10)
    log.trim()
    log.age(2 * DAY)
    log.trim()
    assert (log.seqs, log.marked) == (list(range(40, 51)), [40, 50])


def test_the_last_change_stays_for_good_and_numbers_go_on(log: Log) -> None:
    log.release(1, 40, applied_seq=40)
    for _ in range(3):
        log.trim()
        log.age(2 * DAY)
    assert (log.seqs, log.marked) == ([40], [40])
    log.grow(1)
    assert (log.seqs, log.last_seq) == ([40, 41], 41)
    log.trim()
    log.age(2 * DAY)
    log.trim()
    assert (log.seqs, log.marked) == ([40, 41], [40, 41])
    log.grow(1)
    log.trim()
    assert log.marked == [41, 42], "marks that say no more go"


@pytest.mark.parametrize(
    ("second", "held", "kept_from"),
    [
        ({"snapshots": (12, 40), "applied_seq": 40}, {1, 2}, 12),
        ({"snapshots": (40,), "applied_seq": 25}, {1, 2}, 25),
        ({"snapshots": (), "applied_seq": 40}, {1, 2}, 1),  # a start would begin at once after the last change
        ({"snapshots": (40,), "applied_seq": 40}, {1}, 1),  # it is being loaded, or cannot be
        ({"snapshots": (40,), "applied_seq": 40}, {1, 2}, 30),
    ],
)
def test_what_any_release_may_need_stays(log: Log, second: dict[str, Any], held: set[int], kept_from: int) -> None:
    log.release(1, 30, 40, applied_seq=40)
    log.release(2, *second["snapshots"], applied_seq=second["applied_seq"])
    log.trim(held)
    log.age(2 * DAY)
    log.trim(held)
    assert log.seqs == list(range(kept_from, 41))


def test_a_turn_is_bounded_and_the_next_goes_on(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.release(1, 40, applied_seq=40)
    log.trim()
    log.age(2 * DAY)
    monkeypatch.setattr(trimming, "_TURN_S", 0.05)
    monkeypatch.setattr(trimming, "_PAUSE_S", 0.06)
    monkeypatch.setattr(trimming, "_AGAIN_S", 0.0)
    log.trimmer = LogTrimmer(log.database, log.data)
    while (first := log.seqs[0]) != 40:
        assert log.trimmer.take_turn()
        assert not log.trimmer.take_turn(), "one at a time"
        log.trim()
        assert log.seqs[0] in (first, first + 7, 40), "in order, as much as one transaction removes"
    log.trim()
    assert not log.trimmer.take_turn(), "nothing is left: it rests"


def test_a_database_that_is_away_ends_a_turn_only(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.release(1, 40, applied_seq=40)
    log.trim()
    log.age(2 * DAY)
    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(log.database, "write", lambda unit: (_ for _ in ()).throw(OverloadedError("queues are full")))
        log.trim()
    assert [event["event"] for event in logs] == ["change_log_not_trimmed"]
    log.trim()
    assert log.seqs == [40]


def test_marks_and_changes_go_with_their_collection(log: Log) -> None:
    log.release(1, 40, applied_seq=40)
    log.trim()

    def unit(session: Session) -> None:
        repository = CollectionRepository(session)
        repository.delete(repository.get_locked("faq"))

    log.database.write(unit).result()
    assert (log.seqs, log.marked) == ([], [])
    log.trimmer.trim([log._wanted(1, last_seq=41)], [])
    assert log.marked == [], "a server that has not seen it yet"


@postgres_only
def test_servers_leave_a_collection_to_the_one_that_is_at_it(log: Log) -> None:
    log.release(1, 40, applied_seq=40)
    log.trim()
    log.age(2 * DAY)
    begun, may_end = threading.Event(), threading.Event()

    def unit(session: Session) -> None:
        assert marks.remove_some(session, log.collection_id, 0, 40, 40) == 8
        begun.set()
        assert may_end.wait(10)

    other = log.database.write(unit)
    assert begun.wait(10)
    log.trim()
    assert log.seqs == list(range(1, 41)), "neither waited for nor done twice"
    may_end.set()
    other.result()
    log.trim()
    assert log.seqs == [40]


@postgres_only
def test_who_writes_and_who_trims_do_not_wait_for_one_another(log: Log) -> None:
    log.release(1, 40, applied_seq=40)
    log.trim()
    log.age(2 * DAY)
    begun, may_end = threading.Event(), threading.Event()

    def unit(session: Session) -> int:
        collection_id, _ = CollectionRepository(session).lock("faq")
        written = RecordWriter(session, collection_id).upsert([RecordDraft(id="new", text="a text")])
        begun.set()
        assert may_end.wait(10)
        return written[0].seq

    writing = log.database.write(unit)
    assert begun.wait(10)
    log.trim()
    assert log.seqs == [40]
    may_end.set()
    assert writing.result() == 41


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes are old at once, and looked for all the time."""
    monkeypatch.setattr(trimming, "AGE", timedelta(0))
    monkeypatch.setattr(trimming, "MARK_EVERY", timedelta(0))
    monkeypatch.setattr(trimming, "_LOOK_S", 0.01)
    monkeypatch.setattr(marks, "AT_ONCE", 11)


def store(service: Running, name: str, n: int, words: str) -> int:
    body = {"upsert": [{"id": f"r{number}", "text": f"{words} {number}"} for number in range(n)]}
    answer = service.client.post(f"/v1/collections/{name}/records:batch?wait=visible", json=body).json()
    assert answer["visible"]
    return int(answer["seq"])


def compact(service: Running, name: str) -> None:
    job = service.client.post(f"/v1/collections/{name}:compact").json()["id"]
    wait_for(lambda: service.client.get(f"/v1/jobs/{job}").json()["state"] == "succeeded")


def answers(service: Running, name: str) -> list[list[tuple[str, str]]]:
    queries = [f"{words} {number}" for words in ("first", "third") for number in (3, 7)]
    found = service.client.post(f"/v1/collections/{name}:search", json={"queries": queries, "k": 50}).json()["results"]
    return [[(hit["id"], hit["text"]) for hit in hits] for hits in found]


def test_restarts_and_restores_go_on_where_a_trimmed_log_ends(registered: Settings, soon: None, tmp_path: Path) -> None:
    with running(registered) as service:
        name = make_collection(service)
        for words in ("first", "second"):
            store(service, name, 30, words)
            compact(service, name)
        assert store(service, name, 30, "third") == 90
        wait_for(lambda: seqs(service.container.database) == list(range(30, 91)))
        expected = answers(service, name)
    with capture_logs() as logs, running(registered) as service:
        assert answers(service, name) == expected
        assert service.client.get(f"/v1/collections/{name}").json()["last_seq"] == 90
        for seq, words in ((91, "fourth"), (92, "fifth")):
            assert store(service, name, 1, words) == seq
            compact(service, name)
        wait_for(lambda: seqs(service.container.database) == [91, 92])
        expected = answers(service, name)
    assert [event["source"] for event in logs if event["event"] == "release_loaded"] == ["snapshot"]
    write_backup(registered, tmp_path / "x.tar")
    restored = make_settings(tmp_path / "restored")
    restore_backup(tmp_path / "x.tar", restored)
    with running(restored) as service:
        assert answers(service, name) == expected
        assert service.client.get(f"/v1/collections/{name}").json()["last_seq"] == 92
        assert store(service, name, 2, "sixth") == 94


def test_a_start_takes_no_snapshot_that_the_log_does_not_reach_back_to(registered: Settings) -> None:
    with running(registered) as service:
        name = make_collection(service)
        compact(service, name)  # of no record, before the first change
    database = open_database(registered)

    def unit(session: Session) -> None:
        writer = RecordWriter(session, CollectionRepository(session).lock(name)[0])
        writer.upsert([RecordDraft(id=f"r{number}", text=f"first {number}") for number in range(9)])
        session.execute(delete(ChangeLogEntry).where(ChangeLogEntry.seq < 9))

    database.write(unit).result()
    database.close()
    with capture_logs() as logs, running(registered) as service:
        wait_for(lambda: len(answers(service, name)[0]) == 9)
    (why,) = [event["reason"] for event in logs if event["event"] == "snapshot_thrown_away"]
    assert why == "change 1, which it lacks, is no longer in the database's log"
    assert [event["source"] for event in logs if event["event"] == "release_loaded"] == ["database"]


def test_a_server_that_slept_loads_what_another_has_saved(
    tmp_path: Path, tiny_bundle: Path, postgres: str, soon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = postgres_settings(postgres, tmp_path / "data")
    add_encoder(settings, tiny_bundle)
    with running(settings) as first, running(settings) as second:
        name = make_collection(first)
        store(first, name, 30, "first")
        wait_for(lambda: second.container.serving.find(name) is not None and len(answers(second, name)[0]) == 30)
        before = answers(second, name)
        second.container.serving._upkeep.stop()  # who sleeps takes no job
        holder = second.container.serving._follower._holder
        with monkeypatch.context() as asleep:
            asleep.setattr(holder, "bring_up", lambda wanted, in_doubt: False)
            for words in ("second", "third"):
                store(first, name, 30, words)
                compact(first, name)
            wait_for(lambda: seqs(first.container.database)[0] >= 60)
            assert answers(second, name) == before
        monkeypatch.setattr(holding, "_LOOK_S", 1e9)  # the log alone tells it
        with capture_logs() as logs:
            second.container.serving.wake()
            wait_for(lambda: answers(second, name) == answers(first, name) != before)
        assert second.container.serving.failing == {}
    loaded = [(event["event"], event.get("source")) for event in logs if event["event"].startswith("release_load")]
    assert loaded == [("release_loads_again", None), ("release_loaded", "snapshot")]
