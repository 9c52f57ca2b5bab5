"""The life of a key: made, used, rotated, revoked; on both databases, by several servers and callers at once."""

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.access import keyring
from app.access import service as access_service
from app.access.scopes import EVERY_SCOPE, KeyScope
from app.container import build
from app.errors import BorrowedKeyError
from app.settings import Settings
from tests.conftest import add_encoder, make_collection, postgres_settings
from tests.fakes.keys import ADMIN, Made, bearer, make_key
from tests.fakes.problems import assert_problem
from tests.fakes.running import Running, make_settings, running, wait_for

KEYS = "/v1/api-keys"


def status(service: Running, key: str, path: str = "/v1/info") -> int:
    """What is answered with a key."""
    return service.client.get(path, headers=bearer(key)).status_code


def rows_of(service: Running, statement: str) -> list[Any]:
    """Straight from the database."""
    return list(service.container.database.read(lambda session: session.execute(text(statement)).all()))


def test_made_listed_rotated_and_revoked(registered: Settings) -> None:
    with running(registered.model_copy(update={"api_key": None}), headers={}) as service:
        client = service.client
        assert client.get(KEYS).json() == {"items": [], "next_cursor": None}
        wanted = {"name": "运营", "scopes": ["data:read", "admin", "admin"], "rate_limit": 500, "rate_burst": 5000}
        made = client.post(KEYS, json=wanted)  # the first one: nobody had a key
        assert made.status_code == 201
        body = made.json()
        assert made.headers["location"] == f"{KEYS}/{body['id']}"
        prefix, key_id, secret = body["key"].split("_")
        assert (prefix, key_id, len(bytes.fromhex(secret))) == ("sms", body["id"], 32)
        assert body["scopes"] == ["data:read", "admin"]
        assert (body["name"], body["collections"], body["created_by"]) == ("运营", None, "anonymous")
        assert client.get("/v1/info").status_code == 401, "from the first key on, one is wanted"
        key = bearer(body["key"])

        stored = rows_of(service, "SELECT digest, old_digest FROM api_keys")
        assert [(bytes(row[0]), row[1]) for row in stored] == [(hashlib.sha256(secret.encode()).digest(), None)]
        listed = client.get(KEYS, headers=key).json()["items"]
        assert listed == [client.get(f"{KEYS}/{key_id}", headers=key).json()]
        assert listed[0] == {name: value for name, value in body.items() if name != "key"}
        assert secret not in client.get(KEYS, headers=key).text

        second = client.post(KEYS, json={"name": "bot", "scopes": ["search"]}, headers=key).json()
        assert second["created_by"] == f"key {key_id}"
        rotated = client.post(f"{KEYS}/{second['id']}:rotate", json={}, headers=key).json()
        assert (status(service, second["key"]), status(service, rotated["key"])) == (401, 200)
        assert (rotated["id"], rotated["old_secret_until"] is None) == (second["id"], True)

        for _ in range(2):  # the second time it stays as it is
            assert client.delete(f"{KEYS}/{second['id']}", headers=key).status_code == 204
        assert status(service, rotated["key"]) == 401
        assert client.get(f"{KEYS}/{second['id']}", headers=key).json()["revoked_at"] is not None
        again = client.post(f"{KEYS}/{second['id']}:rotate", json={}, headers=key)
        assert "is revoked" in assert_problem(again, 409, "conflict")["detail"]
        assert client.post(KEYS, json={"name": "bot", "scopes": ["search"]}, headers=key).status_code == 201
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", ":rotate")):
            answer = client.request(method, f"{KEYS}/0000000000000000{path}", json={}, headers=key)
            assert_problem(answer, 404, "not_found")
        first = client.get(f"{KEYS}?limit=1", headers=key).json()
        assert [item["name"] for item in first["items"]] == ["运营"]
        rest = client.get(f"{KEYS}?cursor={first['next_cursor']}", headers=key).json()
        assert [item["name"] for item in rest["items"]] == ["bot", "bot"]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Any:
    """A service that wants a key."""
    settings = make_settings(tmp_path_factory.mktemp("keys") / "data", api_key=ADMIN)
    add_encoder(settings, tiny_bundle)
    with running(settings) as started:
        yield started


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": ""}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["everything"]}, "/scopes/0"),
        ({"scopes": ["admin"], "collections": ["faq"]}, "the scope admin is about no collection"),
        ({"collections": []}, "/collections"),
        ({"collections": ["No Name"]}, "/collections/0"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "is over: give a moment to come"),
        ({"expires_at": "2101-01-01T00:00:00"}, "has no zone"),
        ({"expires_at": "9999-12-31T23:59:59-12:00"}, "/expires_at"),
        ({"rate_limit": 0}, "/rate_limit"),
        ({"rate_burst": 0}, "/rate_burst"),
        ({"secret": "mine"}, "/secret"),
    ],
)
def test_what_is_no_key_is_refused_with_its_reason(guarded: Running, change: dict[str, Any], said: str) -> None:
    body = {"name": "n", "scopes": ["search"], **change}
    problem = assert_problem(guarded.client.post(KEYS, json=body, headers=bearer(ADMIN)), 422, "invalid_value")
    assert said in str(problem)


