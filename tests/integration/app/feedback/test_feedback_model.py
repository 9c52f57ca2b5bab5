"""Random operations on feedback and records, against plain dicts: the same states, records and numbers."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conftest import make_collection
from tests.fakes.running import Running

TEXTS = ("money back", "refund", "log in", "退款")
GROUPS = ("g1", "g2")
VERDICTS = ("right_group", "out_of_scope", "wrong_answer")

GIVE = st.tuples(st.just("give"), st.sampled_from(TEXTS), st.sampled_from(VERDICTS), st.sampled_from(GROUPS))
RESOLVE = st.tuples(
    st.just("resolve"),
    st.lists(st.integers(0, 3), min_size=1, max_size=4),
    st.sampled_from(
        [
            {"state": "rejected"},
            {"state": "accepted"},
            {"state": "accepted", "group": "g1"},
            {"state": "accepted", "role": "out_of_scope"},
        ]
    ),
)
PUT = st.tuples(st.just("put"), st.sampled_from(TEXTS), st.sampled_from(GROUPS))
DROP = st.tuples(st.just("drop"), st.integers(0, 7))
ERASE = st.tuples(st.just("erase"), st.sampled_from(TEXTS))
LOSE = st.tuples(st.just("lose"), st.integers(0, 3))
OPERATIONS = st.lists(st.one_of(GIVE, GIVE, RESOLVE, RESOLVE, PUT, LOSE, DROP, ERASE), min_size=4, max_size=14)

Place = tuple[str | None, str]
"""Group and role."""


@dataclass
class Model:
    """What should be there: items and records by id, and how many changes there were."""

    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    records: dict[str, tuple[str, Place]] = field(default_factory=dict)
    changes: int = 0

    def resolve(self, key: str, body: dict[str, str]) -> int:
        """What the answer's status must be."""
        item = self.items.get(key)
        if item is None:
            return 404
        is_settled = item["state"] == "accepted" and item["record"] in self.records
        if body["state"] == "rejected":
            if is_settled:
                return 409
            item["state"] = "rejected"
            if item.pop("record", None):
                item["group"] = item.pop("place")[0]
            return 200
        place = self.place(item, body)
        if place is None:
            return 422
        if is_settled:
            return 200 if item["place"] == place else 409
        self.accept(key, item, place)
        return 200

    def place(self, item: dict[str, Any], body: dict[str, str]) -> Place | None:
        if "role" in body:
            return None, "out_of_scope"
        if "group" in body:
            return body["group"], "example"
        if "place" in item:
            return item["place"]  # type: ignore[no-any-return]
        if item["verdict"] == "out_of_scope":
            return None, "out_of_scope"
        return (item["group"], "example") if item["group"] else None

    def accept(self, key: str, item: dict[str, Any], place: Place) -> None:
        same = [record for record, content in self.records.items() if content == (item["text"], place)]
        if not same:
            self.changes += 1
            same = [f"feedback-{key}"]
            self.records[same[0]] = (item["text"], place)
        item.update(state="accepted", place=place, record=same[0])


class Driver:
    """Does the same to the service and to the model."""

    def __init__(self, service: Running) -> None:
        self.client, self.model, self.given = service.client, Model(), [""]
        self.collection = f"/v1/collections/{make_collection(service)}"
        self.feedback = f"{self.collection}/feedback"

    def do(self, name: str, *arguments: Any) -> None:
        getattr(self, name)(*arguments)

    def give(self, text: str, verdict: str, group: str) -> None:
        named = {"group": group} if verdict == "right_group" else {}
        answer = self.client.post(self.feedback, json={"text": text, "verdict": verdict, **named})
        key = answer.raise_for_status().json()["id"]
        self.given.append(key)
        self.model.items[key] = {"text": text, "verdict": verdict, "group": named.get("group"), "state": "pending"}

    def resolve(self, numbers: list[int], body: dict[str, str]) -> None:
        keys = [self.given[number % len(self.given)] or "nobody" for number in numbers]
        found = self.client.post(f"{self.feedback}:resolve", json={"ids": keys, **body}).raise_for_status().json()
        # an id that is named twice is resolved once, and resolving it again would change nothing
        expected = [self.model.resolve(key, body) for key in keys]
        assert [item["status"] for item in found["items"]] == expected
        assert found["seq"] == self.model.changes

    def put(self, text: str, group: str) -> None:
        key = f"own-{text}-{group}"
        self.client.put(f"{self.collection}/records/{key}", json={"text": text, "group": group}).raise_for_status()
        self.model.changes += key not in self.model.records
        self.model.records[key] = (text, (group, "example"))

    def lose(self, number: int) -> None:
        key = self.model.items.get(self.given[number % len(self.given)], {}).get("record")
        if self.model.records.pop(key, None):
            assert self.client.delete(f"{self.collection}/records/{key}").status_code == 204
            self.model.changes += 1

    def drop(self, number: int) -> None:
        key = self.given[number % len(self.given)]
        if key:
            expected = 204 if self.model.items.pop(key, None) else 404
            assert self.client.delete(f"{self.feedback}/{key}").status_code == expected

    def erase(self, text: str) -> None:
        gone = [self.model.items.pop(key) for key, item in [*self.model.items.items()] if item["text"] == text]
        answer = self.client.post(f"{self.feedback}:erase", json={"texts": [text.upper()]}).raise_for_status().json()
        assert answer["erased"] == len(gone)
        assert answer["records"] == sorted({item["record"] for item in gone if "record" in item})

    def check(self) -> None:
        items = self.client.get(self.feedback).json()["items"]
        assert {item["id"]: (item["text"], item["state"]) for item in items} == {
            key: (item["text"], item["state"]) for key, item in self.model.items.items()
        }
        accepted = [item for item in items if item["state"] == "accepted"]
        expected = self.model.items
        assert all((item["group"], item["role"]) == expected[item["id"]]["place"] for item in accepted)
        # of several records with the same content any will do
        content = {item["id"]: (item["text"], (item["group"], item["role"])) for item in accepted}
        there = [item for item in accepted if item["record"] in self.model.records]
        assert all(self.model.records[item["record"]] == content[item["id"]] for item in there)
        records = self.client.get(f"{self.collection}/records?limit=1000").json()["items"]
        assert {
            record["id"]: (record["text"], (record["group"], record["role"])) for record in records
        } == self.model.records
        assert self.client.get(self.collection).json()["last_seq"] == self.model.changes
        pending = sum(item["state"] == "pending" for item in self.model.items.values())
        queue = self.client.get(f"{self.feedback}/clusters?limit=1000").json()
        assert (queue["pending"], sum(cluster["size"] for cluster in queue["clusters"])) == (pending, pending)


@pytest.mark.filterwarnings("ignore")
@settings(
    max_examples=12,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(operations=OPERATIONS)
def test_feedback_agrees_with_plain_dicts(service: Running, operations: list[Any]) -> None:
    driver = Driver(service)
    for operation in operations:
        driver.do(*operation)
    driver.check()
