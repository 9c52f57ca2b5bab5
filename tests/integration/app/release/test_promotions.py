"""Promotions by a job, and what others do to a collection's releases before such a job is over."""

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.encoder.tables import Encoder
from app.release.tables import Release, ReleaseState
from tests.conftest import sqlite_only
from tests.fakes.releases import fill, releases, search, switch
from tests.fakes.running import Running, wait_for
from tests.fakes.trainer import FakeTrainer, ended, made, order, worker_of


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