def test_the_old_secret_is_good_as_long_as_was_said(guarded: Running) -> None:
    first = make_key(guarded, "rotating", KeyScope.SEARCH)

    def rotate(grace_s: int) -> str:
        answer = guarded.client.post(f"{KEYS}/{first.id}:rotate", json={"grace_s": grace_s}, headers=bearer(ADMIN))
        return str(answer.json()["key"])

    second = rotate(60)
    assert [status(guarded, key) for key in (first.key, second)] == [200, 200]
    third = rotate(3600)
    assert [status(guarded, key) for key in (first.key, second, third)] == [401, 200, 200], "one old secret at most"
    fourth = rotate(1)
    time.sleep(1.0)
    assert [status(guarded, key) for key in (third, fourth)] == [401, 200]
    guarded.client.delete(f"{KEYS}/{first.id}", headers=bearer(ADMIN))
    assert status(guarded, fourth) == 401


def test_a_key_of_one_collection_sees_no_other(guarded: Running) -> None:
    guarded.client.headers.update(bearer(ADMIN))
    own, other = make_collection(guarded), make_collection(guarded)
    jobs = {name: guarded.client.post(f"/v1/collections/{name}/exports", json={}).json()["id"] for name in (own, other)}
    guarded.client.headers.pop("Authorization")
    key = make_key(guarded, "tenant", KeyScope.DATA_READ, KeyScope.DATA_WRITE, collections=[own])

    def get(path: str) -> Any:
        return guarded.client.get(path, headers=key.headers)

    assert [item["name"] for item in get("/v1/collections").json()["items"]] == [own]
    assert [item["id"] for item in get("/v1/jobs").json()["items"]] == [jobs[own]]
    assert get(f"/v1/jobs?collection={other}").json()["items"] == []
    assert get(f"/v1/collections/{own}").status_code == 200
    assert get(f"/v1/jobs/{jobs[own]}").status_code == 200
    assert_problem(get(f"/v1/jobs/{jobs[other]}"), 404, "not_found")
    assert guarded.client.delete(f"/v1/jobs/{jobs[other]}", headers=key.headers).status_code == 404
    there = assert_problem(get(f"/v1/collections/{other}"), 403, "forbidden")["detail"]
    missing = assert_problem(get("/v1/collections/nowhere"), 403, "forbidden")["detail"]
    assert there.replace(f"'{other}'", "'nowhere'") == missing, "nobody learns whether it is there"


