"""Releases beside one another: a shadow that is asked live queries, one that feedback orders, many in turn."""

import gc
import shutil
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy.orm import Session

from app.db.database import Database
from app.errors import StorageError
from app.search import shadowing
from app.serving import holding
from app.serving.applying import apply_changes
from app.serving.loading import Loader
from app.serving.release import ServingRelease
from app.serving.repository import WantedRelease
from app.settings import Settings
from model.contract.bundle import load_bundle
from tests.conftest import sqlite_only
from tests.fakes.releases import N, events, expected, fill, releases, search, switch
from tests.fakes.running import Running, running, wait_for
from tests.fakes.trainer import FakeTrainer, ended, made, worker_of


def shadowed(service: Running) -> tuple[str, ServingRelease]:
    """A collection whose second release is asked all live queries too: its path, and the release that answers."""
    place = fill(service)
    made(service, place, promote="manual")
    wait_for(lambda: releases(service, place)[2]["behind"] == 0)
    switch(service, place, 2, "shadow", share=1.0).raise_for_status()
    (serving,) = (release for release in service.container.serving.releases if release.key.collection in place)
    wait_for(lambda: service.container.serving.find_shadow(serving.key.collection_id))
    return place, serving


def test_a_shadow_is_asked_live_queries_and_answers_none(
    service: Running, trainer: FakeTrainer, bundles: list[Path], tiny_bundle: Path
) -> None:
    place = fill(service)
    made(service, place, promote="manual")
    wait_for(lambda: releases(service, place)[2]["behind"] == 0)
    assert service.client.get(f"{place}/releases/2/shadow").status_code == 404
    begun = switch(service, place, 2, "shadow", share=1.0, examples=3)
    assert (begun.status_code, begun.json()["queries"]) == (200, 0)
    collection_id = next(r.key.collection_id for r in service.container.serving.releases if r.key.collection in place)
    wait_for(lambda: service.container.serving.find_shadow(collection_id))
    queries = [f"sentence {n} again" for n in range(20)] + ["quite another thing", "many"]
    for query in queries:
        assert search(service, place, query)["release"] == 1
    classified = service.client.post(f"{place}:classify", json={"texts": queries}).json()
    assert classified["release"] == 1
    shadow = f"{place}/releases/2/shadow"
    wait_for(lambda: service.client.get(shadow).json()["queries"] == 2 * len(queries))
    found = service.client.get(shadow).json()
    texts = {f"r{n}": f"sentence {n} of many" for n in range(N)}
    agree = sum(expected(tiny_bundle, texts, query)[0] == expected(bundles[0], texts, query)[0] for query in queries)
    assert found["agreement_at_1"] == pytest.approx(agree / len(queries))
    assert found["dropped"] == 0
    there = service.client.post(f"{place}:classify", json={"texts": queries, "release": 2}).json()["results"]
    flips = [
        query
        for query, before, after in zip(queries, classified["results"], there, strict=True)
        if outcome(before) != outcome(after)
    ]
    assert flips
    assert found["flips"] == 2 * len(flips)
    assert {example["text"] for example in found["examples"]} <= set(flips)
    assert len(found["examples"]) == 3
    example = found["examples"][0]
    at = queries.index(example["text"])
    assert (example["active"]["decision"], example["active"]["group"]) == outcome(classified["results"][at])
    assert (example["shadow"]["decision"], example["shadow"]["group"]) == outcome(there[at])
    assert found["active_ms"] > 0 < found["shadow_ms"]
    ended_ = switch(service, place, 2, "shadow", share=0).json()
    assert (ended_["share"], ended_["examples"], ended_["flips"]) == (None, [], found["flips"])
    wait_for(lambda: service.container.serving.find_shadow(collection_id) is None)
    assert (2, "shadowed") in events(service, place)
    active = switch(service, place, 1, "shadow")
    assert (active.status_code, "active" in active.json()["detail"]) == (409, True)


