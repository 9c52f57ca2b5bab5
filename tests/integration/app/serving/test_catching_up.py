"""A restart long behind the change log, as after a crash in an import: nobody else waits, and memory stays bounded."""

import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.serving import holding, housekeeper
from app.serving.applying import apply_changes
from app.settings import Settings
from tests.conftest import make_collection
from tests.fakes.running import Running, running, wait_for

STORED, LATER = 30, 300


def fill(service: Running, name: str, start: int, end: int) -> None:
    upserts = [{"id": f"r{number}", "text": f"sentence {number}"} for number in range(start, end)]
    answer = service.client.post(f"/v1/collections/{name}/records:batch?wait=visible", json={"upsert": upserts})
    assert answer.json()["visible"]


def leave_behind(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Two collections, of which the first has many changes past its snapshot."""
    with running(settings) as service:
        late, other = make_collection(service), make_collection(service)
        fill(service, late, 0, STORED)
        fill(service, other, 0, STORED)
    with running(settings) as service:
        fill(service, late, STORED, STORED + LATER)
        monkeypatch.setattr(service.container.serving._housekeeper, "save", lambda _: None)  # as after a crash
    return late, other


def found(service: Running, name: str, number: int) -> list[str]:
    answer = service.client.post(f"/v1/collections/{name}:search", json={"query": f"sentence {number}", "k": 1})
    assert answer.status_code == 200, answer.text
    return [hit["id"] for hit in answer.json()["results"][0]]


def test_others_answer_while_one_catches_up(sqlite: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    late, other = leave_behind(sqlite, monkeypatch)
    may_hurry: list[bool] = []

    def slow(*rest: Any, **options: Any) -> int:
        if may_hurry or rest[1].key.collection != late:
            return apply_changes(*rest, **options)
        time.sleep(0.05)  # so that all of it takes 15 s
        return apply_changes(*rest, **{**options, "limit": 1})

    monkeypatch.setattr(holding, "apply_changes", slow)
    monkeypatch.setattr("app.serving.serving.LOAD_WAIT_S", 0.2)
    with capture_logs() as logs, running(sqlite, until_ready=False) as service:
        wait_for(lambda: service.container.serving.find(other), 5)
        assert found(service, other, 7) == ["r7"]
        fill(service, other, STORED, STORED + 1)
        assert found(service, other, STORED) == [f"r{STORED}"], "its writes are followed meanwhile"
        refused = service.client.post(f"/v1/collections/{late}:search", json={"query": "sentence 7"})
        assert refused.status_code == 503, "an answer without what was acknowledged"
        assert "changes are still to be applied" in refused.json()["detail"]
        assert service.client.get("/readyz").status_code == 503
        assert service.client.get(f"/v1/collections/{late}").json()["visible_seq"] == 0
        may_hurry.append(True)
        wait_for(lambda: service.client.get("/readyz").status_code == 200)
        assert found(service, late, STORED + LATER - 1) == [f"r{STORED + LATER - 1}"]
        assert service.client.get(f"/v1/collections/{late}").json()["visible_seq"] == STORED + LATER
    assert {event["source"] for event in logs if event["event"] == "release_loaded"} == {"snapshot"}


def test_others_are_followed_while_one_is_loaded_again(sqlite: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a rebuild, or when another server has saved a snapshot: in the middle of an import."""
    may_hurry: list[bool] = []
    rounds: list[int] = []

    def slow(*rest: Any, **options: Any) -> int:
        if may_hurry or rest[1].key.collection != late:
            return apply_changes(*rest, **options)
        time.sleep(0.05)  # so that all of it takes 15 s
        rounds.append(rest[1].applied_seq)
        return apply_changes(*rest, **{**options, "limit": 1})

    with running(sqlite) as service:
        late, other = make_collection(service), make_collection(service)
        fill(service, late, 0, STORED)
    monkeypatch.setattr(holding, "apply_changes", slow)
    with capture_logs() as logs, running(sqlite) as service:
        upserts = [{"id": f"r{number}", "text": f"sentence {number}"} for number in range(STORED, STORED + LATER)]
        service.client.post(f"/v1/collections/{late}/records:batch", json={"upsert": upserts}).raise_for_status()
        wait_for(lambda: len(rounds) > 3)
        before = service.client.get(f"/v1/collections/{late}").json()["visible_seq"]
        assert STORED < before < STORED + LATER
        release = service.container.serving.find(late)
        assert release is not None
        service.container.serving._follower.reload(release.key.release_id)
        wait_for(lambda: [event["event"] for event in logs].count("release_loaded") == 3)
        fill(service, other, 0, 1)
        assert found(service, other, 0) == ["r0"]
        seen = service.client.get(f"/v1/collections/{late}").json()["visible_seq"]
        assert before <= seen < STORED + LATER, "what was found is found, the rest comes bit by bit"
        assert service.container.serving.find(late) is not release
        may_hurry.append(True)
        wait_for(lambda: service.client.get(f"/v1/collections/{late}").json()["visible_seq"] == STORED + LATER)
        assert found(service, late, STORED + LATER - 1) == [f"r{STORED + LATER - 1}"]


def test_what_waits_in_memory_is_compacted_on_the_way(sqlite: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    late, _ = leave_behind(sqlite, monkeypatch)
    for place, name, value in (
        (holding, "CHANGES_AT_ONCE", 10),
        (housekeeper, "LARGE_DELTA", 20),
        (housekeeper, "MOST_CHANGES", 40),
        (housekeeper, "ORDER_REST_S", 0.05),
    ):
        monkeypatch.setattr(place, name, value)
    monkeypatch.setattr("index.live.COMPACT_ROWS", 15)
    waiting: list[int] = []

    def noting(*rest: Any, **options: Any) -> int:
        applied = apply_changes(*rest, **options)
        waiting.append(rest[1].view.n_changes)
        return applied

    monkeypatch.setattr(holding, "apply_changes", noting)
    with capture_logs() as logs, running(sqlite) as service:
        for number in (0, STORED, STORED + LATER - 1):
            assert found(service, late, number) == [f"r{number}"]
    assert len(waiting) >= LATER / 10
    assert max(waiting) <= 50
    assert sum(event["event"] == "snapshot_saved" for event in logs) >= 3
