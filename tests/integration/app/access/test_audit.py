"""The audit log: whatever changes something is in it before it is answered, and no word of a sentence."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from app.access.scopes import EVERY_SCOPE, KeyScope
from app.audit.repository import AuditRepository
from app.audit.service import AuditService
from app.db.database import Database
from app.errors import OverloadedError
from app.http.cursors import Cursors
from app.settings import Settings
from tests.conftest import add_encoder, sqlite_only
from tests.fakes.keys import ADMIN, Made, bearer, make_key
from tests.fakes.problems import assert_problem
from tests.fakes.running import Running, make_settings, running

C = "/v1/collections/faq"
SECRET = "words that nobody else may read"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Running]:
    settings = make_settings(tmp_path_factory.mktemp("audit") / "data", api_key=ADMIN, workers=0)
    add_encoder(settings, tiny_bundle)
    with running(settings) as started:
        yield started


@pytest.fixture(scope="module")
def key(service: Running) -> Made:
    return make_key(service, "operator", *EVERY_SCOPE)


def entries(service: Running) -> list[dict[str, Any]]:
    """All, oldest first."""
    page = service.client.get("/v1/audit", params={"limit": 1000}, headers=bearer(ADMIN)).json()
    return list(reversed(page["items"]))


def test_what_changes_something_is_written_and_nothing_else_is(service: Running, key: Made) -> None:
    def ask(method: str, path: str, **options: Any) -> Any:
        return service.client.request(method, path, headers=key.headers, **options)

    def ids(answer: Any) -> str:
        return str(answer.json()["id"])

    before = len(entries(service))
    body = {"text": SECRET, "group": "g1"}
    expected = []

    def expect(action: str, answer: Any, collection: str | None = "faq", target: str | None = None) -> Any:
        assert answer.status_code < 400, answer.text
        expected.append(
            (f"key {key.id}", action, collection, target, answer.status_code, answer.headers["x-request-id"])
        )
        return answer

    created = ask("POST", "/v1/collections", json={"name": "faq", "encoder": "tiny"})
    expect("create_collection", created, None, "faq")
    for _ in range(2):
        assert ask("PUT", f"{C}/records/r1", json=body).status_code in (200, 201)
    assert ask("POST", f"{C}/records:batch", json={"upsert": [{"id": "r2", **body}]}).status_code == 200
    assert ask("POST", f"{C}:search", json={"query": SECRET}).status_code == 200
    assert ask("POST", f"{C}:classify", json={"text": SECRET}).status_code == 200
    assert ask("DELETE", f"{C}/records/r2").status_code == 204
    expect("change_collection", ask("PATCH", C, json={"description": SECRET}))
    expect("put_group", ask("PUT", f"{C}/groups/g2", json={"title": SECRET}), target="g2")
    expect("change_group", ask("PATCH", f"{C}/groups/g2", json={"title": "other"}), target="g2")
    expect("delete_group", ask("DELETE", f"{C}/groups/g2"), target="g2")
    expect("erase_records", ask("POST", f"{C}/records:erase", json={"ids": ["r1"]}))
    export = ask("POST", f"{C}/exports", json={})
    expect("start_export", export, target=ids(export))
    expect("cancel_job", ask("DELETE", f"/v1/jobs/{ids(export)}"), target=ids(export))
    headers = {**key.headers, "Content-Type": "application/x-ndjson"}
    started = service.client.post(f"{C}/imports", content=b'{"text": "a"}\n', headers=headers)
    expect("start_import", started, target=ids(started))
    compaction = ask("POST", f"{C}:compact")
    expect("compact_collection", compaction, target=ids(compaction))
    made = ask("POST", "/v1/api-keys", json={"name": "new", "scopes": ["search"]})
    expect("create_api_key", made, None, ids(made))
    expect("rotate_api_key", ask("POST", f"/v1/api-keys/{ids(made)}:rotate", json={}), None, ids(made))
    expect("revoke_api_key", ask("DELETE", f"/v1/api-keys/{ids(made)}"), None, ids(made))
    for refused in (
        ask("DELETE", "/v1/collections/nowhere"),
        ask("POST", "/v1/collections", json={}),
        service.client.delete(C),
    ):
        assert refused.status_code >= 400
    expect("delete_collection", ask("DELETE", C))
    found = entries(service)[before:]
    fields = ("caller", "action", "collection", "target", "status", "request_id")
    assert [tuple(entry[name] for name in fields) for entry in found] == expected
    assert SECRET not in str(found)
    assert made.json()["key"] not in str(found)


def test_pages_go_from_the_newest_to_the_oldest(service: Running, key: Made) -> None:
    for number in range(3):
        service.client.put(f"/v1/api-keys/{number}", headers=key.headers)  # 405: no entry
        make_key(service, f"page {number}", KeyScope.SEARCH)
    all_of_them = [entry["request_id"] for entry in reversed(entries(service))]
    paged, cursor = [], None
    while True:
        parameters = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = service.client.get("/v1/audit", params=parameters, headers=bearer(ADMIN)).json()
        paged += [entry["request_id"] for entry in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert paged == all_of_them
    assert len(paged) >= 3
    forged = service.client.get("/v1/audit", params={"cursor": "x" * 20}, headers=bearer(ADMIN))
    assert_problem(forged, 422, "invalid_value")


def test_it_is_written_before_the_answer_goes_out(service: Running, key: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot be written, nobody is told that all is well; it is written once that can be done."""
    made = make_key(service, "made", KeyScope.SEARCH)
    before = entries(service)
    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(AuditRepository, "add", full)
        answer = service.client.post("/v1/api-keys", json={"name": "unseen", "scopes": ["search"]}, headers=key.headers)
        detail = assert_problem(answer, 503, "not_audited")["detail"]
        assert "answered 201, but the audit log could not be written" in detail
        revoked = service.client.delete(f"/v1/api-keys/{made.id}", headers=key.headers)
        assert_problem(revoked, 503, "not_audited")
        gone = service.client.delete("/v1/api-keys/0000000000000000", headers=key.headers)
        assert_problem(gone, 404, "not_found")
        assert entries(service) == before
    told = [(line["action"], line["request_id"]) for line in logs if line["event"] == "not_audited"]
    written = [(entry["action"], entry["request_id"]) for entry in entries(service)[len(before) :]]
    assert told == written == [
        ("create_api_key", answer.headers["x-request-id"]),
        ("revoke_api_key", revoked.headers["x-request-id"]),
    ]  # fmt: skip
    assert entries(service)[-1]["target"] == made.id


