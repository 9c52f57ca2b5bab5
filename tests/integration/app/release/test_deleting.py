"""What goes with a collection: the jobs that make its releases, and the encoders that were trained for it."""

import os
from pathlib import Path

import pytest

from app.encoder.store import EncoderStore
from model.contract.bundle import load_bundle
from tests.conftest import make_collection, sqlite_only
from tests.fakes.releases import fill, releases
from tests.fakes.running import Running
from tests.fakes.trainer import FakeTrainer, ended, job_of, made, order, worker_of


def encoders(service: Running) -> list[str]:
    return [encoder["name"] for encoder in service.client.get("/v1/encoders").json()["items"]]


def bundles_of(service: Running) -> set[str]:
    service.container.services.encoders.remove_unneeded()
    return {path.name for path in (service.container.settings.data / "encoders").iterdir()}


def adopted_from_a_deleted_one(service: Running) -> tuple[str, str, str]:
    """A collection, the encoder of a deleted one, and the job that is to make a release of the two."""
    place, other = fill(service), fill(service)
    made(service, place)
    trained = releases(service, place)[2]["encoder"]
    adoption = order(service, other, encoder=trained)
    assert service.client.delete(place).status_code == 204
    return other, trained, adoption


def test_the_jobs_of_a_deleted_collection_end_and_leave_no_sentence(service: Running, trainer: FakeTrainer) -> None:
    place = fill(service)
    runs, waits = order(service, place), order(service, place)
    folder = service.container.settings.jobs / runs

    def delete(run: object, command: str) -> None:
        if command == "train":
            assert (folder / "rows.ndjson").exists()
            assert service.client.delete(place).status_code == 204

    trainer.before = delete
    worker = worker_of(service)
    worker.run_next()
    assert not worker.run_next()
    assert trainer.commands == ["check", "train"]
    for key in (runs, waits):
        job = job_of(service, key)
        assert (job["state"], job["error"]["code"]) == ("failed", "collection_gone")
    assert not folder.exists()


def test_encoders_go_with_the_last_collection_that_uses_them_unless_a_person_added_them(
    service: Running, trainer: FakeTrainer, bundles: list[Path]
) -> None:
    place = fill(service)
    made(service, place, promote="manual")
    trainer.bundle, trainer.reasons = bundles[1], ["worse"]
    made(service, place)
    trained = {number: release["encoder"] for number, release in releases(service, place).items()}
    name = place.rsplit("/", 1)[1]
    other = f"/v1/collections/{make_collection(service, encoder=f'{name}-r2')}"
    assert service.client.delete(place).status_code == 204
    assert encoders(service) == [f"{name}-r2", "tiny"]
    assert bundles_of(service) == {trained[1], trained[2]}
    assert service.client.get("/v1/info").json()["encoders"] == 2
    assert service.client.delete(other).status_code == 204
    assert encoders(service) == ["tiny"]
    assert bundles_of(service) == {trained[1]}


@pytest.mark.parametrize("is_refused", [False, True])
def test_an_encoder_stays_for_a_job_of_another_collection_that_is_to_make_a_release_of_it(
    service: Running, trainer: FakeTrainer, is_refused: bool
) -> None:
    other, trained, adoption = adopted_from_a_deleted_one(service)
    assert bundles_of(service) == {trained, releases(service, other)[1]["encoder"]}
    trainer.reasons = ["worse"] if is_refused else []
    worker_of(service).run_next()
    job = ended(service, adoption)
    assert (job["state"], job["result"]["release"]) == ("failed" if is_refused else "succeeded", 2)
    assert trained in bundles_of(service)
    assert service.client.delete(other).status_code == 204
    assert trained not in bundles_of(service)


def test_an_encoder_whose_job_was_cancelled_goes_with_the_collection_it_was_trained_for(
    service: Running, trainer: FakeTrainer
) -> None:
    _, trained, adoption = adopted_from_a_deleted_one(service)
    assert service.client.delete(f"/v1/jobs/{adoption}").json()["state"] == "cancelled"
    assert trained not in bundles_of(service)


@sqlite_only
def test_an_encoder_that_was_trained_here_stays_once_a_person_has_added_it(
    service: Running, trainer: FakeTrainer, bundles: list[Path]
) -> None:
    place = fill(service)
    made(service, place)
    name = f"{place.rsplit('/', 1)[1]}-r2"
    service.container.services.encoders.add(bundles[0], name)
    assert service.client.delete(place).status_code == 204
    assert encoders(service) == [name, "tiny"]
    assert load_bundle(bundles[0]).sha in bundles_of(service)


@sqlite_only
def test_bundles_of_no_encoder_are_swept_unless_one_may_be_about_to_be_registered(service: Running) -> None:
    folder = service.container.settings.data / "encoders"
    (known,) = folder.iterdir()
    orphan, cut_off, young = folder / ("0" * 64), folder / f".tmp-{known.name}-0123", folder / ("1" * 64)
    for path in (orphan, cut_off, young):
        path.mkdir()
        (path / "manifest.json").write_text("{}")
    for path in (orphan, cut_off, known):
        os.utime(path, (0, 0))
    assert bundles_of(service) == {known.name, young.name}
    store = EncoderStore(folder)
    os.utime(known, (0, 0))
    store.copy(load_bundle(known))  # as who registers it again does first
    store.sweep(set())
    assert known.exists()
