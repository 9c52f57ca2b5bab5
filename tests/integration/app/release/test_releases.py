"""Releases on both databases: made by jobs, judged, promoted and rolled back, each answer from one of them."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from app.commands.retraining import read_pairs
from app.job.run import JobRun
from app.record.tables import Record
from app.settings import Settings
from app.training import running as making
from model.config import make_config
from model.contract.bundle import load_bundle
from tests.conftest import add_encoder, make_collection, sqlite_only
from tests.fakes.releases import N, events, expected, fill, releases, search, switch
from tests.fakes.running import Running, wait_for
from tests.fakes.trainer import FakeTrainer, ended, job_of, made, order, worker_of


def test_a_training_makes_the_release_that_answers(
    service: Running, trainer: FakeTrainer, tiny_bundle: Path, bundles: list[Path]
) -> None:
    place = fill(service)
    texts = {f"r{n}": f"sentence {n} of many" for n in range(N)}
    for query in ("sentence 7", "many of 12"):
        found = search(service, place, query)
        assert (found["release"], [hit["id"] for hit in found["results"][0]]) == (
            1,
            expected(tiny_bundle, texts, query),
        )

    job = made(service, place, why="new questions")
    assert (job["state"], job["type"], job["error"]) == ("succeeded", "training", None)
    assert job["result"] | {"seconds": {}} == {
        "release": 2,
        "state": "active",
        "seq": N + 1,
        "rows": N + 1,
        "groups": 3,
        "out_of_scope": 1,
        "gate": {"passed": True, "reasons": []},
        "seconds": {},
    }
    assert trainer.commands == ["check", "train", "judge"]
    rows = {row["id"]: row for row in trainer.calls[1][1]}
    assert rows["r4"] == {"id": "r4", "text": "sentence 4 of many", "group": "g1", "labels": [], "role": "example"}
    assert rows["stranger"]["role"] == "out_of_scope"
    wait_for(lambda: search(service, place, "x")["release"] == 2)
    for query in ("sentence 7", "many of 12"):
        found = search(service, place, query)
        assert [hit["id"] for hit in found["results"][0]] == expected(bundles[0], texts, query)
    made_by_it = releases(service, place)[2]
    assert (made_by_it["state"], made_by_it["previous"], made_by_it["job"]) == ("active", 1, job["id"])
    assert made_by_it["encoder"] == load_bundle(bundles[0]).sha
    assert (releases(service, place)[1]["state"], releases(service, place)[1]["warm"]) == ("retired", True)
    assert events(service, place) == [(2, "created"), (2, "promoted")]
    report = service.client.get(f"{place}/releases/2/report").json()["report"]
    assert (report["previous"], report["data"]["rows"], report["why"]) == (1, N + 1, "new questions")
    assert "sentence" not in str(report)  # ids, never texts
    assert not (service.container.settings.jobs / job["id"]).exists()


def test_both_releases_follow_every_write_and_rolling_back_loses_none(
    service: Running, trainer: FakeTrainer, tiny_bundle: Path, bundles: list[Path]
) -> None:
    place = fill(service)
    texts = {f"r{n}": f"sentence {n} of many" for n in range(N)}
    assert made(service, place)["state"] == "succeeded"
    texts |= {"late": "sentence 99 is late", "r3": "now another text"}
    for key in ("late", "r3"):
        service.client.put(f"{place}/records/{key}", json={"text": texts[key]}, params={"wait": "visible"})
    service.client.delete(f"{place}/records/r5", params={"wait": "visible"})
    del texts["r5"]
    wait_for(lambda: search(service, place, "x")["release"] == 2)
    for number, bundle, verb in (
        (1, tiny_bundle, "rollback"),
        (2, bundles[0], "promote"),
        (1, tiny_bundle, "rollback"),
    ):
        answer = switch(service, place, 2, verb, why="to see")
        assert answer.status_code == 200, answer.text
        assert (answer.json()["release"]["number"], answer.json()["answers"]) == (number, True)
        for query in ("sentence 99", "another text", "sentence 5"):  # at once, on this very server
            found = search(service, place, query)
            assert found["release"] == number
            assert [hit["id"] for hit in found["results"][0]] == expected(bundle, texts, query)
        texts[f"after {number}"] = f"written after {number} came"
        key = f"after {number}"
        service.client.put(f"{place}/records/{key}", json={"text": texts[key]}, params={"wait": "visible"})
    assert events(service, place) == [
        (2, "created"), (2, "promoted"), (1, "rolled_back"), (2, "promoted"), (1, "rolled_back")
    ]  # fmt: skip
    again = switch(service, place, 2, "rollback")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert "not active" in again.json()["detail"]
    first = switch(service, place, 1, "rollback")
    assert (first.status_code, "took over from no other" in first.json()["detail"]) == (409, True)


def test_a_refused_candidate_changes_nothing(service: Running, trainer: FakeTrainer) -> None:
    place = fill(service)
    trainer.reasons = ["accuracy fell from 0.9 to 0.5."]
    before = search(service, place, "sentence 7")
    job = made(service, place)
    assert (job["state"], job["error"]["code"]) == ("failed", "gate_refused")
    assert "accuracy fell" in job["error"]["detail"]
    assert (job["result"]["release"], job["result"]["state"], job["result"]["gate"]["passed"]) == (2, "refused", False)
    after = search(service, place, "sentence 7")
    assert (after["release"], after["results"]) == (1, before["results"])
    found = releases(service, place)
    assert {number: release["state"] for number, release in found.items()} == {1: "active", 2: "refused"}
    assert service.client.get(f"{place}/releases/2/report").json()["report"]["verdict"]["reasons"] == trainer.reasons
    assert events(service, place) == [(2, "refused")]


def test_a_refused_release_can_be_promoted_by_hand_and_its_index_is_built_first(
    service: Running, trainer: FakeTrainer
) -> None:
    place = fill(service)
    trainer.reasons = ["worse."]
    made(service, place)
    answer = switch(service, place, 2, "promote", why="I know better")
    assert answer.status_code == 202, answer.text
    worker_of(service).run_next()
    job = ended(service, answer.json()["id"])
    assert (job["state"], job["type"], job["result"]["release"]) == ("succeeded", "promotion", 2)
    wait_for(lambda: search(service, place, "x")["release"] == 2)
    assert events(service, place)[-1] == (2, "promoted")
    assert switch(service, place, 2, "promote").status_code == 409


def test_a_release_waits_to_be_promoted_where_asked(
    service: Running, trainer: FakeTrainer, bundles: list[Path]
) -> None:
    place = fill(service)
    job = made(service, place, promote="manual")
    assert (job["state"], job["result"]["state"]) == ("succeeded", "candidate")
    wait_for(lambda: releases(service, place)[2]["behind"] == 0)
    assert search(service, place, "sentence 7")["release"] == 1
    tried = search(service, place, "sentence 7", release=2)  # it can be asked by name
    texts = {f"r{n}": f"sentence {n} of many" for n in range(N)}
    assert tried["release"] == 2
    assert [hit["id"] for hit in tried["results"][0]] == expected(bundles[0], texts, "sentence 7")
    assert switch(service, place, 2, "promote").json()["answers"]
    assert search(service, place, "sentence 7")["release"] == 2
    absent = service.client.post(f"{place}:search", json={"query": "x", "release": 3})
    assert absent.status_code == 404


def test_an_encoder_trained_elsewhere_passes_the_same_gate(
    service: Running, trainer: FakeTrainer, bundles: list[Path], registered: Settings
) -> None:
    place = fill(service)
    sha = add_encoder(registered, bundles[3], "elsewhere")
    unknown = service.client.post(f"{place}/releases", json={"encoder": "nowhere"})
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "/encoder")
    same = service.client.post(f"{place}/releases", json={"encoder": "tiny"})
    assert (same.status_code, "already" in same.json()["detail"]) == (409, True)
    job = made(service, place, encoder="elsewhere")
    assert (job["state"], job["type"]) == ("succeeded", "adoption")
    assert trainer.commands == ["check", "judge"]
    assert releases(service, place)[2]["encoder"] == sha


def test_old_releases_are_pruned_never_the_active_or_the_previous(
    service: Running, trainer: FakeTrainer, bundles: list[Path]
) -> None:
    place, data = fill(service), service.container.settings.data
    for number, bundle in enumerate(bundles[:4], start=2):
        trainer.bundle = bundle
        assert made(service, place)["result"]["release"] == number
    wait_for(lambda: search(service, place, "x")["release"] == 5)
    found = releases(service, place)
    assert {number: (release["state"], release["warm"]) for number, release in found.items()} == {
        1: ("pruned", False),
        2: ("pruned", False),
        3: ("retired", False),
        4: ("retired", True),
        5: ("active", True),
    }
    kept = {path.name for path in (data / "encoders").iterdir()}
    shas = [found[number]["encoder"] for number in range(1, 6)]
    wait_for(lambda: shas[1] not in {path.name for path in (data / "encoders").iterdir()})
    assert {shas[0], *shas[2:]} <= kept  # the first was registered by a person, and stays
    assert [encoder["name"] for encoder in service.client.get("/v1/encoders").json()["items"]] == sorted(
        ["tiny", *(f"{place.rsplit('/', 1)[1]}-r{number}" for number in (3, 4, 5))]
    )
    wait_for(lambda: len(list((data / "collections").glob("*/releases/*"))) == 2)  # indexes of what is warm
    gone = switch(service, place, 2, "promote")
    assert (gone.status_code, "its encoder removed with it" in gone.json()["detail"]) == (409, True)
    first = switch(service, place, 1, "promote")
    remedy = f"`samesay releases add {place.rsplit('/', 1)[1]} tiny` makes a new release of it"
    assert (first.status_code, remedy in first.json()["detail"]) == (409, True)
    back = switch(service, place, 3, "promote")  # not at hand, but its encoder is
    worker_of(service).run_next()
    assert ended(service, back.json()["id"])["state"] == "succeeded"
    wait_for(lambda: search(service, place, "x")["release"] == 3)


def test_one_training_a_collection_at_a_time(service: Running, trainer: FakeTrainer, bundles: list[Path]) -> None:
    place, other = fill(service), fill(service)
    first, second = order(service, place), order(service, place)
    refused = service.client.post(f"{place}/trainings", json={"when_busy": "refuse"})
    assert (refused.status_code, first in refused.json()["detail"]) == (409, True)
    third = order(service, other, when_busy="refuse")
    beside: list[bool] = []

    def try_another(run: Any, command: str) -> None:
        if run.key == first and command == "train":
            beside.extend(worker_of(service, f"w{n}").run_next() for n in (2, 3))  # the other collection's, then none

    trainer.before = try_another
    worker_of(service).run_next()
    assert beside == [True, False]
    assert [ended(service, key)["state"] for key in (first, third)] == ["succeeded", "succeeded"]
    assert job_of(service, second)["state"] == "queued"
    trainer.bundle = bundles[1]
    worker_of(service).run_next()
    assert ended(service, second)["result"]["release"] == 3


@sqlite_only
def test_a_record_out_of_scope_makes_no_group_of_the_training(service: Running, trainer: FakeTrainer) -> None:
    place = fill(service)
    service.client.put(f"{place}/records/older", json={"text": "what time is it", "group": "alone"})
    older = update(Record).where(Record.id == "older").values(role="out_of_scope")  # was allowed once
    service.container.database.write(lambda session: session.execute(older)).result()
    result = made(service, place)["result"]
    assert (result["rows"], result["groups"], result["out_of_scope"]) == (N + 2, 3, 2)


@sqlite_only
def test_the_same_encoder_again_says_that_nothing_changed(service: Running, trainer: FakeTrainer) -> None:
    place = fill(service)
    made(service, place)
    job = made(service, place)
    assert (job["state"], job["error"]["code"]) == ("failed", "unchanged")
    assert sorted(releases(service, place)) == [1, 2]


@sqlite_only
def test_data_that_cannot_be_trained_on_is_refused_before_it_costs_anything(
    service: Running, trainer: FakeTrainer
) -> None:
    place = fill(service)
    trainer.fatal = {"code": "too_few_groups", "detail": "there is one group: training needs two"}
    job = made(service, place)
    assert (job["state"], job["error"]) == ("failed", trainer.fatal)
    assert trainer.commands == ["check"]
    assert not (service.container.settings.jobs / job["id"]).exists()


def test_deleting_the_collection_meanwhile_ends_the_job(service: Running, trainer: FakeTrainer) -> None:
    place = fill(service)

    def delete(run: Any, command: str) -> None:
        if command == "train":
            assert service.client.delete(place).status_code == 204

    trainer.before = delete
    job = made(service, place)
    assert (job["state"], job["error"]["code"]) == ("failed", "collection_gone")


@sqlite_only
@pytest.mark.parametrize("more", [{}, {"encoder": "other"}])
def test_no_release_is_made_of_no_records(
    service: Running, trainer: FakeTrainer, bundles: list[Path], more: dict[str, str]
) -> None:
    add_encoder(service.container.settings, bundles[1], "other")
    job = made(service, f"/v1/collections/{make_collection(service)}", **more)
    assert (job["state"], job["error"]["code"], trainer.commands) == ("failed", "no_records", [])
    assert "import some" in job["error"]["detail"]


@sqlite_only
def test_a_job_that_a_backup_brought_back_without_its_files_says_so(service: Running, trainer: FakeTrainer) -> None:
    def lose(run: JobRun, command: str) -> None:
        (run.folder / "rows.ndjson").unlink()

    trainer.before = lose
    job = made(service, fill(service))
    assert (job["state"], job["error"]["code"], trainer.commands) == ("failed", "rows_missing", ["check"])
    assert "order it again" in job["error"]["detail"] and "/" not in job["error"]["detail"]


@sqlite_only
def test_a_collection_without_records_in_the_index(service: Running, trainer: FakeTrainer) -> None:
    place = f"/v1/collections/{make_collection(service)}"
    service.client.put(f"{place}/records/stranger", json={"text": "what time is it", "role": "out_of_scope"})
    assert made(service, place)["state"] == "succeeded"  # what the fake data check lets pass
    wait_for(lambda: service.client.get(place).json()["active_release"] == 2)
    service.client.put(f"{place}/records/a", json={"text": "one"}, params={"wait": "visible"})
    assert search(service, place, "one")["results"][0][0]["id"] == "a"


@sqlite_only
def test_bodies_are_checked_and_no_body_means_the_defaults(service: Running, trainer: FakeTrainer) -> None:
    place = fill(service)
    assert service.client.post(f"{place}/trainings").status_code == 202
    for body, pointer in (
        ({"recipe": "../x"}, "/recipe"),
        ({"promote": "perhaps"}, "/promote"),
        ({"settings": {"a=b": 1}}, "/settings/a=b"),
        ({"seed": -1}, "/seed"),
        ({"unknown": 1}, "/unknown"),
    ):
        answer = service.client.post(f"{place}/trainings", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"][: len(pointer)]) == (422, pointer), body
    assert service.client.post("/v1/collections/nope/trainings").status_code == 404


@sqlite_only
@pytest.mark.parametrize(
    ("body", "pointer", "said"),
    [
        ({"recipe": "clasic"}, "/recipe", "no recipe 'clasic' (did you mean 'classic'?)"),
        ({"recipe": "clasic", "settings": {"epochs": 1}}, "/recipe", "no recipe 'clasic'"),
        ({"settings": {"epoch": 3}}, "/settings", "no setting 'epoch' (did you mean 'epochs'?); samesay settings"),
        ({"settings": {"epochs": "many"}}, "/settings", "epochs=many: "),
        ({"settings": {"dropout": None}}, "/settings", "no setting 'dropout'"),
        ({"recipe": "smoke", "settings": {"learning_rate": -1}}, "/settings", "learning_rate=-1: "),
        ({"settings": {"monitor": "bogus"}}, "/settings", "monitor=bogus: "),
        ({"settings": {"objective": "multi_label", "monitor": "knn1"}}, "/settings", "monitor: micro_f1, "),
        ({"settings": {"epochs": 2**64}}, "/settings", "beyond 64 bits"),
        ({"settings": {"epochs": {"a": {}}}}, "/settings/epochs", "give a text"),
        ({"settings": {"schedule_steps": [[0.9, 1], [0.1, 0.1]]}}, "/settings", "schedule_steps: the shares are"),
        ({"settings": {"epochs": None}}, "/settings", "epochs=none: "),
        ({"gate": {"alpa": 0.1}}, "/gate", "gate alpa: "),
        ({"gate": {"least": {"accuracy": 2}}}, "/gate", "gate least.accuracy: "),
    ],
)
def test_what_no_training_could_use_is_refused_before_there_is_a_job(
    service: Running, trainer: FakeTrainer, body: dict[str, Any], pointer: str, said: str
) -> None:
    place = fill(service)
    answer = service.client.post(f"{place}/trainings", json=body)
    assert answer.status_code == 422
    (problem,) = answer.json()["errors"]
    assert problem["pointer"] == pointer
    assert said in problem["detail"]
    assert service.client.get("/v1/jobs").json()["items"] == []


@sqlite_only
def test_settings_of_every_kind_reach_the_trainer(
    service: Running, trainer: FakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = fill(service)
    points = {"margin": [[0, 0], [0.2, 0.35]]}
    said = [f"hyperparameter_schedules={json.dumps(points)}", "precision_target=null", "monitor=knn1", "epochs=3"]
    own = {"bidirectional": False, "out_of_scope_score": None, "schedule_steps": "[[0.5, 0.1]]"}
    wanted = {**read_pairs(said, "--set"), **own}
    answer = service.client.post(f"{place}/trainings", json={"settings": wanted})
    assert answer.status_code == 202, answer.text
    arguments: list[str] = []

    def see(run: JobRun, stage: str, given: list[str]) -> None:
        arguments.extend(given)
        trainer(run, stage, given)

    monkeypatch.setattr(making, "run_trainer", see)
    worker_of(service).run_next()
    given = [value for option, value in pairwise(arguments) if option == "--set"]
    assert given.pop().startswith("keep_out=")
    config = make_config("default", given)
    assert config.hyperparameter_schedules == {"margin": [(0, 0), (0.2, 0.35)]}
    assert (config.schedule_steps, config.precision_target, config.monitor) == ([(0.5, 0.1)], None, "knn1")
    assert (config.epochs, config.bidirectional) == (3, False)


@sqlite_only
def test_an_order_is_taken_once(service: Running, trainer: FakeTrainer) -> None:
    place = fill(service)
    headers = {"Idempotency-Key": "k1"}
    first, again = (service.client.post(f"{place}/trainings", json={}, headers=headers) for _ in range(2))
    assert (first.json(), first.status_code) == (again.json(), again.status_code)
    assert len(service.client.get("/v1/jobs").json()["items"]) == 1
