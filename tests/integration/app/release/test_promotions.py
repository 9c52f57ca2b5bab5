"""Promotions by a job, and what others do to a collection's releases before such a job is over."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.encoder.tables import Encoder
from app.job.repository import JobRepository
from app.job.tables import Job
from app.release.activating import Activator
from app.release.tables import Release, ReleaseState
from app.release.transitions import Releases
from tests.conftest import sqlite_only
from tests.fakes.releases import events, fill, releases, search, switch
from tests.fakes.running import Running, wait_for
from tests.fakes.trainer import FakeTrainer, ended, job_of, made, order, worker_of


def loading(service: Running, key: str) -> None:
    """Have a worker do a job, and no server end it."""
    service.container.dispatcher.stop()
    worker_of(service).run_next()
    assert job_of(service, key)["progress"]["stage"] == "catching_up"


def activated(service: Running, key: str) -> dict[str, Any]:
    """End a job as servers do, once its release is in memory or cannot be."""
    activator = Activator(service.container.database, service.container.serving, lambda: None, keep=1)

    def unfinished(session: Session) -> Job:
        (job,) = JobRepository(session).list_unfinished()
        session.expunge(job)
        return job

    def is_over() -> bool:
        activator.advance(service.container.database.read(unfinished))
        return job_of(service, key)["state"] != "running"

    wait_for(is_over, 5.0)
    return job_of(service, key)


def test_a_release_that_is_to_be_promoted_is_not_pruned(
    service: Running, trainer: FakeTrainer, bundles: list[Path]
) -> None:
    place, encoders = fill(service), service.container.settings.data / "encoders"
    trainer.reasons = ["worse."]
    made(service, place)
    training = order(service, place)  # with the release it makes there is one more than are kept
    promotion = switch(service, place, 2, "promote").json()["id"]
    trainer.bundle = bundles[1]
    worker_of(service).run_next()
    assert ended(service, training)["result"]["release"] == 3
    assert {number: found["state"] for number, found in releases(service, place).items()} == {
        1: "active",
        2: "refused",
        3: "refused",
    }
    worker_of(service).run_next()
    assert ended(service, promotion)["result"]["state"] == "active"
    wait_for(lambda: search(service, place, "x")["release"] == 2)
    assert (encoders / releases(service, place)[2]["encoder"]).exists()
    assert service.client.get(place).json()["active_release"] == 2


@sqlite_only
def test_a_release_that_was_pruned_all_the_same_is_not_promoted(service: Running, trainer: FakeTrainer) -> None:
    place = fill(service)
    trainer.reasons = ["worse."]
    made(service, place)
    promotion = switch(service, place, 2, "promote").json()["id"]
    pruned = update(Release).where(Release.number == 2).values(state=ReleaseState.PRUNED)
    service.container.database.write(lambda session: session.execute(pruned)).result()
    worker_of(service).run_next()
    job = ended(service, promotion)
    assert (job["state"], job["error"]["code"]) == ("failed", "conflict")
    assert "release 2 was pruned" in job["error"]["detail"]
    assert (releases(service, place)[2]["state"], releases(service, place)[2]["warm"]) == ("pruned", False)
    assert search(service, place, "x")["release"] == 1


@sqlite_only
def test_what_rolling_back_to_a_pruned_release_needs_is_said(
    service: Running, trainer: FakeTrainer, bundles: list[Path]
) -> None:
    place = fill(service)
    for trainer.bundle in bundles[:2]:
        made(service, place)
    assert switch(service, place, 3, "rollback").json()["release"]["number"] == 2
    cold = switch(service, place, 2, "rollback")
    assert (cold.status_code, "promote release 1" in cold.json()["detail"]) == (409, True)
    trainer.reasons = ["worse."]
    for trainer.bundle in bundles[2:4]:
        made(service, place)
    assert releases(service, place)[1]["state"] == "pruned"
    gone = switch(service, place, 2, "rollback")
    assert (gone.status_code, "promote release 1" in gone.json()["detail"]) == (409, False)
    assert "`samesay releases add" in gone.json()["detail"]


def test_the_encoder_of_a_release_that_answers_is_never_removed(service: Running, tiny_bundle: Path) -> None:
    place = fill(service)
    sha = service.client.get(place).json()["encoder"]

    def part(session: Session) -> None:
        session.get_one(Encoder, sha).removed_at = datetime.now(UTC)

    service.container.database.write(part).result()
    service.container.services.encoders.remove_unneeded()
    assert {path.name for path in (service.container.settings.data / "encoders" / sha).iterdir()} == {
        path.name for path in tiny_bundle.iterdir()
    }
    assert service.client.get(place).status_code == 200
    assert service.container.database.read(lambda session: session.scalars(select(Encoder.removed_at)).all()) == [None]


def test_a_promotion_that_another_choice_overtakes_fails_and_blocks_nothing(
    service: Running, trainer: FakeTrainer, bundles: list[Path]
) -> None:
    place = fill(service)
    for trainer.bundle in bundles[:2]:
        made(service, place)
    wait_for(lambda: search(service, place, "x")["release"] == 3)
    promotion = switch(service, place, 1, "promote").json()["id"]
    loading(service, promotion)

    def choose(session: Session) -> None:  # as the job of another release does, while this one is loaded
        chosen = Releases(session, place.rpartition("/")[2], keep=5)
        chosen.promote(chosen.get(2), "a job", "")

    service.container.database.write(choose).result()
    job = activated(service, promotion)
    assert (job["state"], job["error"]["code"]) == ("failed", "overtaken")
    assert "before release 2 was chosen to answer meanwhile" in job["error"]["detail"]
    assert {number: found["state"] for number, found in releases(service, place).items()} == {
        1: "retired",
        2: "active",
        3: "retired",
    }
    again = switch(service, place, 1, "promote").json()["id"]
    assert worker_of(service).run_next()
    assert activated(service, again)["result"]["state"] == "active"
    wait_for(lambda: search(service, place, "x")["release"] == 1)


@pytest.mark.parametrize("stage", ["queued", "catching_up"])
def test_a_promotion_that_waits_does_not_undo_what_a_person_chooses_later(
    service: Running, trainer: FakeTrainer, bundles: list[Path], stage: str
) -> None:
    """Release 4 was refused and is not at hand; after it is ordered, the active one is rolled back."""
    place = fill(service)
    for trainer.bundle in bundles[:2]:
        made(service, place)
    wait_for(lambda: search(service, place, "x")["release"] == 3)
    trainer.bundle, trainer.reasons = bundles[2], ["worse."]
    made(service, place)
    promotion = switch(service, place, 4, "promote").json()["id"]
    if stage == "catching_up":
        loading(service, promotion)
        assert releases(service, place)[4]["warm"]
    assert switch(service, place, 3, "rollback").status_code == 200
    job = job_of(service, promotion)
    assert (job["state"], job["error"]["code"]) == ("failed", "overtaken")
    assert "release 4 could not answer before release 2 was chosen" in job["error"]["detail"]
    assert not worker_of(service).run_next()
    assert search(service, place, "x")["release"] == 2
    assert [number for number, found in releases(service, place).items() if found["warm"]] == [2, 3]
    again = switch(service, place, 4, "promote").json()["id"]
    assert worker_of(service).run_next()
    assert activated(service, again)["result"]["state"] == "active"


def test_what_was_judged_against_another_release_than_the_active_one_is_left_to_a_person(
    service: Running, trainer: FakeTrainer, bundles: list[Path]
) -> None:
    place = fill(service)
    made(service, place)
    wait_for(lambda: search(service, place, "x")["release"] == 2)
    trainer.bundle = bundles[1]
    training = order(service, place)
    loading(service, training)
    assert switch(service, place, 2, "rollback").status_code == 200
    job = activated(service, training)
    assert (job["state"], job["result"]["state"]) == ("succeeded", "candidate")
    said = "release 1 was chosen to answer after release 3 was judged against release 2"
    assert said in job["result"]["not_promoted"]
    assert search(service, place, "x")["release"] == 1
    assert switch(service, place, 3, "promote").json()["answers"]


@sqlite_only
@pytest.mark.parametrize("is_taken_back", [False, True])
def test_what_a_person_promotes_before_its_job_does_is_not_promoted_twice(
    service: Running, trainer: FakeTrainer, is_taken_back: bool
) -> None:
    place = fill(service)
    training = order(service, place)
    loading(service, training)
    assert switch(service, place, 2, "promote", why="now").status_code == 200
    if is_taken_back:
        assert switch(service, place, 2, "rollback").status_code == 200
    job = activated(service, training)
    assert (job["state"], job["result"]["state"]) == ("succeeded", "retired" if is_taken_back else "active")
    assert ("not_promoted" in job["result"]) == is_taken_back
    assert search(service, place, "x")["release"] == (1 if is_taken_back else 2)
    assert events(service, place).count((2, "promoted")) == 1


def test_an_order_that_is_repeated_while_it_waits_undoes_no_later_choice(
    service: Running, trainer: FakeTrainer, bundles: list[Path]
) -> None:
    place = fill(service)
    for trainer.bundle in bundles[:2]:
        made(service, place)
    promotion, again = (switch(service, place, 1, "promote").json()["id"] for _ in range(2))
    assert again == promotion
    worker_of(service).run_next()
    assert ended(service, promotion)["state"] == "succeeded"
    assert switch(service, place, 1, "rollback").json()["release"]["number"] == 3
    assert not worker_of(service).run_next()
    assert service.client.get(place).json()["active_release"] == 3


@sqlite_only
def test_an_order_is_one_of_its_own_after_another_or_a_cancelled_one(service: Running, trainer: FakeTrainer) -> None:
    place = fill(service)
    trainer.reasons = ["worse."]
    made(service, place)
    first = switch(service, place, 2, "promote").json()["id"]
    order(service, place)
    second, again = (switch(service, place, 2, "promote").json()["id"] for _ in range(2))
    assert first != second == again
    assert service.client.delete(f"/v1/jobs/{second}").is_success
    assert switch(service, place, 2, "promote").json()["id"] not in (first, second)
