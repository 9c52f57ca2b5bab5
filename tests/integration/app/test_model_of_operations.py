"""Seeded random operations against the HTTP API and a plain dict: the same answers, live and after a restart."""

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.contract.bundle import load_bundle
from tests.conftest import add_encoder, make_collection, postgres_settings
from tests.fakes.running import Running, make_settings, running

WORDS = ["refund", "money", "back", "card", "login", "password", "order", "late", "cancel", "退款", "登录", "订单"]


@dataclass
class Model:
    """What should be there."""

    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    seq: int = 0

    def put(self, key: str, record: dict[str, Any]) -> None:
        if self.records.get(key) != record:
            self.seq += 1
            self.records[key] = record

    def delete(self, key: str) -> bool:
        self.seq += key in self.records
        return self.records.pop(key, None) is not None


class Driver:
    """Does the same to the service and to the model."""

    def __init__(self, service: Running, name: str, model: Model, seed: int) -> None:
        self.client, self.place, self.model, self.rng = (
            service.client,
            f"/v1/collections/{name}",
            model,
            random.Random(seed),
        )

    def step(self) -> None:
        self.rng.choices([self.put, self.delete, self.batch, self.delete_group], [4, 2, 3, 0.5])[0]()

    def put(self) -> None:
        key, record = self.key(), self.record()
        existed = key in self.model.records
        self.model.put(key, record)
        answer = self.client.put(f"{self.place}/records/{key}?wait=visible", json=record)
        assert answer.status_code == (200 if existed else 201)

    def delete(self) -> None:
        key = self.key()
        existed = self.model.delete(key)
        answer = self.client.delete(f"{self.place}/records/{key}?wait=visible")
        assert answer.status_code == (204 if existed else 404)

    def batch(self) -> None:
        keys = self.rng.sample([f"r{n}" for n in range(40)], 12)
        upserts = [{"id": key, **self.record()} for key in keys[:8]]
        for record in upserts:
            self.model.put(record["id"], {name: value for name, value in record.items() if name != "id"})
        expected = [200 if self.model.delete(key) else 404 for key in keys[8:]]
        body = {"upsert": [*upserts, {"id": "bad", "text": " "}], "delete": keys[8:]}
        items = self.client.post(f"{self.place}/records:batch?wait=visible", json=body).json()["items"]
        assert [item["status"] for item in items[8:]] == [422, *expected]

    def delete_group(self) -> None:
        group = f"g{self.rng.randrange(4)}"
        answer = self.client.delete(f"{self.place}/groups/{group}?records=delete")
        for key in [key for key, record in self.model.records.items() if record.get("group") == group]:
            self.model.delete(key)
        assert answer.status_code in (204, 404)
        self.client.put(f"{self.place}/records/r0?wait=visible", json=self.model.records.get("r0", {"text": "again"}))
        self.model.put("r0", self.model.records.get("r0", {"text": "again"}))

    def key(self) -> str:
        return f"r{self.rng.randrange(40)}"

    def record(self) -> dict[str, Any]:
        record: dict[str, Any] = {"text": " ".join(self.rng.choices(WORDS, k=self.rng.randint(1, 5)))}
        if self.rng.random() < 0.7:
            record["group"] = f"g{self.rng.randrange(4)}"
        if self.rng.random() < 0.2:
            record.pop("group", None)
            record["role"] = "out_of_scope"
        return record


def check(service: Running, name: str, model: Model, encode: Any) -> None:
    """The service holds the model's records, and searches as NumPy does over them."""
    place = f"/v1/collections/{name}"
    items = service.client.get(f"{place}/records?limit=1000").json()["items"]
    assert {item["id"]: (item["text"], item["group"]) for item in items} == {
        key: (record["text"], record.get("group")) for key, record in model.records.items()
    }
    state = service.client.get(place).json()
    assert (state["last_seq"], state["visible_seq"], state["records"]) == (model.seq, model.seq, len(model.records))
    shown = {key: record for key, record in model.records.items() if record.get("role") != "out_of_scope"}
    query = "退款 money order"
    found = service.client.post(f"{place}:search", json={"query": query, "k": 1000}).json()["results"][0]
    assert {one["id"] for one in found} == shown.keys()
    few = service.client.post(f"{place}:search", json={"query": query, "k": 5}).json()["results"][0]
    assert few == found[:5]  # nothing that is gone takes a place
    if not shown:
        return
    cosines = encode([record["text"] for record in shown.values()]) @ encode([query])[0]
    expected = dict(zip(shown, cosines.tolist(), strict=True))
    for one in found:
        assert one["score"] == pytest.approx(expected[one["id"]], abs=2e-6)  # rounded to 6 digits, sums in other order
        assert (one["text"], one["group"]) == (shown[one["id"]]["text"], shown[one["id"]].get("group"))
    assert np.all(np.diff([one["score"] for one in found]) <= 0)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_service_agrees_with_a_dict(
    kind: str, tmp_path: Path, tiny_bundle: Path, request: pytest.FixtureRequest
) -> None:
    data = tmp_path / "data"
    settings = make_settings(data) if kind == "sqlite" else postgres_settings(request.getfixturevalue("postgres"), data)
    add_encoder(settings, tiny_bundle)
    encode, model, name = load_bundle(tiny_bundle).encoder.encode, Model(), ""
    for life in range(3):
        with running(settings) as service:
            name = name or make_collection(service)
            service.client.get("/readyz").raise_for_status()
            if life:
                check(service, name, model, encode)
            driver = Driver(service, name, model, seed=life)
            for step in range(40):
                driver.step()
                if step % 10 == 9:
                    check(service, name, model, encode)
