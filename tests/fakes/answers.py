"""All that a collection answers, and whether two such answers are the same but for rounding."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import httpx

ROUNDING = 2e-6
"""Scores are rounded to six digits, and summed in another order in another index."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A record as a search shows it."""

    text: str
    group: str | None
    score: float


Answers = list[dict[str, Neighbour]]


def ask(client: httpx.Client, collection: str, queries: Sequence[str]) -> Answers:
    """Every record of the collection, by id, with its cosine to each query; none of them twice."""
    n_records = client.get(f"/v1/collections/{collection}").raise_for_status().json()["records"]
    body = {"queries": list(queries), "k": n_records + 1}
    results = client.post(f"/v1/collections/{collection}:search", json=body).raise_for_status().json()["results"]
    assert [len({one["id"] for one in neighbours}) for neighbours in results] == [n_records] * len(queries)
    assert all(one["score"] >= next_["score"] for row in results for one, next_ in pairwise(row))
    return [{one["id"]: Neighbour(one["text"], one["group"], one["score"]) for one in row} for row in results]


def assert_same(found: Answers, expected: Answers, what: object = "") -> None:
    """The same records with the same texts and groups, at the same scores."""
    assert len(found) == len(expected)
    for row, expected_row in zip(found, expected, strict=True):
        assert row.keys() == expected_row.keys(), what
        for key, one in expected_row.items():
            assert (row[key].text, row[key].group) == (one.text, one.group), what
            assert abs(row[key].score - one.score) <= ROUNDING, (what, key, row[key], one)