def test_what_could_not_be_written_comes_before_what_comes_next(
    service: Running, key: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [make_key(service, f"next {n}", KeyScope.SEARCH) for n in range(3)]
    with monkeypatch.context() as patched, capture_logs():
        patched.setattr(AuditRepository, "add", full)
        for one in made[:2]:
            assert service.client.delete(f"/v1/api-keys/{one.id}", headers=key.headers).status_code == 503
    assert service.client.delete(f"/v1/api-keys/{made[2].id}", headers=key.headers).status_code == 204
    stored = service.container.database.read(lambda session: AuditRepository(session).list_page(0, 3))
    assert [entry.target for entry in stored] == [one.id for one in reversed(made)]
    assert stored[2].at < stored[1].at < stored[0].at, "each with the moment of the deed"


def full(*_: object) -> None:
    raise OverloadedError("1024 writes wait already")


def test_what_broke_half_way_is_written_too(service: Running, key: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    before = len(entries(service))
    with monkeypatch.context() as patched, capture_logs():
        patched.setattr(type(service.container.services.api_keys), "revoke", broken)
        answer = service.client.delete(f"/v1/api-keys/{key.id}", headers=key.headers)
    assert_problem(answer, 500, "internal_error")
    (entry,) = entries(service)[before:]
    assert (entry["action"], entry["target"], entry["status"]) == ("revoke_api_key", key.id, 500)


@sqlite_only
def test_old_entries_are_forgotten_however_little_is_changed(database: Database) -> None:
    hours = 0
    audit = AuditService(database, Cursors(b"key"), timedelta(days=30), clock=lambda: 3600.0 * hours)

    def old_ones_left() -> int:
        audit.write_command("add_encoder", "sha")
        found = database.read(lambda session: AuditRepository(session).list_page(0, 100))
        return sum(entry.at < datetime.now(UTC) - timedelta(days=30) for entry in found)

    assert old_ones_left() == 0
    old = "INSERT INTO audit_log (at, caller, action, status) VALUES ('2001-01-01 00:00:00', 'key a', 'old', 200)"
    database.write(lambda session: session.execute(text(old))).result()
    assert old_ones_left() == 1
    hours = 25
    assert old_ones_left() == 0


def test_old_entries_are_forgotten_and_no_others(registered: Settings) -> None:
    with running(registered.model_copy(update={"audit_days": 30})) as service:
        database = service.container.database
        old = "INSERT INTO audit_log (at, caller, action, status) VALUES "
        old += "('2001-01-01 00:00:00', 'key a', 'old', 200), ('2201-01-01 00:00:00', 'key a', 'young', 200)"
        database.write(lambda session: session.execute(text(old))).result()
        created = service.client.post("/v1/collections", json={"name": "faq", "encoder": "tiny"})
        assert created.status_code == 201
        found = service.client.get("/v1/audit").json()["items"]
        assert [(entry["action"], entry["caller"]) for entry in found] == [
            ("create_collection", "anonymous"),
            ("young", "key a"),
        ]