@sqlite_only
def test_a_shadow_is_asked_only_what_the_active_release_was_asked(
    service: Running, trainer: FakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadowing, "_STORE_S", 0.2)
    place, _ = shadowed(service)

    def n_asked() -> int:
        n: int = service.client.get(f"{place}/releases/2/shadow").json()["queries"]
        return n

    texts = [f"sentence {n} again" for n in range(4)]
    service.client.post(f"{place}:classify", json={"texts": texts, "release": 2}).raise_for_status()
    assert search(service, place, "by name", release=2)["release"] == 2
    service.client.post(f"{place}:classify", json={"texts": texts[1:]}).raise_for_status()
    wait_for(lambda: n_asked() == 3, 5.0)
    assert search(service, place, "the active one by name", release=1)["release"] == 1
    wait_for(lambda: n_asked() == 4, 5.0)


@sqlite_only
def test_a_shadow_is_counted_anew_beside_another_active_release(
    service: Running, trainer: FakeTrainer, bundles: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadowing, "_STORE_S", 0.2)
    place = fill(service)
    made(service, place)
    wait_for(lambda: search(service, place, "x")["release"] == 2)
    trainer.bundle = bundles[1]
    made(service, place, promote="manual")
    wait_for(lambda: releases(service, place)[3]["behind"] == 0)
    switch(service, place, 3, "shadow", share=1.0, examples=7).raise_for_status()
    (serving,) = (release for release in service.container.serving.releases if release.key.collection in place)
    wait_for(lambda: service.container.serving.find_shadow(serving.key.collection_id))

    def counted() -> tuple[int, int]:
        found = service.client.get(f"{place}/releases/3/shadow").json()
        return found["queries"], len(found["examples"])

    queries = [f"sentence {n} again" for n in range(9)]
    service.client.post(f"{place}:classify", json={"texts": queries}).raise_for_status()
    wait_for(lambda: counted()[0] == len(queries), 5.0)
    assert counted()[1] > 0
    monkeypatch.setattr(shadowing, "_STORE_S", 3600.0)
    service.client.post(f"{place}:classify", json={"texts": queries}).raise_for_status()
    assert switch(service, place, 2, "rollback").json()["answers"]
    assert counted() == (0, 0)
    service.client.post(f"{place}:classify", json={"texts": queries[:4]}).raise_for_status()
    monkeypatch.setattr(shadowing, "_STORE_S", 0.2)
    wait_for(lambda: counted()[0] > 0, 5.0)
    assert counted()[0] == 4, "what was asked of the one before counts no more"


@sqlite_only
def test_one_release_of_a_collection_is_a_shadow_at_a_time(
    service: Running, trainer: FakeTrainer, bundles: list[Path]
) -> None:
    place = fill(service)
    made(service, place)
    trainer.bundle = bundles[1]
    made(service, place, promote="manual")  # now 1 is warm, and so is 3
    assert switch(service, place, 1, "shadow", share=0.1).status_code == 200
    assert switch(service, place, 1, "shadow", share=0.2).status_code == 200
    second = switch(service, place, 3, "shadow", share=0.5)
    assert (second.status_code, second.json()["code"]) == (409, "conflict")
    assert 'POST .../releases/1:shadow {"share": 0}' in second.json()["detail"]
    assert service.client.get(f"{place}/releases/3/shadow").status_code == 404
    assert switch(service, place, 3, "shadow", share=0).status_code == 404
    assert switch(service, place, 1, "shadow", share=0).status_code == 200
    assert switch(service, place, 3, "shadow", share=0.5).status_code == 200


