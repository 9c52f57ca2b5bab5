"""A service whose large indexes are on an index server; the server is one of plain dicts in this process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, update
from structlog.testing import capture_logs

from app.collection.tables import Collection
from app.db.opening import open_database
from app.record.tables import ChangeLogEntry
from app.serving import follower
from app.settings import Settings
from index.backends.milvus import base as milvus_base
from index.backends.milvus import searching as milvus_searching
from index.spec import IndexKind, IndexSpec
from model.contract.bundle import load_bundle
from tests.conftest import add_encoder, make_collection, postgres_settings
from tests.fakes.plain_milvus import ADDRESS, PlainMilvus
from tests.fakes.running import Running, make_settings, running, wait_for

LARGE = 20
N = 60
TOKEN = "root:a-secret-token"


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> PlainMilvus:
    """The server; indexes of so many records go there, and what failed is tried again soon."""
    server = PlainMilvus()
    monkeypatch.setattr("app.serving.index_server.Milvus", server.connect)
    monkeypatch.setattr("app.serving.index_server.load_pymilvus", lambda: None)
    for place in ("snapshots.building", "loading"):
        monkeypatch.setattr(f"app.serving.{place}.choose_spec", choose)
    monkeypatch.setattr(follower, "_RETRY_S", 0.2)
    return server


def choose(n: int, dim: int, target_recall: float = 0.99) -> IndexSpec:
    return IndexSpec(kind=IndexKind.IVF_PQ if n >= LARGE else IndexKind.EXACT, target_recall=target_recall)


@pytest.fixture
def settings(tmp_path: Path, tiny_bundle: Path) -> Settings:
    settings = make_settings(
        tmp_path / "data", index_server=ADDRESS, index_server_kind="flat", index_server_token=TOKEN
    )
    add_encoder(settings, tiny_bundle)
    return settings


def without_server(settings: Settings) -> Settings:
    return make_settings(settings.data)


def text_of(number: int) -> str:
    return f"sentence {number} of {number % 7}"


def store(service: Running, name: str, texts: dict[str, str]) -> None:
    upserts = [{"id": key, "text": text, "group": f"g{len(text) % 3}"} for key, text in texts.items()]
    answer = service.client.post(
        f"/v1/collections/{name}/records:batch", json={"upsert": upserts}, params={"wait": "visible"}
    )
    assert answer.status_code == 200, answer.text


def compact(service: Running, name: str, verb: str = "compact") -> dict[str, Any]:
    job = service.client.post(f"/v1/collections/{name}:{verb}").json()["id"]
    wait_for(lambda: service.client.get(f"/v1/jobs/{job}").json()["state"] not in ("queued", "running"))
    ended: dict[str, Any] = service.client.get(f"/v1/jobs/{job}").json()
    return ended


def fill(service: Running, n: int = N) -> str:
    """A collection whose index is compacted."""
    name = make_collection(service)
    store(service, name, {f"r{number}": text_of(number) for number in range(n)})
    assert compact(service, name)["state"] == "succeeded"
    return name


def search(service: Running, name: str, query: str, **more: object) -> list[tuple[str, float]]:
    answer = service.client.post(f"/v1/collections/{name}:search", json={"query": query, "k": 5, **more})
    assert answer.status_code == 200, answer.text
    return [(found["id"], found["score"]) for found in answer.json()["results"][0]]


def assert_right(service: Running, name: str, texts: dict[str, str], bundle: Path) -> None:
    """The answers are those of the encoder and a product of matrices."""
    encoder, queries = load_bundle(bundle).encoder, ["sentence 7 of 3", "something of 5"]
    scores = encoder.encode(queries).astype(np.float64) @ encoder.encode(list(texts.values())).T
    for query, row in zip(queries, scores, strict=True):
        expected = np.sort(row)[::-1][:5]
        found = search(service, name, query)
        assert [score for _, score in found] == pytest.approx(expected.tolist(), abs=2e-6)
        by_id = dict(zip(texts, row.tolist(), strict=True))
        assert [by_id[key] for key, _ in found] == pytest.approx(expected.tolist(), abs=2e-6)


def shown(service: Running, name: str) -> dict[str, Any]:
    collection: dict[str, Any] = service.client.get(f"/v1/collections/{name}").json()
    return collection


def on_server(plain: PlainMilvus) -> set[int]:
    """How many records the collections there have."""
    return {sum(row >= 0 for row in found.rows) for found in plain.collections.values()}


def problem(service: Running, name: str) -> dict[str, Any]:
    answer = service.client.post(f"/v1/collections/{name}:search", json={"query": "anything"})
    return {"status": answer.status_code, "retry": answer.headers.get("Retry-After"), **answer.json()}


def test_a_large_index_is_on_the_server_and_a_small_one_is_not(
    settings: Settings, plain: PlainMilvus, tiny_bundle: Path
) -> None:
    texts = {f"r{number}": text_of(number) for number in range(N)}
    with running(settings) as service:
        info = service.client.get("/v1/info").json()
        assert (info["index_server"], info["index_server_kind"]) == (ADDRESS, "FLAT")
        small, large = fill(service, LARGE - 1), fill(service)
        assert shown(service, small)["index"]["kind"] == "exact"
        assert shown(service, large)["index"] == {
            "kind": "milvus_flat", "parameters": {}, "vectors": N, "uncompacted": 0, "snapshot_seq": N,
        }  # fmt: skip
        assert on_server(plain) == {N}
        ((alias, name),) = wait_for_aliases(plain, 1).items()
        assert (name in plain.collections, name.startswith(f"{alias}_")) == (True, True)
        assert_right(service, large, texts, tiny_bundle)
        grouped = search(service, large, text_of(3), filter={"group": "g1"})
        assert {key for key, _ in grouped} <= {key for key, text in texts.items() if len(text) % 3 == 1}
        # what comes later is seen at once, and written into the same collection by the next compaction
        store(service, large, {"r3": "entirely different", "new": "also new"})
        service.client.delete(f"/v1/collections/{large}/records/r4?wait=visible")
        texts = {**texts, "r3": "entirely different", "new": "also new"}
        del texts["r4"]
        assert_right(service, large, texts, tiny_bundle)
        assert search(service, large, "entirely different")[0] == ("r3", 1.0)
        assert compact(service, large)["state"] == "succeeded"
        assert_right(service, large, texts, tiny_bundle)
        assert (list(plain.collections), on_server(plain)) == ([name], {N})
    files = [path for path in settings.data.rglob("*") if path.is_file()]
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []
    assert [path.parent.name for path in files if path.name == "vectors.npy"] == [f"{LARGE - 1:020d}"]


def wait_for_aliases(plain: PlainMilvus, n: int) -> dict[str, str]:
    wait_for(lambda: len(plain.aliases) == n)
    return plain.aliases


def test_while_the_server_is_away_searches_say_so_and_everything_else_goes_on(
    settings: Settings, plain: PlainMilvus
) -> None:
    with running(settings) as service:
        small, large = fill(service, LARGE - 1), fill(service)
        plain.is_away = True
        told = problem(service, large)
        assert (told["status"], told["code"], told["retry"]) == (503, "index_unavailable", "2")
        assert ADDRESS in told["detail"] and "see that it runs" in told["detail"]
        assert search(service, small, text_of(7))[0] == ("r7", 1.0)
        store(service, large, {"late": "came while it was away"})
        failed = compact(service, large)
        assert (failed["state"], failed["error"]["code"]) == ("failed", "not_built")
        assert ADDRESS in failed["error"]["detail"]
        plain.is_away = False
        assert search(service, large, "came while it was away")[0] == ("late", 1.0)
        assert search(service, large, text_of(7))[0] == ("r7", 1.0)
        assert compact(service, large)["state"] == "succeeded"
        assert on_server(plain) == {N + 1}


def test_a_start_without_the_server_waits_for_it_and_encodes_nothing_anew(
    settings: Settings, plain: PlainMilvus
) -> None:
    with running(settings) as service:
        small, large = fill(service, LARGE - 1), fill(service)
    plain.is_away = True
    with capture_logs() as logs, running(settings) as service:
        told = problem(service, large)
        assert (told["status"], told["code"]) == (503, "not_ready")
        assert ADDRESS in told["detail"]
        assert search(service, small, text_of(7))[0] == ("r7", 1.0)
        plain.is_away = False
        wait_for(lambda: problem(service, large)["status"] == 200)
        assert search(service, large, text_of(7))[0] == ("r7", 1.0)
    loaded = [event["source"] for event in logs if event["event"] == "release_loaded"]
    assert loaded == ["snapshot", "snapshot"]
    failed = [event for event in logs if event["event"] == "release_failed"]
    assert failed and not any(event["exc_info"] for event in failed), "who is away needs no traceback"


def test_a_server_started_without_the_setting_says_which(settings: Settings, plain: PlainMilvus) -> None:
    with running(settings) as service:
        large = fill(service)
    with running(without_server(settings)) as service:
        told = problem(service, large)
        assert told["status"] == 503
        assert "set SAMESAY_INDEX_SERVER, or remove the folder" in told["detail"]
    with running(settings) as service:
        assert search(service, large, text_of(7))[0] == ("r7", 1.0)


def test_what_was_here_before_moves_with_the_next_compaction(
    settings: Settings, plain: PlainMilvus, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, running(without_server(settings)) as service:
        patch.setattr("app.serving.snapshots.building.choose_spec", lambda *_: IndexSpec(kind=IndexKind.FLAT))
        large = fill(service)
    with running(settings) as service:
        assert search(service, large, text_of(7))[0] == ("r7", 1.0)
        assert (shown(service, large)["index"]["kind"], plain.collections) == ("flat", {})
        assert compact(service, large)["state"] == "succeeded"  # of the very same records
        assert (shown(service, large)["index"]["kind"], on_server(plain)) == ("milvus_flat", {N})
        assert search(service, large, text_of(7))[0] == ("r7", 1.0)


def _lose(plain: PlainMilvus) -> None:
    plain.collections.clear()


def _leave_half(plain: PlainMilvus) -> None:
    for found in plain.collections.values():
        found.rows = {row: value for row, value in found.rows.items() if row >= 0}


def _exchange(plain: PlainMilvus) -> None:
    for found in plain.collections.values():
        found.description = json.dumps({**json.loads(found.description), "encoder": "another"})


@pytest.mark.parametrize("damage", [_lose, _leave_half, _exchange])
def test_a_collection_that_is_not_there_whole_and_ours_is_built_anew(
    settings: Settings, plain: PlainMilvus, tiny_bundle: Path, damage: Callable[[PlainMilvus], None]
) -> None:
    with running(settings) as service:
        large = fill(service)
    (before,) = plain.collections
    damage(plain)
    with capture_logs() as logs, running(settings) as service:
        wait_for(lambda: problem(service, large)["status"] == 200)
        assert_right(service, large, {f"r{n}": text_of(n) for n in range(N)}, tiny_bundle)
        wait_for(lambda: before not in plain.collections)
        assert on_server(plain) == {N}
    (thrown,) = [event for event in logs if event["event"] == "snapshot_thrown_away"]
    assert before in thrown["reason"]


def test_rows_of_another_history_are_built_anew(settings: Settings, plain: PlainMilvus, tiny_bundle: Path) -> None:
    """A compaction that dies has written a change; then a backup from before that change is restored."""
    with running(settings) as service:
        large = fill(service)
        store(service, large, {"r3": "entirely different"})
        plain.writes_left = 3  # two notes and the record
        assert compact(service, large)["state"] == "failed"
        plain.writes_left = None
    database = open_database(settings)

    def restore(session: Any) -> None:
        session.execute(delete(ChangeLogEntry).where(ChangeLogEntry.seq > N))
        session.execute(update(Collection).values(last_seq=N))

    database.write(restore).result()
    database.close()
    with capture_logs() as logs, running(settings) as service:
        wait_for(lambda: problem(service, large)["status"] == 200)
        texts = {f"r{n}": text_of(n) for n in range(N)} | {"r3": "entirely different"}
        assert_right(service, large, texts, tiny_bundle)
    reasons = [event["reason"] for event in logs if event["event"] == "snapshot_thrown_away"]
    assert reasons and all("which is not in the database's log" in reason for reason in reasons)


def test_a_deleted_collection_leaves_nothing_on_the_server(settings: Settings, plain: PlainMilvus) -> None:
    plain.create("somebody_elses", 3, "theirs")
    with running(settings) as service:
        first, second = fill(service), fill(service)
        wait_for_aliases(plain, 2)
        service.client.delete(f"/v1/collections/{first}").raise_for_status()
        wait_for(lambda: len(plain.collections) == 2)
        assert search(service, second, text_of(7))[0] == ("r7", 1.0)
        assert len(wait_for_aliases(plain, 1)) == 1
    assert "somebody_elses" in plain.collections


def test_what_a_killed_build_has_left_is_dropped_at_the_next_start(settings: Settings, plain: PlainMilvus) -> None:
    with running(settings) as service:
        fill(service)
    (name,) = plain.collections
    plain.create(f"{name[:-8]}0badbeef", 3, "half")
    with running(settings):
        wait_for(lambda: list(plain.collections) == [name])


def test_a_rebuild_makes_another_collection_and_drops_the_one_before(
    settings: Settings, plain: PlainMilvus, tiny_bundle: Path
) -> None:
    with running(settings) as service:
        large = fill(service)
        (before,) = plain.collections
        assert compact(service, large, "rebuild")["state"] == "succeeded"
        wait_for(lambda: len(plain.collections) == 1 and before not in plain.collections)
        assert_right(service, large, {f"r{n}": text_of(n) for n in range(N)}, tiny_bundle)
        (after,) = plain.collections
        wait_for(lambda: list(plain.aliases.values()) == [after])


def test_erasing_leaves_nothing_on_the_server(settings: Settings, plain: PlainMilvus) -> None:
    with running(settings) as service:
        large = fill(service)
        (found,) = plain.collections.values()
        place = f"/v1/collections/{large}/records:erase"
        plain.is_away = True
        refused = service.client.post(place, json={"ids": ["r3"]})
        assert (refused.status_code, refused.json()["code"]) == (503, "not_erased_yet")
        plain.is_away = False
        answer = service.client.post(place, json={"ids": ["r3", "r4"]})
        assert (answer.status_code, answer.json()["erased"]) == (200, ["r4"]), answer.text
        assert (sum(row >= 0 for row in found.rows), found.compactions) == (N - 2, 1)
        assert "r3" not in [key for key, _ in search(service, large, text_of(3))]


def test_changes_wait_in_the_database_while_the_server_is_away_for_long(
    settings: Settings, plain: PlainMilvus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take memory until they are compacted: no more of them is taken in than may be."""
    with running(settings) as service:
        large = fill(service)
        monkeypatch.setattr("app.serving.housekeeper.MOST_CHANGES", 10)
        monkeypatch.setattr("app.serving.housekeeper.RETRY_S", 0.3)
        monkeypatch.setattr("app.serving.housekeeper.is_worth_compacting", lambda n, n_base, is_remote: n > 5)
        plain.is_away = True
        place = f"/v1/collections/{large}/records"
        for number in range(40):
            stored = service.client.put(f"{place}/late{number}", json={"text": f"late {number}"})
            assert stored.status_code == 201
            wait_for(lambda seen=number: shown(service, large)["visible_seq"] >= min(N + 10, N + seen + 1))
        assert compact(service, large)["state"] == "failed"
        assert N + 10 <= shown(service, large)["visible_seq"] < N + 20
        plain.is_away = False
        wait_for(lambda: shown(service, large)["visible_seq"] == N + 40)
        assert search(service, large, "late 39")[0] == ("late39", 1.0)


