"""What the tests of releases share: collections to retrain, and what is asked of their releases."""

from pathlib import Path
from typing import Any

from model.contract.bundle import load_bundle
from tests.conftest import make_collection
from tests.fakes.running import Running

N = 30


def fill(service: Running) -> str:
    """A collection of N records in three groups, and one sentence out of scope; its place."""
    name = make_collection(service)
    place = f"/v1/collections/{name}"
    records: list[dict[str, Any]] = [
        {"id": f"r{n}", "text": f"sentence {n} of many", "group": f"g{n % 3}"} for n in range(N)
    ]
    records.append({"id": "stranger", "text": "what is the weather like", "role": "out_of_scope"})
    answer = service.client.post(f"{place}/records:batch", json={"upsert": records}, params={"wait": "visible"})
    assert answer.status_code == 200, answer.text
    return place


def search(service: Running, place: str, query: str, **body: Any) -> dict[str, Any]:
    answer = service.client.post(f"{place}:search", json={"query": query, "k": 5, **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def expected(bundle: Path, texts: dict[str, str], query: str) -> list[str]:
    """The ids nearest to a query, by the bundle's encoder alone."""
    encoder = load_bundle(bundle).encoder
    scores = dict(zip(texts, encoder.encode(list(texts.values())) @ encoder.encode([query])[0], strict=True))
    return sorted(scores, key=lambda key: -scores[key])[:5]


def releases(service: Running, place: str) -> dict[int, dict[str, Any]]:
    return {found["number"]: found for found in service.client.get(f"{place}/releases").json()["items"]}


def events(service: Running, place: str) -> list[tuple[int, str]]:
    found = service.client.get(f"{place}/release-events").json()["items"]
    return [(event["release"], event["action"]) for event in reversed(found)]


def switch(service: Running, place: str, number: int, verb: str, **body: Any) -> Any:
    return service.client.post(f"{place}/releases/{number}:{verb}", json=body)