def test_a_key_of_one_collection_is_not_told_which_encoders_there_are(guarded: Running) -> None:
    """Their names are those of the collections that they were trained for."""
    guarded.client.headers.update(bearer(ADMIN))
    own = make_collection(guarded)
    guarded.client.headers.pop("Authorization")
    of_one = make_key(guarded, "releasing one", KeyScope.RELEASE, collections=[own])
    of_all = make_key(guarded, "releasing all", KeyScope.RELEASE)

    def add(key: Made) -> Any:
        place = f"/v1/collections/{own}/releases"
        answer = guarded.client.post(place, json={"encoder": "nowhere"}, headers=key.headers)
        return assert_problem(answer, 422, "invalid_value")

    assert "registered are tiny" in add(of_all)["detail"]
    told = add(of_one)
    assert "there is no encoder 'nowhere'" in told["detail"]
    assert "tiny" not in str(told)


def test_trainings_that_order_themselves_take_the_scope_that_orders_them(guarded: Running) -> None:
    writer = make_key(guarded, "writer", KeyScope.DATA_WRITE)
    trainer = make_key(guarded, "trainer", KeyScope.DATA_WRITE, KeyScope.TRAIN)
    place = "/v1/collections/trained-by-itself"
    body = {"name": "trained-by-itself", "encoder": "tiny"}

    def post(key: Made, **fields: Any) -> Any:
        return guarded.client.post("/v1/collections", json={**body, **fields}, headers=key.headers)

    def patch(key: Made, **fields: Any) -> Any:
        return guarded.client.patch(place, json=fields, headers=key.headers)

    refused = [post(writer, auto_retrain_after=1)]
    assert post(trainer).status_code == 201
    refused.append(patch(writer, auto_retrain_after=1))
    for answer in refused:
        detail = assert_problem(answer, 403, "forbidden")["detail"]
        assert detail.startswith("auto_retrain_after: ") and "lacks the scope train" in detail
    assert patch(writer, description="questions").json()["auto_retrain_after"] is None
    assert patch(trainer, auto_retrain_after=5).json()["auto_retrain_after"] == 5
    assert patch(writer, description="others").json()["auto_retrain_after"] == 5
    assert patch(writer, auto_retrain_after=None).json()["auto_retrain_after"] is None
    guarded.client.delete(place, headers=writer.headers)
    assert post(trainer, auto_retrain_after=2).json()["auto_retrain_after"] == 2


