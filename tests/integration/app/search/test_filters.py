"""Filtered searches over HTTP: what an exact search of everything finds, filtered afterwards."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import add_encoder, make_collection
from tests.fakes.plain_filter import passes
from tests.fakes.problems import assert_problem
from tests.fakes.running import Running, make_settings, running

WORDS = ["refund", "money", "back", "card", "login", "password", "order", "late", "cancel", "退款", "登录", "订单"]
QUERIES = ["money back", "登录", "late order 7"]
K = 7
TOLERANCE = 2e-6
"""Between scores: a score is rounded to six digits, and blocks of another shape sum in another order."""

FILTERS: dict[str, dict[str, Any]] = {
    "a group": {"group": "g1"},
    "groups": {"group": {"in": ["g1", "g3", "nobody"]}},
    "a large group": {"group": "g0"},
    "no such group": {"group": "nobody"},
    "a string": {"metadata": {"lang": "en"}},
    "strings": {"metadata": {"lang": {"in": ["zh", "de"]}}},
    "a string of which another begins": {"metadata": {"lang": "e"}},
    "a number": {"metadata": {"year": 2003}},
    "a number written otherwise": {"metadata": {"year": 2003.0}},
    "a string is no number": {"metadata": {"year": "2003"}},
    "true": {"metadata": {"public": True}},
    "one is not true": {"metadata": {"public": 1}},
    "a range": {"metadata": {"year": {"gte": 2002, "lt": 2004}}},
    "an open range": {"metadata": {"year": {"gt": 2002}}},
    "an empty range": {"metadata": {"year": {"gt": 2004, "lt": 2003}}},
    "negative and broken numbers": {"metadata": {"balance": {"gte": -1.5, "lte": 0}}},
    "days": {"metadata": {"day": {"gte": "2024-01-05", "lt": "2024-01-20"}}},
    "a tag": {"metadata": {"tags": "shop"}},
    "tags": {"metadata": {"tags": {"in": ["shop", "app"]}}},
    "no such field": {"metadata": {"colour": "red"}},
    "a whole number that no double holds": {"metadata": {"ticket": 2**53 + 1}},
    "a day": {"metadata": {"day": "2024-01-09"}},
    "one record": {"metadata": {"serial": 130}},
    "all of it": {"group": {"in": ["g0", "g1"]}, "metadata": {"lang": "en", "year": {"gte": 2001}, "tags": "shop"}},
}


@dataclass
class Filled:
    """A service, its collection, and the records that are in it."""

    service: Running
    place: str
    records: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write(self, upserts: dict[str, dict[str, Any]], deletes: list[str]) -> None:
        body = {"upsert": [{"id": key, **record} for key, record in upserts.items()], "delete": deletes}
        answer = self.service.client.post(f"{self.place}/records:batch?wait=visible", json=body).json()
        assert answer["visible"] is True
        self.records.update(upserts)
        for key in deletes:
            del self.records[key]

    def search(self, **body: Any) -> list[list[dict[str, Any]]]:
        answer = self.service.client.post(f"{self.place}:search", json=body)
        assert answer.status_code == 200, answer.text
        results: list[list[dict[str, Any]]] = answer.json()["results"]
        return results

    def passing(self, wanted: dict[str, Any]) -> set[str]:
        """The ids of the records that pass, by a plain reading of the filter."""
        return {
            key
            for key, record in self.records.items()
            if passes(wanted, record.get("group"), record.get("metadata", {}))
        }


def make_record(rng: random.Random, number: int) -> dict[str, Any]:
    """A record some of whose fields are missing."""
    metadata = {
        "lang": rng.choice(["en", "zh", "de", "eng"]),
        "year": rng.choice([2000, 2001, 2002.0, 2003, 2004]),
        "public": rng.random() < 0.5,
        "balance": rng.choice([-2, -1.5, -0.0, 0, 0.25, 1]),
        "day": f"2024-01-{number % 31 + 1:02d}",
        "tags": rng.sample(["shop", "app", "mail", "退货"], rng.randrange(4)),
        "ticket": 2**53 + number % 3,
    }
    kept = {name: value for name, value in metadata.items() if rng.random() < 0.85}
    group = rng.choices([None, "g0", "g1", "g2", "g3"], [2, 10, 2, 2, 1])[0]
    text = " ".join([*rng.choices(WORDS, k=4), str(number)])
    return {"text": text, "metadata": {**kept, "serial": number}, **({} if group is None else {"group": group})}


@pytest.fixture(scope="module", params=["written since the start", "in a snapshot", "in a snapshot and changed since"])
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path
) -> Iterator[Filled]:
    """A collection whose records the server holds in each of the ways it can."""
    settings = make_settings(tmp_path_factory.mktemp("filters") / "data")
    add_encoder(settings, tiny_bundle)
    rng = random.Random(7)
    first = {f"r{number}": make_record(rng, number) for number in range(240)}
    with running(settings) as service:
        made = Filled(service, f"/v1/collections/{make_collection(service)}")
        made.write(first, [])
        if request.param == "written since the start":
            yield made
            return
    with running(settings) as service:
        filled = Filled(service, made.place, made.records)
        if request.param == "in a snapshot and changed since":
            # the same text with other metadata, another text, new records, and some that go
            moved = {f"r{n}": {**first[f"r{n}"], "metadata": make_record(rng, n)["metadata"]} for n in range(0, 60)}
            rewritten = {f"r{n}": make_record(rng, n) for n in range(60, 90)}
            added = {f"n{n}": make_record(rng, n) for n in range(240, 280)}
            filled.write({**moved, **rewritten, **added}, [f"r{n}" for n in range(90, 120)])
        yield filled


@pytest.mark.parametrize("wanted", FILTERS.values(), ids=FILTERS.keys())
def test_a_filtered_search_is_an_exact_search_filtered_afterwards(filled: Filled, wanted: dict[str, Any]) -> None:
    everything = filled.search(queries=QUERIES, k=1000)
    passing = filled.passing(wanted)

    found = filled.search(queries=QUERIES, k=K, filter=wanted)

    for all_of_it, filtered in zip(everything, found, strict=True):
        assert {one["id"] for one in all_of_it} == filled.records.keys()
        expected = [one for one in all_of_it if one["id"] in passing]
        scores = {one["id"]: one["score"] for one in expected}
        assert len(filtered) == min(K, len(expected))
        assert len({one["id"] for one in filtered}) == len(filtered)
        # records of equal score may change places, so scores are compared
        assert [one["score"] for one in filtered] == pytest.approx(
            [one["score"] for one in expected[:K]], rel=0, abs=TOLERANCE
        )
        for one in filtered:
            assert one["score"] == pytest.approx(scores[one["id"]], rel=0, abs=TOLERANCE)
            record = filled.records[one["id"]]
            assert (one["text"], one["group"]) == (record["text"], record.get("group"))


def test_the_filters_of_this_test_match_none_few_and_many(filled: Filled) -> None:
    sizes = {name: len(filled.passing(wanted)) for name, wanted in FILTERS.items()}

    assert {name for name, size in sizes.items() if size == 0} == {
        "no such group", "a string of which another begins", "a string is no number", "one is not true",
        "an empty range", "no such field",
    }  # fmt: skip
    assert sizes["one record"] == 1
    assert sizes["a large group"] > len(filled.records) / 3
    assert sizes["a number"] == sizes["a number written otherwise"]


def test_a_filter_goes_with_group_by_and_min_score(filled: Filled) -> None:
    wanted = {"metadata": {"year": {"gte": 2001}}}
    (everything,) = filled.search(query=QUERIES[0], k=1000)
    passing = filled.passing(wanted)
    best: dict[str, float] = {}
    for one in everything:
        if one["id"] in passing and one["group"] is not None:
            best.setdefault(one["group"], one["score"])
    least = sorted(best.values())[1] - TOLERANCE

    (groups,) = filled.search(query=QUERIES[0], k=10, group_by="group", filter=wanted)
    (near,) = filled.search(query=QUERIES[0], k=10, group_by="group", filter=wanted, min_score=least)

    assert {one["group"]: one["score"] for one in groups} == pytest.approx(best, rel=0, abs=TOLERANCE)
    assert {one["id"] for one in groups} <= passing
    assert {one["group"] for one in near} == {group for group, score in best.items() if score >= least}


def test_searches_of_the_same_moment_keep_their_own_filters(filled: Filled) -> None:
    """The server answers them in one batch; each answer holds what its own filter lets pass."""
    wanted: list[dict[str, Any] | None] = [None, *FILTERS.values()]

    def found(one: dict[str, Any] | None) -> set[str]:
        (result,) = filled.search(query="refund my order", k=1000, filter=one)
        return {neighbour["id"] for neighbour in result}

    with ThreadPoolExecutor(len(wanted)) as pool:
        for _ in range(3):
            assert list(pool.map(found, wanted)) == [filled.passing(one or {}) for one in wanted]


def test_a_change_of_metadata_or_group_alone_counts_in_the_next_search(filled: Filled) -> None:
    wanted = {"group": "fresh", "metadata": {"stage": "new"}}
    record = {"text": "where is my parcel", "group": "fresh", "metadata": {"stage": "new"}}
    assert filled.search(query="parcel", filter=wanted) == [[]]

    filled.write({"p": record}, [])
    assert [one["id"] for one in filled.search(query="parcel", filter=wanted)[0]] == ["p"]
    filled.write({"p": {**record, "metadata": {"stage": "old"}}}, [])
    assert filled.search(query="parcel", filter=wanted) == [[]]
    filled.write({"p": {**record, "group": "other"}}, [])
    assert filled.search(query="parcel", filter=wanted) == [[]]
    filled.write({"p": record}, [])
    assert [one["id"] for one in filled.search(query="parcel", filter=wanted)[0]] == ["p"]
    filled.write({}, ["p"])
    assert filled.search(query="parcel", filter=wanted) == [[]]


def test_a_wrong_filter_is_a_problem_that_names_the_value(filled: Filled) -> None:
    body = {"query": "a", "filter": {"metadata": {"year": {"gte": 2020, "lt": "2024"}}}}

    answer = filled.service.client.post(f"{filled.place}:search", json=body)

    problem = assert_problem(answer, 422, "invalid_value")
    assert problem["errors"] == [
        {"pointer": "/filter/metadata/year", "detail": "mixes a number and a string: give values of one kind"}
    ]
