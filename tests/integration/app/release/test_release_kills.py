"""A job that makes a release, killed anywhere: it goes on from its last step, and nothing is made twice or half."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.job.run import JobRun, Step
from app.release.tables import Release
from app.settings import Settings
from app.training.building import Builder
from tests.conftest import make_collection, sqlite_only
from tests.fakes.running import Running, running, wait_for
from tests.fakes.tiny_bundle import make_tiny_bundle
from tests.fakes.trainer import FakeTrainer, ended, install, job_of, let_leases_run_out, order, worker_of

STEPS = ("freeze", "check", "train", "judge", "build", "register")


class KilledError(BaseException):
    """What kill -9 is to a worker that runs in the test's own process."""


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeTrainer:
    make_tiny_bundle(tmp_path / "new", seed=10)
    return install(monkeypatch, FakeTrainer(tmp_path / "new"))


@pytest.fixture
def service(registered: Settings) -> Iterator[Running]:
    with running(registered.model_copy(update={"workers": 0})) as started:
        yield started


@pytest.fixture
def place(service: Running) -> str:
    place = f"/v1/collections/{make_collection(service)}"
    records = [{"id": f"r{n}", "text": f"sentence {n}", "group": f"g{n % 3}"} for n in range(30)]
    service.client.post(f"{place}/records:batch", json={"upsert": records}, params={"wait": "visible"})
    return place


def die_once(times: list[int], at: int) -> None:
    times.append(len(times))
    if len(times) == at + 1:
        raise KilledError


def around_commit(monkeypatch: pytest.MonkeyPatch, at: int, *, stored: bool) -> None:
    """Die at a step: just before what it came to is stored, or just after."""
    commit, times = JobRun.commit, list[int]()

    def killed(run: JobRun, step: Callable[[Session], Step]) -> None:
        if not stored:
            die_once(times, at)
        commit(run, step)
        if stored:
            die_once(times, at)

    monkeypatch.setattr(JobRun, "commit", killed)