@pytest.mark.parametrize(
    ("route", "body"), [("records:erase", {"ids": ["r1"]}), ("feedback:erase", {"texts": ["sentence 1 again"]})]
)
def test_what_a_shadow_was_asked_before_is_not_stored_after_erasing(
    service: Running, trainer: FakeTrainer, monkeypatch: pytest.MonkeyPatch, route: str, body: dict[str, Any]
) -> None:
    monkeypatch.setattr(shadowing, "_STORE_S", 3600.0)
    place, serving = shadowed(service)
    before, after = ([f"sentence {n} {word}" for n in range(20)] for word in ("again", "anew"))
    shadow = f"{place}/releases/2/shadow"

    def stored() -> tuple[int, set[str]]:
        found = service.client.get(shadow).json()
        return found["queries"], {example["text"] for example in found["examples"]}

    service.client.post(f"{place}:classify", json={"texts": before}).raise_for_status()
    service.client.post(f"{place}/{route}", json=body).raise_for_status()
    wait_for(lambda: serving.erasures == 1)
    service.client.post(f"{place}:classify", json={"texts": after}).raise_for_status()
    assert stored() == (0, set()), "else all was stored at once"
    monkeypatch.setattr(shadowing, "_STORE_S", 0.0)
    wait_for(lambda: stored()[0] == len(before + after))
    assert stored()[1], "else no example would have been kept of the others either"
    assert stored()[1] <= set(after)
    service.client.post(f"{place}/{route}", json=body).raise_for_status()
    assert stored() == (len(before + after), set())


@sqlite_only
def test_what_a_shadow_was_asked_while_nothing_could_be_stored_counts(
    service: Running, trainer: FakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadowing, "_STORE_S", 0.0)
    place, _ = shadowed(service)
    add, refused = shadowing._add, list[int]()

    def refuse(session: Session, tallies: Mapping[Any, Any]) -> None:
        if len(refused) < 3:
            refused.append(sum(tally.counts["queries"] for tally in tallies.values()))
            raise StorageError("the database is away")
        add(session, tallies)

    monkeypatch.setattr(shadowing, "_add", refuse)
    service.client.post(f"{place}:classify", json={"texts": [f"sentence {n} again" for n in range(7)]})
    shadow = f"{place}/releases/2/shadow"
    wait_for(lambda: len(refused) == 3 and service.client.get(shadow).json()["queries"] == 7, 5.0)