def test_when_a_key_was_used_is_written_now_and_then(guarded: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    key = make_key(guarded, "used", KeyScope.SEARCH)

    def last_used() -> str | None:
        return guarded.client.get(f"{KEYS}/{key.id}", headers=bearer(ADMIN)).json()["last_used_at"]

    before = datetime.now(UTC)
    assert status(guarded, key.key) == 200
    assert last_used() is None, "not on the way of the request"
    monkeypatch.setattr(keyring, "TOUCH_S", 0.0)
    wait_for(lambda: last_used() is not None)
    at = datetime.fromisoformat(str(last_used()))
    assert before <= at <= datetime.now(UTC)
    time.sleep(2 * keyring.RELOAD_S)
    assert datetime.fromisoformat(str(last_used())) == at, "what was not used is not written again"


def test_names_are_taken_once_however_many_ask_at_the_same_moment(registered: Settings) -> None:
    with running(registered.model_copy(update={"api_key": SecretStr(ADMIN)})) as service:

        def create(number: int) -> int:
            body = {"name": f"name {number % 4}", "scopes": ["search"]}
            return service.client.post(KEYS, json=body, headers=bearer(ADMIN)).status_code

        with ThreadPoolExecutor(12) as pool:
            statuses = list(pool.map(create, range(24)))
        assert sorted(set(statuses)) == [201, 409]
        assert statuses.count(201) == 4
        found = service.client.get(KEYS, headers=bearer(ADMIN)).json()["items"]
        assert sorted(item["name"] for item in found) == [f"name {n}" for n in range(4)]
        key = make_key(service, "rotated by all", KeyScope.SEARCH)

        def rotate(_: int) -> str:
            return str(service.client.post(f"{KEYS}/{key.id}:rotate", json={}, headers=bearer(ADMIN)).json()["key"])

        with ThreadPoolExecutor(8) as pool:
            secrets = list(pool.map(rotate, range(8)))
        assert len(set(secrets)) == 8
        assert sorted(status(service, secret) for secret in secrets) == [200] + [401] * 7


@pytest.mark.parametrize("what", ["revoke", "rotate"])
def test_another_server_on_the_database_hears_of_it_within_five_seconds(
    postgres: str, tmp_path: Path, tiny_bundle: Path, what: str
) -> None:
    settings = postgres_settings(postgres, tmp_path / "data").model_copy(update={"api_key": SecretStr(ADMIN)})
    add_encoder(settings, tiny_bundle)
    with running(settings) as one, running(settings) as two:
        key = make_key(one, "everywhere", *EVERY_SCOPE)
        wait_for(lambda: status(two, key.key) == 200, 5.0)
        started = time.monotonic()
        if what == "revoke":
            assert two.client.delete(f"{KEYS}/{key.id}", headers=bearer(ADMIN)).status_code == 204
        else:
            two.client.post(f"{KEYS}/{key.id}:rotate", json={}, headers=bearer(ADMIN))
        assert status(two, key.key) == 401, "where it was done, at once"
        wait_for(lambda: status(one, key.key) == 401, 5.0)
        assert time.monotonic() - started < 5.0


def test_a_server_is_not_given_a_clients_key(registered: Settings) -> None:
    """The commands take a key from the same variable as the server, which would let that key do everything."""
    settings = registered.model_copy(update={"api_key": SecretStr(ADMIN)})
    with running(settings) as service:
        key = make_key(service, "bot", KeyScope.SEARCH)
        assert status(service, key.key, "/v1/audit") == 403
        assert service.client.delete(f"{KEYS}/{key.id}", headers=bearer(ADMIN)).status_code == 204
    borrowing = registered.model_copy(update={"api_key": SecretStr(key.key)})
    with pytest.raises(BorrowedKeyError, match=rf"{key.id}.* start without the variable, or set another one"):
        build(borrowing)
    others = f"sms_{'0' * 16}_{'1' * 64}"
    with running(registered.model_copy(update={"api_key": SecretStr(others)})) as service:
        assert status(service, others, "/v1/audit") == 200


def test_no_more_keys_than_are_held_in_memory(guarded: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest that is of no use any more makes room; where all are good, the operator must."""
    dead = make_key(guarded, "dead", KeyScope.SEARCH)
    guarded.client.delete(f"{KEYS}/{dead.id}", headers=bearer(ADMIN))
    n_keys = len(guarded.client.get(KEYS, headers=bearer(ADMIN), params={"limit": 1000}).json()["items"])
    monkeypatch.setattr(access_service, "MOST_KEYS", n_keys)
    while True:
        answer = guarded.client.post(KEYS, json={"name": f"n{n_keys}", "scopes": ["search"]}, headers=bearer(ADMIN))
        if answer.status_code != 201:
            break
        n_keys += 1
    assert "revoke one that nobody needs" in assert_problem(answer, 409, "conflict")["detail"]
    left = guarded.client.get(KEYS, headers=bearer(ADMIN), params={"limit": 1000}).json()["items"]
    assert dead.id not in {item["id"] for item in left}
    assert all(item["revoked_at"] is None for item in left)


def test_a_key_expires_by_itself(guarded: Running) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=3)
    key: Made = make_key(guarded, "soon over", KeyScope.SEARCH, expires_at=soon.isoformat())
    assert status(guarded, key.key) == 200
    time.sleep(max(0.0, (soon - datetime.now(UTC)).total_seconds()))
    assert status(guarded, key.key) == 401
    rotated = guarded.client.post(f"{KEYS}/{key.id}:rotate", json={}, headers=bearer(ADMIN))
    assert "is expired" in assert_problem(rotated, 409, "conflict")["detail"]