def test_a_replica_takes_over_what_the_other_has_put_on_the_server(
    tmp_path: Path, postgres: str, plain: PlainMilvus, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.serving.index_server.GRACE_S", 0.5)
    monkeypatch.setattr("app.serving.index_server.AGAIN_S", 0.2)
    database_url = postgres_settings(postgres, tmp_path / "data").database_url
    settings = make_settings(
        tmp_path / "data", database_url=database_url, index_server=ADDRESS, index_server_kind="flat", poll_s=0.05
    )
    add_encoder(settings, tiny_bundle)
    texts = {f"r{number}": text_of(number) for number in range(N)}
    with running(settings) as first, running(settings) as second:
        name = fill(first)
        for change in range(3):
            texts |= {f"r{change}": f"changed {change} of 5", f"new{change}": f"new {change} of 3"}
            store(second, name, {key: texts[key] for key in (f"r{change}", f"new{change}")})
            seq = shown(second, name)["last_seq"]
            for service in (first, second):  # whoever compacts has seen it
                wait_for(lambda service=service, seq=seq: shown(service, name)["visible_seq"] == seq)
            assert compact(second if change == 1 else first, name, "rebuild" if change == 2 else "compact")["result"]
            seen = {"kind": "milvus_flat", "uncompacted": 0, "vectors": len(texts)}
            for service in (first, second):
                wait_for(lambda service=service, seen=seen: seen.items() <= shown(service, name)["index"].items())
                assert_right(service, name, texts, tiny_bundle)
        wait_for(lambda: len(plain.collections) == 1)
        for service in (first, second):
            assert_right(service, name, texts, tiny_bundle)


def test_a_search_by_groups_says_where_the_server_finds_too_few(
    plain: PlainMilvus, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    upserts = [{"id": f"a{n}", "text": f"money back please {n}", "group": "a"} for n in range(50)]
    upserts.append({"id": "b", "text": "weather", "group": "b"})
    body: dict[str, Any] = {"query": "money back please", "k": 2, "group_by": "group"}
    with running(settings) as service:
        place = f"/v1/collections/{make_collection(service)}"
        service.client.post(f"{place}/records:batch?wait=visible", json={"upsert": upserts})
        assert compact(service, place.rpartition("/")[2])["state"] == "succeeded"

        def search(**fields: Any) -> tuple[list[str], list[int]]:
            answer = service.client.post(f"{place}:search", json={**body, **fields}).json()
            return [one["group"] for one in answer["results"][0]], answer.get("incomplete_queries", [])

        assert search() == (["a", "b"], [])
        for module in (milvus_searching, milvus_base):
            monkeypatch.setattr(module, "MOST_FOUND", 24)
        assert search() == (["a"], [0])
        assert search(k=1) == (["a"], [])
        assert search(filter={"group": "b"}) == (["b"], [])
        assert search(min_score=0.999999) == ([], [])
        both = service.client.post(
            f"{place}:search", json={"queries": ["money back please", "weather"], "k": 2, "group_by": "group"}
        ).json()
        assert both["incomplete_queries"] == [0]
        assert [one["group"] for one in both["results"][1]] == ["b", "a"]