@sqlite_only
def test_a_release_that_is_encoded_beside_the_one_that_answers_holds_no_write_up(
    registered: Settings, trainer: FakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a restore, which brings no snapshots: nothing written was found until all of them were encoded."""
    settings = registered.model_copy(update={"workers": 0, "keep_releases": 1, "wait_visible_s": 5.0})
    with running(settings) as service:
        place = fill(service)
        made(service, place, promote="manual")
        wait_for(lambda: releases(service, place)[2]["behind"] == 0)
    shutil.rmtree(settings.data / "collections")
    entered, may_end = threading.Event(), threading.Event()
    sha = load_bundle(trainer.bundle).sha

    def load(self: Loader, wanted: WantedRelease, **options: Any) -> ServingRelease:
        if wanted.key.encoder_sha == sha:
            entered.set()
            assert may_end.wait(20)
        return read(self, wanted, **options)

    read = Loader.load
    monkeypatch.setattr(Loader, "load", load)
    with running(settings) as service:
        assert entered.wait(10)
        put = service.client.put(f"{place}/records/new?wait=visible", json={"text": "quite another thing"})
        assert put.json()["visible"]
        assert releases(service, place)[2].get("behind") is None
        assert service.client.post(f"{place}:search", json={"query": "many", "release": 2}).status_code == 404
        may_end.set()
        wait_for(lambda: releases(service, place)[2]["behind"] == 0)
        found = search(service, place, "quite another thing", release=2)["results"][0]
        assert found[0]["id"] == "new"


@sqlite_only
@pytest.mark.parametrize("ends_as", ["promoted", "deleted"])
def test_what_becomes_of_a_release_while_it_is_loaded(
    registered: Settings, trainer: FakeTrainer, monkeypatch: pytest.MonkeyPatch, ends_as: str
) -> None:
    settings = registered.model_copy(update={"workers": 0, "keep_releases": 1})
    with running(settings) as service:
        place = fill(service)
        made(service, place, promote="manual")
        wait_for(lambda: releases(service, place)[2]["behind"] == 0)
    shutil.rmtree(settings.data / "collections")
    entered, may_end, loaded = threading.Event(), threading.Event(), list[int]()
    sha = load_bundle(trainer.bundle).sha

    def load(self: Loader, wanted: WantedRelease, **options: Any) -> ServingRelease:
        if wanted.key.encoder_sha == sha:
            entered.set()
            assert may_end.wait(20)
        loaded.append(wanted.key.number)
        return read(self, wanted, **options)

    read = Loader.load
    monkeypatch.setattr(Loader, "load", load)
    with running(settings) as service:
        assert entered.wait(10)
        if ends_as == "promoted":
            switch(service, place, 2, "promote", why="now").raise_for_status()
            may_end.set()
            wait_for(lambda: search(service, place, "many")["release"] == 2)
        else:
            service.client.delete(place).raise_for_status()
            may_end.set()
            wait_for(lambda: loaded == [1, 2] and not list((settings.data / "collections").glob("*")))
    assert loaded == [1, 2], "once each"


def test_erasing_waits_for_the_release_beside_the_one_that_answers(
    service: Running, trainer: FakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside many writes it lacks some for a while: what it had then was saved anew."""
    place = fill(service)
    made(service, place, promote="manual")
    wait_for(lambda: releases(service, place)[2]["behind"] == 0)
    may_follow = threading.Event()

    def follow(database: Database, release: ServingRelease, limit: int = 1) -> int:
        is_held = release.key.number == 2 and not may_follow.is_set()
        return 0 if is_held else apply_changes(database, release, limit)

    monkeypatch.setattr(holding, "apply_changes", follow)
    with ThreadPoolExecutor(1) as threads:
        erasing = threads.submit(service.client.post, f"{place}/records:erase", json={"ids": ["r1"]})
        wait_for(lambda: "r1" not in {hit["id"] for hit in search(service, place, "sentence 1 of many")["results"][0]})
        time.sleep(0.3)
        may_follow.set()
    assert erasing.result().json()["erased"] == ["r1"]
    entries = list(service.container.settings.data.glob("collections/*/releases/*/snapshots/*/entries.bin"))
    assert [path.read_bytes().count(b"sentence 1 of many") for path in entries] == [0, 0]
    assert [path.read_bytes().count(b"sentence 2 of many") for path in entries] == [1, 1], "else this proves nothing"


def outcome(result: dict[str, Any]) -> tuple[str, str | None]:
    group = result["groups"][0]["group"] if result["decision"] != "no_match" and result["groups"] else None
    return result["decision"], group


@sqlite_only
def test_enough_accepted_feedback_orders_a_training(service: Running, trainer: FakeTrainer) -> None:
    place = fill(service)
    service.client.patch(place, json={"auto_retrain_after": 2}).raise_for_status()
    for n in range(2):
        sent = service.client.post(
            f"{place}/feedback", json={"text": f"a new one {n}", "verdict": "right_group", "group": "g1"}
        )
        assert sent.status_code == 201, sent.text
        taken = service.client.patch(f"{place}/feedback/{sent.json()['id']}", json={"state": "accepted"})
        assert taken.status_code == 200, taken.text
    (job,) = service.client.get("/v1/jobs", params={"state": "queued"}).json()["items"]
    assert job["type"] == "training"
    worker_of(service).run_next()
    assert ended(service, job["id"])["result"]["state"] == "active"
    rows = {row["text"] for row in trainer.calls[1][1]}
    assert {"a new one 0", "a new one 1"} <= rows
    assert "feedback" in service.client.get(f"{place}/release-events").json()["items"][0]["why"]


@sqlite_only
def test_releases_that_are_gone_leave_nothing_in_memory(
    service: Running, trainer: FakeTrainer, bundles: list[Path]
) -> None:
    place, process = fill(service), psutil.Process()
    for number, bundle in enumerate([*bundles, *bundles[:2]], start=2):
        trainer.bundle = bundle
        assert made(service, place)["result"]["release"] == number
        wait_for(lambda number=number: search(service, place, "x")["release"] == number)  # type: ignore[misc]
        if number == 5:
            before = process.num_threads(), process.num_fds()
    gc.collect()
    held = [found for found in gc.get_objects() if type(found) is ServingRelease and found.key.collection in place]
    assert len(held) == 2  # the active one and the one before
    assert process.num_threads() <= before[0] + 2
    assert process.num_fds() <= before[1] + 2
