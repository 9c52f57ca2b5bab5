"""Every route of the app, with every kind of key: none is forgotten, and each says what it must."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Request, Response

from app import main
from app.access.declaring import declared_routes, open_to_all, requires
from app.access.scopes import EVERY_SCOPE, KeyScope
from app.errors import UndeclaredRouteError
from tests.conftest import add_encoder
from tests.fakes.keys import ADMIN, Made, bearer, make_key
from tests.fakes.problems import assert_problem
from tests.fakes.running import Running, make_settings, running, wait_for

OPEN = "open"
ANY = "any key"
READ, WRITE = KeyScope.DATA_READ, KeyScope.DATA_WRITE
ORDERS = {WRITE, KeyScope.TRAIN, KeyScope.RELEASE}
C = "/v1/collections/{collection}"

# Written by hand: what the operator was promised, not what the code declares. Of each operation the scopes any of which
# allow it, and what a key of another collection is answered.
PROMISED: dict[str, tuple[str | set[KeyScope], int | None]] = {
    f"POST {C}:search": ({KeyScope.SEARCH}, 403),
    f"POST {C}:classify": ({KeyScope.CLASSIFY}, 403),
    "POST /v1/similarity": ({KeyScope.ENCODE}, None),
    f"GET {C}/records": ({READ}, 403),
    f"GET {C}/records/{{record}}": ({READ}, 403),
    f"PUT {C}/records/{{record}}": ({WRITE}, 403),
    f"DELETE {C}/records/{{record}}": ({WRITE}, 403),
    f"POST {C}/records:batch": ({WRITE}, 403),
    f"POST {C}/records:erase": ({WRITE}, 403),
    f"GET {C}/groups": ({READ}, 403),
    f"GET {C}/groups/{{group}}": ({READ}, 403),
    f"PUT {C}/groups/{{group}}": ({WRITE}, 403),
    f"PATCH {C}/groups/{{group}}": ({WRITE}, 403),
    f"DELETE {C}/groups/{{group}}": ({WRITE}, 403),
    f"GET {C}/releases": ({READ}, 403),
    f"GET {C}/releases/{{number}}": ({READ}, 403),
    f"POST {C}/releases": ({KeyScope.RELEASE}, 403),
    f"GET {C}/releases/{{number}}/report": ({READ}, 403),
    f"GET {C}/releases/{{number}}/shadow": ({KeyScope.RELEASE}, 403),
    f"POST {C}/releases/{{number}}:promote": ({KeyScope.RELEASE}, 403),
    f"POST {C}/releases/{{number}}:rollback": ({KeyScope.RELEASE}, 403),
    f"POST {C}/releases/{{number}}:shadow": ({KeyScope.RELEASE}, 403),
    f"GET {C}/release-events": ({READ}, 403),
    f"POST {C}/trainings": ({KeyScope.TRAIN}, 403),
    f"POST {C}/feedback": ({KeyScope.FEEDBACK}, 403),
    f"GET {C}/feedback": ({READ}, 403),
    f"GET {C}/feedback/clusters": ({READ}, 403),
    f"GET {C}/feedback/{{feedback}}": ({READ}, 403),
    f"PATCH {C}/feedback/{{feedback}}": ({WRITE}, 403),
    f"DELETE {C}/feedback/{{feedback}}": ({WRITE}, 403),
    f"POST {C}/feedback:resolve": ({WRITE}, 403),
    f"POST {C}/feedback:erase": ({WRITE}, 403),
    f"POST {C}/imports": ({WRITE}, 403),
    f"POST {C}/exports": ({READ}, 403),
    "GET /v1/jobs": ({READ, *ORDERS}, 200),
    "GET /v1/jobs/{job}": ({READ, *ORDERS}, 404),
    "DELETE /v1/jobs/{job}": (ORDERS, 404),
    "GET /v1/jobs/{job}/events": ({READ, *ORDERS}, 404),
    "GET /v1/jobs/{job}/results": ({READ, WRITE}, 404),
    "GET /v1/jobs/{job}/file": ({READ}, 404),
    "GET /v1/collections": ({READ}, 200),
    "POST /v1/collections": ({WRITE}, 403),
    f"GET {C}": ({READ}, 403),
    f"PATCH {C}": ({WRITE}, 403),
    f"DELETE {C}": ({WRITE}, 403),
    f"POST {C}:compact": ({WRITE}, 403),
    f"POST {C}:rebuild": ({WRITE}, 403),
    "GET /v1/encoders": ({READ}, 403),
    "GET /v1/encoders/{sha}": ({READ}, 403),
    "GET /v1/api-keys": ({KeyScope.ADMIN}, None),
    "POST /v1/api-keys": ({KeyScope.ADMIN}, None),
    "GET /v1/api-keys/{key}": ({KeyScope.ADMIN}, None),
    "DELETE /v1/api-keys/{key}": ({KeyScope.ADMIN}, None),
    "POST /v1/api-keys/{key}:rotate": ({KeyScope.ADMIN}, None),
    "GET /v1/audit": ({KeyScope.ADMIN}, None),
    "POST /v1/embeddings": ({KeyScope.ENCODE}, None),
    "GET /v1/models": ({KeyScope.ENCODE}, None),
    "GET /v1/models/{model}": ({KeyScope.ENCODE}, None),
    "POST /embed": ({KeyScope.ENCODE}, None),
    "POST /": ({KeyScope.ENCODE}, None),
    "POST /similarity": ({KeyScope.ENCODE}, None),
    "POST /rerank": ({KeyScope.ENCODE}, None),
    "GET /info": ({KeyScope.ENCODE}, None),
    "GET /health": (OPEN, 200),
    "GET /": (OPEN, 307),
    "GET /v1/info": (ANY, 200),
    "GET /metrics": ({KeyScope.METRICS}, None),
    "GET /livez": (OPEN, 200),
    "GET /readyz": (OPEN, 200),
}

NAMES = {
    "collection": "faq",
    "record": "nothing",
    "group": "nothing",
    "number": "9",
    "feedback": "0" * 32,
    "sha": "nothing",
    "model": "nothing",
    "key": "nothing",
}
# These tell errors as other servers do.
FOREIGN = {"/v1/embeddings", "/v1/models", "/v1/models/{model}", "/embed", "/", "/similarity", "/rerank", "/info"}

# Another path to the same endpoint: what the short way takes, and what it hands on.
LONG_WAYS = {f"POST {C}:search": "?&", f"PUT {C}/records/{{record}}": "?wait=committed&"}


@dataclass(frozen=True, slots=True)
class World:
    """A service, a job in it, and keys of every kind."""

    service: Running
    job: str
    expired: Made
    revoked: Made
    by_scope: dict[KeyScope, Made]
    without: dict[KeyScope, Made]
    elsewhere: Made

    def ask(self, operation: str, headers: dict[str, str], query: str = "") -> Any:
        """Ask with what is not to change anything: nothing of that name is there, or the body is wrong."""
        method, path = operation.split()
        path = path.format(**NAMES, job=self.job) + query
        seen = {"If-Match": '"99"'}  # a version that nothing has
        return self.service.client.request(method, path, headers=headers | seen, content=b"no JSON")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[World]:
    settings = make_settings(tmp_path_factory.mktemp("access") / "data", api_key=ADMIN, workers=0)
    add_encoder(settings, tiny_bundle)
    with running(settings) as service:
        for name in ("faq", "other"):
            wanted = {"name": name, "encoder": "tiny"}
            assert service.client.post("/v1/collections", json=wanted, headers=bearer(ADMIN)).status_code == 201
        job = service.client.post("/v1/collections/faq/exports", json={}, headers=bearer(ADMIN)).json()["id"]
        assert service.client.delete(f"/v1/jobs/{job}", headers=bearer(ADMIN)).json()["state"] == "cancelled"
        soon = datetime.now(UTC) + timedelta(seconds=0.5)
        expired = make_key(service, "expired", *EVERY_SCOPE, expires_at=soon.isoformat())
        revoked = make_key(service, "revoked", *EVERY_SCOPE)
        url = f"/v1/api-keys/{revoked.id}"
        assert service.client.delete(url, headers=bearer(ADMIN)).status_code == 204
        of_collections = EVERY_SCOPE - {KeyScope.ENCODE, KeyScope.ADMIN, KeyScope.METRICS}
        found = World(
            service=service,
            job=job,
            expired=expired,
            revoked=revoked,
            by_scope={scope: make_key(service, scope, scope) for scope in KeyScope},
            without={scope: make_key(service, f"not {scope}", *(EVERY_SCOPE - {scope})) for scope in KeyScope},
            elsewhere=make_key(service, "elsewhere", *of_collections, collections=["other"]),
        )
        time.sleep(max(0.0, (soon - datetime.now(UTC)).total_seconds()))
        yield found


def test_no_route_is_forgotten() -> None:
    routes = declared_routes(main.bare_app())
    assert sorted(f"{method} {route.path}" for route in routes for method in route.methods) == sorted(PROMISED)


def test_what_is_declared_is_named_like_the_operation() -> None:
    """The audit log and the document call an action by the same name."""
    for router in (route.original_router for route in main.bare_app().routes if hasattr(route, "original_router")):
        for route in router.routes:
            assert route.endpoint.__name__ == route.operation_id


@pytest.mark.parametrize("operation", PROMISED)
def test_every_route_wants_the_right_key(world: World, operation: str) -> None:
    scopes, elsewhere = PROMISED[operation]
    query = LONG_WAYS.get(operation)
    for ending in ("",) if query is None else ("", query):
        check_bad_keys(world, operation, ending, opened=elsewhere if scopes == OPEN else None)
        check_scopes(world, operation, ending, set(KeyScope) if isinstance(scopes, str) else scopes)
        if elsewhere is not None:
            answer = world.ask(operation, world.elsewhere.headers, ending)
            assert answer.status_code == elsewhere
            if elsewhere == 403:
                assert "faq" in answer.json()["detail"] or "for all of them" in answer.json()["detail"]
            elif operation in ("GET /v1/collections", "GET /v1/jobs"):
                assert {item.get("name", item.get("collection")) for item in answer.json()["items"]} <= {"other"}


def told(answer: Any, operation: str, status: int, code: str) -> str:
    """Why a request was refused, in the form of its route."""
    path = operation.split()[1]
    if path not in FOREIGN:
        return str(assert_problem(answer, status, code)["detail"])
    assert answer.status_code == status
    error = answer.json()["error"]
    return str(error["message"] if isinstance(error, dict) else error)


def check_bad_keys(world: World, operation: str, ending: str, *, opened: int | None) -> None:
    """Refused, or answered with this status where no key is wanted."""
    bad = {
        "no key": {},
        "no scheme": {"Authorization": world.by_scope[KeyScope.ADMIN].key},
        "wrong": bearer("sms_0123456789abcdef_" + "0" * 64),
        "wrong secret": bearer(world.by_scope[KeyScope.ADMIN].key[:-1] + "x"),
        "another's secret": bearer(f"sms_{world.expired.id}_{world.revoked.key.split('_')[2]}"),
        "expired": world.expired.headers,
        "revoked": world.revoked.headers,
    }
    for what, headers in bad.items():
        answer = world.ask(operation, headers, ending)
        if opened is not None:
            assert answer.status_code == opened, what
            continue
        detail = told(answer, operation, 401, "unauthorised")
        assert answer.headers["www-authenticate"] == 'Bearer realm="samesay"'
        said = {"no key": "wants a key", "no scheme": "wants a key", "expired": "expired", "revoked": "revoked"}
        assert said.get(what, "the key is wrong") in detail


def check_scopes(world: World, operation: str, ending: str, scopes: set[KeyScope]) -> None:
    """One of the scopes alone is enough, and all the others together are not."""
    for scope in KeyScope:
        answer = world.ask(operation, world.by_scope[scope].headers, ending)
        if scope in scopes:
            assert answer.status_code not in (401, 403, 500), (scope, answer.text)
        else:
            detail = told(answer, operation, 403, "forbidden")
            assert all(wanted in detail for wanted in scopes), detail
    if len(scopes) == 1:
        (scope,) = scopes
        answer = world.ask(operation, world.without[scope].headers, ending)
        assert f"lacks the scope {scope}" in told(answer, operation, 403, "forbidden")


def test_what_is_no_route_wants_a_key_all_the_same(world: World) -> None:
    for method, path, status in (("GET", "/nowhere", 404), ("PUT", "/v1/info", 405), ("GET", "/redoc", 404)):
        assert world.service.client.request(method, path).status_code == 401
        anyone = world.by_scope[KeyScope.FEEDBACK].headers
        assert world.service.client.request(method, path, headers=anyone).status_code == status
    for method in ("GET", "HEAD"):
        root = world.service.client.request(method, "/")
        assert (root.status_code, root.headers["location"]) == (307, "/docs")
    assert "get" not in main.bare_app().openapi()["paths"]["/"]
    for path in ("/docs", "/openapi.json"):
        assert world.service.client.get(path).status_code == 200
        assert world.service.client.head(path).status_code == 200
        assert world.service.client.post(path).status_code == 401


def test_refusals_are_counted(world: World) -> None:
    client = world.service.client

    def count(reason: str) -> float:
        text = client.get("/metrics", headers=world.by_scope[KeyScope.METRICS].headers).text
        line = f'samesay_requests_refused_total{{reason="{reason}"}} '
        return sum(float(row.removeprefix(line)) for row in text.splitlines() if row.startswith(line))

    asked = {
        "no_key": {},
        "wrong_key": bearer("nonsense"),
        "expired": world.expired.headers,
        "revoked": world.revoked.headers,
        "scope": world.without[KeyScope.DATA_READ].headers,
        "collection": world.elsewhere.headers,
    }
    for reason, headers in asked.items():
        before = count(reason)
        assert world.ask(f"GET {C}", headers).status_code in (401, 403)
        wait_for(lambda reason=reason, before=before: count(reason) == before + 1)


def test_an_app_with_a_route_that_says_nothing_cannot_be_made(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    router = APIRouter()

    @router.get("/v1/new", operation_id="new")
    async def new(request: Request) -> Response:
        return Response(b"secrets")

    monkeypatch.setattr(main, "encoders", router)
    with pytest.raises(UndeclaredRouteError, match=r"/v1/new does not say who may use it: put @requires"):
        main.create_app(world.service.container)


@pytest.mark.parametrize("declare", [open_to_all, requires(KeyScope.ENCODE)])
def test_parameters_must_be_those_of_the_declaration(
    world: World, monkeypatch: pytest.MonkeyPatch, declare: Any
) -> None:
    router = APIRouter()
    declared = (
        declare(lambda request, collection: None) if declare is not open_to_all else declare(lambda request: None)
    )
    path = "/v1/new" if declare is not open_to_all else "/v1/new/{collection}"
    router.add_api_route(path, declared, operation_id="new")
    monkeypatch.setattr(main, "encoders", router)
    with pytest.raises(UndeclaredRouteError, match="has not the parameters"):
        main.create_app(world.service.container)


def test_what_slips_in_afterwards_is_not_answered(world: World, tmp_path: Path) -> None:
    """A route that was added past the check: its answer is held back, whatever it says."""
    app = main.create_app(world.service.container)
    app.add_route("/v1/sly", lambda request: Response(b"secrets"))

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get("/v1/sly", headers=bearer(ADMIN))

    answer = asyncio.run(ask())
    assert answer.status_code == 500
    assert "secrets" not in answer.text
