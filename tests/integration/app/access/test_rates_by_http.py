"""What each route counts against the rate of its key, and what a client is told that sends too much."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.access.scopes import EVERY_SCOPE
from tests.conftest import add_encoder
from tests.fakes.keys import ADMIN, bearer, make_key
from tests.fakes.problems import assert_problem
from tests.fakes.running import Running, make_settings, running

C = "/v1/collections/faq"
RATE = 0.01  # an item comes back in 100 s: none does during a test


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Running]:
    settings = make_settings(tmp_path_factory.mktemp("rates") / "data", api_key=ADMIN, rate_limit=1e6, rate_burst=10**6)
    add_encoder(settings, tiny_bundle)
    with running(settings) as started:
        wanted = {"name": "faq", "encoder": "tiny"}
        assert started.client.post("/v1/collections", json=wanted, headers=bearer(ADMIN)).status_code == 201
        yield started


def upserts(n: int) -> dict[str, Any]:
    return {"upsert": [{"id": f"r{i}", "text": "a sentence"} for i in range(n)], "delete": ["gone"]}


REQUESTS: dict[str, tuple[int, Callable[[httpx.Client], httpx.Response]]] = {
    "search one": (1, lambda c: c.post(f"{C}:search", json={"query": "a"})),
    "search": (3, lambda c: c.post(f"{C}:search", json={"queries": ["a", "b", "c"]})),
    "search, long way": (3, lambda c: c.post(f"{C}:search?&", json={"queries": ["a", "b", "c"]})),
    "classify": (4, lambda c: c.post(f"{C}:classify", json={"texts": ["a", "b", "c", "d"]})),
    "similarity": (
        3,
        lambda c: c.post("/v1/similarity", json={"encoder": "tiny", "source": "a", "targets": ["b", "c"]}),
    ),
    "batch": (6, lambda c: c.post(f"{C}/records:batch", json=upserts(5))),
    "put": (1, lambda c: c.put(f"{C}/records/r", json={"text": "a sentence"})),
    "list": (1, lambda c: c.get(f"{C}/records")),
    "what is refused": (1, lambda c: c.post(f"{C}:search", json={"queries": []})),
    "no route": (1, lambda c: c.get("/nowhere")),
    "open": (0, lambda c: c.get("/livez")),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_what_a_request_counts(service: Running, name: str) -> None:
    """A bucket of ten: after it, just as many single requests pass as are left."""
    items, ask = REQUESTS[name]
    key = make_key(service, name, *EVERY_SCOPE, rate_limit=RATE, rate_burst=10)
    with httpx.Client(base_url=service.url, headers=key.headers) as client:
        assert ask(client).status_code != 429
        statuses = [client.get("/v1/info").status_code for _ in range(11 - items)]
        assert statuses == [200] * (10 - items) + [429]
        refused = client.get("/v1/info")
        detail = assert_problem(refused, 429, "rate_limited")["detail"]
        assert "0.01 items a second, 10 at once" in detail
        assert 90 <= int(refused.headers["retry-after"]) <= 100
        assert client.get("/livez").status_code == 200


def test_what_is_refused_was_not_done(service: Running) -> None:
    key = make_key(service, "too large a batch", *EVERY_SCOPE, rate_limit=RATE, rate_burst=10)
    with httpx.Client(base_url=service.url, headers=key.headers) as client:
        for _ in range(5):
            assert client.get("/v1/info").status_code == 200
        body = {"upsert": [{"id": f"late{i}", "text": "a sentence"} for i in range(8)]}
        assert_problem(client.post(f"{C}/records:batch", json=body), 429, "rate_limited")
    assert service.client.get(f"{C}/records/late0", headers=bearer(ADMIN)).status_code == 404


def test_it_may_be_repeated_after_what_was_said_and_others_are_not_held_up(service: Running) -> None:
    key = make_key(service, "quick", *EVERY_SCOPE, rate_limit=4, rate_burst=2)
    with httpx.Client(base_url=service.url, headers=key.headers) as client:
        while (answer := client.get("/v1/info")).status_code == 200:
            pass
        assert service.client.get("/v1/info", headers=bearer(ADMIN)).status_code == 200
        time.sleep(int(answer.headers["retry-after"]))
        assert client.get("/v1/info").status_code == 200


def test_the_settings_hold_for_keys_that_say_nothing_and_a_change_elsewhere_refills_nothing(
    tmp_path: Path, tiny_bundle: Path
) -> None:
    settings = make_settings(tmp_path / "data", api_key=ADMIN, rate_limit=RATE, rate_burst=5)
    with running(settings) as service:
        key = make_key(service, "plain", *EVERY_SCOPE)
        make_key(service, "another", *EVERY_SCOPE)  # loads all keys anew
        statuses = [service.client.get("/v1/info", headers=key.headers).status_code for _ in range(3)]
        make_key(service, "a third", *EVERY_SCOPE)
        statuses += [service.client.get("/v1/info", headers=key.headers).status_code for _ in range(3)]
        assert statuses == [200] * 5 + [429]
        statuses = [service.client.get("/v1/info", headers=bearer(ADMIN)).status_code for _ in range(3)]
        assert statuses == [200, 200, 429], "the key of the settings is one too: it made three keys before"
