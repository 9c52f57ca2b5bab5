"""What the tests of imports share: sending a file, waiting for its job, reading what came of it."""

import json
from typing import Any

import httpx

from tests.fakes.running import Running, wait_for

OVER = ("succeeded", "failed", "cancelled")


def upload(
    service: Running, name: str, body: Any, kind: str = "application/x-ndjson", **options: Any
) -> httpx.Response:
    headers = {"Content-Type": kind, **options.pop("headers", {})}
    return service.client.post(f"/v1/collections/{name}/imports", content=body, headers=headers, params=options)


def finished(service: Running, answer: httpx.Response, timeout_s: float = 60.0) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    place = answer.headers["Location"]

    def job() -> dict[str, Any]:
        found: dict[str, Any] = service.client.get(place).json()
        return found

    wait_for(lambda: job()["state"] in OVER, timeout_s)
    return job()


def n_stored(job: dict[str, Any]) -> int:
    """Rows that an import is done with while it stores them."""
    return int(job["progress"]["done"]) if job["progress"]["stage"] == "storing" else 0


def results_of(service: Running, job: dict[str, Any]) -> list[dict[str, Any]]:
    answer = service.client.get(f"/v1/jobs/{job['id']}/results")
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def records_of(service: Running, name: str) -> dict[str, dict[str, Any]]:
    found, cursor = [], None
    while True:
        page = service.client.get(
            f"/v1/collections/{name}/records", params={"limit": 1000} | ({"cursor": cursor} if cursor else {})
        ).json()
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return {record["id"]: record for record in found}


def ndjson(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)
