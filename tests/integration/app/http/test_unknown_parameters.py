"""A query parameter that a route does not know is refused on whatever way the request comes, and nothing is done."""

import json
import re
from typing import Any

import pytest

from app.main import bare_app
from tests.conftest import make_collection
from tests.fakes.problems import assert_problem
from tests.fakes.running import Running

OPERATIONS = [
    (method.upper(), path, [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"])
    for path, item in bare_app().openapi()["paths"].items()
    for method, operation in item.items()
]
OURS = [(method, path, known) for method, path, known in OPERATIONS if re.match("/v1/(?!models|embeddings)", path)]


@pytest.mark.parametrize(("method", "path", "known"), OURS, ids=[f"{method} {path}" for method, path, _ in OURS])
def test_every_route_refuses_what_it_does_not_know(
    shared_service: Running, method: str, path: str, known: list[str]
) -> None:
    place = re.sub(r"\{\w+\}", "9", path.replace("{feedback}", "0" * 32))
    answer = shared_service.client.request(method, f"{place}?zzzzzz=1", content=b"no JSON")
    (error,) = assert_problem(answer, 422, "invalid_value")["errors"]
    told = f"known: {', '.join(sorted(known))}" if known else "there is none here: leave it out"
    assert error == {"pointer": "zzzzzz", "detail": f"unknown query parameter; {told}"}


def test_the_routes_of_other_servers_take_what_their_clients_send(shared_service: Running) -> None:
    assert len(OURS) == 56
    client = shared_service.client
    assert client.post("/v1/embeddings?api-version=1", json={"model": "tiny", "input": "a"}).status_code == 200
    for path in ("/v1/models?x=1", "/info?x=1", "/health?x=1", "/livez?x=1", "/metrics?x=1"):
        assert client.get(path).status_code == 200, path


def test_a_misspelt_dry_run_imports_nothing(shared_service: Running) -> None:
    client, place = shared_service.client, f"/v1/collections/{make_collection(shared_service)}"
    upload: dict[str, Any] = {
        "content": json.dumps({"id": "r1", "text": "a"}).encode(),
        "headers": {"Content-Type": "application/x-ndjson"},
    }
    refused = client.post(f"{place}/imports?dry-run=true", **upload)
    assert assert_problem(refused, 422, "invalid_value")["detail"] == (
        "dry-run: unknown query parameter; known: columns, dry_run, max_rejected; did you mean dry_run?"
    )
    assert client.get("/v1/jobs", params={"collection": place.rsplit("/", 1)[1]}).json()["items"] == []
    assert client.get(f"{place}/records").json()["items"] == []
    assert client.post(f"{place}/imports?dry_run=true", **upload).status_code == 202


def test_the_short_ways_refuse_it_too(shared_service: Running) -> None:
    client, place = shared_service.client, f"/v1/collections/{make_collection(shared_service)}"
    put = client.put(f"{place}/records/r1?wiat=visible", json={"text": "a"})
    assert "known: wait; did you mean wait?" in assert_problem(put, 422, "invalid_value")["detail"]
    assert_problem(client.put(f"{place}/records/r1?wait=visible&x=1", json={"text": "a"}), 422, "invalid_value")
    assert client.get(f"{place}/records/r1").status_code == 404
    assert client.put(f"{place}/records/r1?wait=visible", json={"text": "a"}).json()["visible"] is True
    for verb, body in (("search", {"query": "a"}), ("classify", {"text": "a"})):
        assert client.post(f"{place}:{verb}?", json=body).status_code == 200
        assert client.post(f"{place}:{verb}?&", json=body).status_code == 200
        refused = client.post(f"{place}:{verb}?k=3", json=body)
        assert "unknown query parameter" in assert_problem(refused, 422, "invalid_value")["detail"]


def test_several_are_all_named_and_long_names_are_cut(shared_service: Running) -> None:
    query = "limt=3&cursr=x&=1&" + "x" * 200
    answer = shared_service.client.get(f"/v1/collections?{query}")
    errors = assert_problem(answer, 422, "invalid_value")["errors"]
    assert [error["pointer"] for error in errors] == ["limt", "cursr", "", "x" * 64]
    assert [error["detail"].partition("did you mean ")[2] for error in errors] == ["limit?", "cursor?", "", ""]
