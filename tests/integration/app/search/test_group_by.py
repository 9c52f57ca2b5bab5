"""Searches by groups, over HTTP: the best record of each, and what they say where there may be more."""

import threading
from typing import Any

import pytest

from app.serving.catalogue.catalogue import CatalogueView
from tests.conftest import make_collection
from tests.fakes.running import Running


def with_a_large_group(service: Running) -> str:
    """The place of a collection of 300 records of one group and one each of two others."""
    place = f"/v1/collections/{make_collection(service)}"
    upserts = [{"id": f"a{n}", "text": f"money back please {n}", "group": "a"} for n in range(300)]
    upserts += [{"id": "b", "text": "weather", "group": "b"}, {"id": "c", "text": "log in", "group": "c"}]
    service.client.post(f"{place}/records:batch?wait=visible", json={"upsert": upserts})
    return place


def test_a_group_by_search_answers_the_best_of_each_group(service: Running) -> None:
    client, place = service.client, f"/v1/collections/{make_collection(service)}"
    upserts = [{"id": f"a{n}", "text": f"money back please {n}", "group": "a"} for n in range(40)]
    upserts += [{"id": "b", "text": "weather", "group": "b"}, {"id": "none", "text": "money back please"}]
    upserts += [{"id": "c", "text": "log in", "group": "c"}]
    client.post(f"{place}/records:batch?wait=visible", json={"upsert": upserts})
    body = {"query": "money back please 3", "k": 3, "group_by": "group"}
    found = client.post(f"{place}:search", json=body).json()["results"][0]
    assert found[0]["id"] == "a3"
    assert {one["group"] for one in found} == {"a", "b", "c"}
    assert [one["score"] for one in found] == sorted((one["score"] for one in found), reverse=True)
    near = client.post(f"{place}:search", json={**body, "min_score": 0.99}).json()["results"][0]
    assert [one["id"] for one in near] == ["a3"]


def test_a_group_by_search_of_many_queries_finds_what_each_alone_finds_or_says_so(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, place = service.client, with_a_large_group(service)
    far, near = [f"money back please {n}" for n in range(4)], ["weather log in"] * 40
    body = {"k": 3, "group_by": "group"}
    alone = client.post(f"{place}:search", json={**body, "query": far[0]}).json()
    assert (alone["results"][0][0]["group"], len(alone["results"][0])) == ("a", 3)
    monkeypatch.setattr("app.search.service._MOST_LOOKED_AT", 302 * len(far))
    together = client.post(f"{place}:search", json={**body, "queries": [*far, *near]}).json()
    assert [len(result) for result in together["results"]] == [3] * 44, "the near leave their share to the far"
    assert together["results"][0] == alone["results"][0]
    assert "incomplete_queries" not in together
    monkeypatch.setattr("app.search.service._MOST_LOOKED_AT", 100 * len(far))
    cut = client.post(f"{place}:search", json={**body, "queries": [*far, *near]}).json()
    assert cut["incomplete_queries"] == [0, 1, 2, 3]
    assert [len(result) for result in cut["results"][4:]] == [3] * 40
    assert [result[0] for result in cut["results"]] == [result[0] for result in together["results"]]


def test_a_group_by_search_builds_what_it_answers_and_groups_the_rest_elsewhere(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, place = service.client, with_a_large_group(service)
    built, grouped = list[int](), list[tuple[int, str]]()
    find, groups_of = CatalogueView.find, CatalogueView.groups_of

    def counted(view: CatalogueView, record_ids: Any) -> Any:
        built.append(len(record_ids))
        return find(view, record_ids)

    def watched(view: CatalogueView, record_ids: Any) -> Any:
        grouped.append((len(record_ids), threading.current_thread().name))
        return groups_of(view, record_ids)

    monkeypatch.setattr(CatalogueView, "find", counted)
    monkeypatch.setattr(CatalogueView, "groups_of", watched)
    body = {"queries": ["money back please 3", "weather"], "k": 3, "group_by": "group"}
    answer = client.post(f"{place}:search", json=body).json()
    assert [len(result) for result in answer["results"]] == [3, 3]
    assert built == [3, 3]
    assert max(grouped)[0] == 302, "it had to look at all of them"
    assert {name for _, name in grouped} == {"batcher"}