def inside_the_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Die once the index is moved, before the release is stored."""
    move, times = Builder.move, list[int]()

    def killed(builder: Builder, folder: Path, release: Release) -> None:
        move(builder, folder, release)
        die_once(times, 0)

    monkeypatch.setattr(Builder, "move", killed)


def see_through(service: Running, key: str) -> tuple[dict[str, Any], int]:
    """Run workers, each after the one before is dead, until the job is over; how many died."""
    died = 0
    for n in range(4):
        try:
            worker_of(service, f"w{n}").run_next()
            break
        except KilledError:
            died += 1
            assert job_of(service, key)["state"] in ("running", "cancelling")
            let_leases_run_out(service)
    return ended(service, key), died


def check_one_release(service: Running, place: str, job: dict[str, Any], folder: str = "2") -> None:
    assert (job["state"], job["error"]) == ("succeeded", None)
    wait_for(lambda: service.client.post(f"{place}:search", json={"query": "x"}).json()["release"] == 2)
    found = service.client.get(f"{place}/releases").json()["items"]
    assert [(release["number"], release["state"]) for release in found] == [(1, "retired"), (2, "active")]
    events = service.client.get(f"{place}/release-events").json()["items"]
    assert [event["action"] for event in events] == ["promoted", "created"]
    found = service.client.post(f"{place}:search", json={"query": "sentence 7", "k": 30}).json()["results"][0]
    assert len(found) == 30
    data = service.container.settings.data
    assert list((data / "jobs").glob("*")) == []
    assert folder in {path.name for path in (data / "collections").glob("*/releases/*")}


@pytest.mark.parametrize("stored", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(len(STEPS)), ids=STEPS)
def test_killed_around_each_step(
    service: Running, place: str, trainer: FakeTrainer, monkeypatch: pytest.MonkeyPatch, at: int, stored: bool
) -> None:
    around_commit(monkeypatch, at, stored=stored)
    job, died = see_through(service, order(service, place))
    assert (died, job["attempts"]) == (1, 2)
    check_one_release(service, place, job)
    again = STEPS[at] if not stored and STEPS[at] in ("check", "train", "judge") else None
    assert trainer.commands == [
        command for command in ("check", "train", "judge") for _ in range(1 + (command == again))
    ]


def test_killed_while_the_release_is_stored(
    service: Running, place: str, trainer: FakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside_the_transaction(monkeypatch)
    key = order(service, place)
    with pytest.raises(KilledError):
        worker_of(service).run_next()
    assert len(service.client.get(f"{place}/releases").json()["items"]) == 1  # nothing half made
    let_leases_run_out(service)
    job, died = see_through(service, key)
    assert died == 0
    folders = (service.container.settings.data / "collections").glob("*/releases/*")
    newest = max(path.name for path in folders)  # PostgreSQL gives no number twice: 2 goes with the next start
    check_one_release(service, place, job, newest)


@sqlite_only
@pytest.mark.parametrize("command", ["check", "train", "judge"])
def test_cancelled_while_the_trainer_works(service: Running, place: str, trainer: FakeTrainer, command: str) -> None:
    key = order(service, place)

    def cancel(run: JobRun, current: str) -> None:
        if current == command:
            assert service.client.delete(f"/v1/jobs/{key}").json()["state"] == "cancelling"
            run.check()  # as the real one does, several times a second

    trainer.before = cancel
    worker_of(service).run_next()
    assert ended(service, key)["state"] == "cancelled"
    assert len(service.client.get(f"{place}/releases").json()["items"]) == 1
    data = service.container.settings.data
    assert list((data / "jobs").glob("*")) == []
    assert {path.name for path in (data / "collections").glob("*/releases/*")} <= {"1"}
    assert len(list((data / "encoders").glob("*"))) == 1
    assert service.client.get("/v1/encoders").json()["items"][0]["name"] == "tiny"


@sqlite_only
@pytest.mark.parametrize("at", range(len(STEPS) - 1), ids=STEPS[:-1])
def test_cancelled_after_the_worker_died(
    service: Running, place: str, trainer: FakeTrainer, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    around_commit(monkeypatch, at, stored=True)
    key = order(service, place)
    with pytest.raises(KilledError):
        worker_of(service).run_next()
    service.client.delete(f"/v1/jobs/{key}")
    let_leases_run_out(service)
    worker_of(service, "w2").run_next()
    assert ended(service, key)["state"] == "cancelled"
    assert list((service.container.settings.data / "jobs").glob("*")) == []
    assert len(service.client.get(f"{place}/releases").json()["items"]) == 1


@sqlite_only
def test_cancelled_after_the_worker_died_with_the_release_stored(
    service: Running, place: str, trainer: FakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    around_commit(monkeypatch, STEPS.index("register"), stored=True)
    key = order(service, place)
    with pytest.raises(KilledError):
        worker_of(service).run_next()
    service.client.delete(f"/v1/jobs/{key}")
    let_leases_run_out(service)
    worker_of(service, "w2").run_next()
    job = ended(service, key)
    assert (job["state"], job["result"]["release"], job["result"]["state"]) == ("cancelled", 2, "candidate")
    assert service.client.get(place).json()["active_release"] == 1
    assert service.client.get(f"{place}/releases/2").json()["warm"]


@sqlite_only
def test_cancelled_between_the_release_that_is_stored_and_the_job_that_is_handed_over(
    service: Running, place: str, trainer: FakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, key = JobRun.commit, order(service, place)

    def cancelled(run: JobRun, step: Callable[[Session], Step]) -> None:
        commit(run, step)
        if "register" in run.checkpoint["steps"]:
            assert service.client.delete(f"/v1/jobs/{key}").json()["state"] == "cancelling"

    monkeypatch.setattr(JobRun, "commit", cancelled)
    worker_of(service).run_next()
    job = ended(service, key)
    assert (job["state"], job["result"]["release"], job["result"]["state"]) == ("cancelled", 2, "candidate")
    assert service.client.get(place).json()["active_release"] == 1
    assert service.client.get(f"{place}/releases/2").json()["warm"]
    assert list((service.container.settings.data / "jobs").glob("*")) == []


@sqlite_only
def test_a_refused_release_whose_promotion_was_cancelled_leaves_the_memory_with_the_next_switch(
    service: Running, place: str, trainer: FakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer.reasons = ["worse."]
    refused = order(service, place)
    worker_of(service).run_next()
    assert ended(service, refused)["result"]["state"] == "refused"
    key = service.client.post(f"{place}/releases/2:promote").json()["id"]
    with monkeypatch.context() as patched, pytest.raises(KilledError):
        around_commit(patched, 1, stored=True)
        worker_of(service).run_next()
    service.client.delete(f"/v1/jobs/{key}")
    let_leases_run_out(service)
    worker_of(service, "w2").run_next()
    assert ended(service, key)["state"] == "cancelled"
    assert service.client.get(f"{place}/releases/2").json()["warm"]
    make_tiny_bundle(trainer.bundle.with_name("newer"), seed=11)
    trainer.bundle, trainer.reasons = trainer.bundle.with_name("newer"), []
    third = order(service, place)
    worker_of(service).run_next()
    assert ended(service, third)["result"]["state"] == "active"
    assert not service.client.get(f"{place}/releases/2").json()["warm"]


def test_a_server_that_restarts_before_the_release_answers_brings_the_job_to_its_end(
    registered: Settings, trainer: FakeTrainer
) -> None:
    settings = registered.model_copy(update={"workers": 0})
    with running(settings) as service:
        place = f"/v1/collections/{make_collection(service)}"
        service.client.put(f"{place}/records/a", json={"text": "one"}, params={"wait": "visible"})
        service.container.dispatcher.stop()  # nobody is there to end it
        key = order(service, place)
        worker_of(service).run_next()
        job = job_of(service, key)
        assert (job["state"], job["progress"]["stage"]) == ("running", "catching_up")
        late = service.client.delete(f"/v1/jobs/{key}")
        assert (late.status_code, "nothing left to cancel" in late.json()["detail"]) == (409, True)
    with running(settings) as service:
        assert ended(service, key)["result"]["state"] == "active"
        wait_for(lambda: service.client.post(f"{place}:search", json={"query": "x"}).json()["release"] == 2)


@sqlite_only
@pytest.mark.parametrize(("verb", "damaged"), [("promote", 2), ("rollback", 1)])
def test_a_release_that_cannot_be_loaded_is_not_chosen(
    registered: Settings, trainer: FakeTrainer, verb: str, damaged: int
) -> None:
    settings = registered.model_copy(update={"workers": 0})
    with running(settings) as service:
        place = f"/v1/collections/{make_collection(service)}"
        service.client.put(f"{place}/records/a", json={"text": "one"}, params={"wait": "visible"})
        key = order(service, place, promote="manual" if verb == "promote" else "auto")
        worker_of(service).run_next()
        ended(service, key)
        sha = service.client.get(f"{place}/releases/{damaged}").json()["encoder"]
    (settings.data / "encoders" / sha / "encoder.onnx").write_bytes(b"damaged")
    with running(settings) as service:
        before = service.client.get(place).json()["active_release"]
        wait_for(lambda: service.container.serving.failure(damaged))  # the first release has the id 1
        refused = service.client.post(f"{place}/releases/2:{verb}")
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
        assert f"release {damaged} cannot be brought into memory: " in refused.json()["detail"]
        assert service.client.get(place).json()["active_release"] == before
    with running(settings) as service:
        assert service.client.post(f"{place}:search", json={"query": "x"}).json()["release"] == before


@contextmanager
def spoiling(settings: Settings, *, keep_snapshot: bool = True) -> Iterator[dict[Path, bytes]]:
    """Every encoder that a training stores is damaged afterwards.

    Args:
        keep_snapshot: Else the release has to be encoded by the server, which it does beside all else.

    Yields:
        What the damaged files held, added as it happens.
    """
    held, move = dict[Path, bytes](), Builder.move

    def spoiled(builder: Builder, folder: Path, release: Release) -> None:
        move(builder, folder, release)
        encoder = settings.data / "encoders" / release.encoder_sha / "encoder.onnx"
        held[encoder] = encoder.read_bytes()
        encoder.write_bytes(b"damaged")
        if not keep_snapshot:
            shutil.rmtree(settings.data / f"collections/{release.collection_id}/releases/{release.id}/snapshots")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Builder, "move", spoiled)
        patched.setattr("app.encoder.store._is_whole", lambda folder, sha: True)
        patched.setattr("app.serving.follower._RETRY_S", 0.5)
        yield held


def test_a_release_that_cannot_be_loaded_at_first_answers_once_it_can(
    service: Running, place: str, trainer: FakeTrainer
) -> None:
    key = order(service, place)
    with spoiling(service.container.settings) as held:
        worker_of(service).run_next()
        wait_for(lambda: service.container.serving.failure(2))  # the first release has the id 1
        for file, content in held.items():
            file.write_bytes(content)
        job = ended(service, key)
    assert (job["state"], job["error"]) == ("succeeded", None)
    assert service.client.post(f"{place}:search", json={"query": "x"}).json()["release"] == 2


@pytest.mark.parametrize("keep_snapshot", [True, False])
def test_a_release_that_cannot_be_loaded_fails_its_job_and_the_one_before_goes_on_answering(
    service: Running, place: str, trainer: FakeTrainer, keep_snapshot: bool
) -> None:
    key = order(service, place)
    with spoiling(service.container.settings, keep_snapshot=keep_snapshot):
        worker_of(service).run_next()
        job = ended(service, key)
    assert (job["state"], job["error"]["code"]) == ("failed", "not_loaded")
    assert service.client.post(f"{place}:search", json={"query": "x"}).json()["release"] == 1
    wait_for(lambda: service.client.get("/readyz").json()["failing"] == 0)
