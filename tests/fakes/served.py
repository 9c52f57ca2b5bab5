"""A collection that is served: filled, asked, and where its index came from."""

from pathlib import Path

from app.settings import Settings
from tests.conftest import make_collection
from tests.fakes.running import Running


def fill(service: Running, n: int = 30) -> str:
    name = make_collection(service)
    upserts = [{"id": f"r{number}", "text": f"sentence {number}"} for number in range(n)]
    body = {"upsert": upserts, "delete": []}
    assert service.client.post(f"/v1/collections/{name}/records:batch?wait=visible", json=body).json()["visible"]
    return name


def ids(service: Running, name: str, query: str = "sentence 7", k: int = 100) -> list[str]:
    answer = service.client.post(f"/v1/collections/{name}:search", json={"query": query, "k": k})
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["results"][0]]


def snapshots(settings: Settings) -> list[Path]:
    return sorted(settings.data.glob("collections/*/releases/*/snapshots/*/manifest.json"))


def sources(logs: list[dict[str, object]]) -> list[object]:
    return [event["source"] for event in logs if event["event"] == "release_loaded"]
