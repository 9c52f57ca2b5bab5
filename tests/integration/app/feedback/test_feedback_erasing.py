"""Erasing reaches feedback and kept queries: afterwards no file of the data folder holds a byte of the text."""

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, update

from app.db.database import Database
from app.feedback import query_keeper
from app.feedback.query_keeper import Keeping
from app.release.tables import Release
from app.settings import Settings
from tests.conftest import add_encoder, postgres_settings
from tests.fakes.problems import assert_problem
from tests.fakes.running import Running, running, wait_for
from tests.integration.app.feedback.test_kept_queries import Kept
from tests.integration.app.record.test_erasing import erase, files_with

SECRET = "zanzibar quicksilver"
LONG = f"{SECRET} " + "y" * 1500


def texts(kept: Kept) -> list[str]:
    kept.service.container.keeper.flush()
    items = kept.client.get(f"{kept.place}/feedback?limit=1000").json()["items"]
    return sorted(item["text"] for item in items)


def give(kept: Kept, text: str, **fields: Any) -> str:
    body = {"text": text, "verdict": "wrong_answer", **fields}
    headers = {"Idempotency-Key": f"key of {len(text)} {fields.get('verdict')}"}
    return str(kept.client.post(f"{kept.place}/feedback", json=body, headers=headers).raise_for_status().json()["id"])


def test_no_file_holds_erased_feedback(sqlite: Settings) -> None:
    """Sent, kept, waiting in memory, accepted and rejected; some of it longer than a page."""
    with running(sqlite) as service:
        kept = Kept(service, keep_queries="unmatched")
        kept.offer([f"other question {n} " + "z" * (n * 37 % 1900) for n in range(200)])
        rejected = give(kept, SECRET, metadata={"mail": "mary@example"})
        kept.client.patch(f"{kept.place}/feedback/{rejected}", json={"state": "rejected"}).raise_for_status()
        kept.offer([SECRET, SECRET.upper(), LONG])
        assert len(texts(kept)) == 203
        kept.offer([f"more {n}" for n in range(300)])
        secrets = [SECRET.encode(), b"mary@example"]
        assert all(files_with(sqlite.data, secret) for secret in secrets), "else this proves nothing"
        kept.offer([SECRET])  # waits in memory still
        body = {"texts": [f"  {SECRET.title()}", LONG, "never there"]}
        answer = kept.client.post(f"{kept.place}/feedback:erase", json=body).raise_for_status().json()
        assert answer == {"erased": 3, "records": []}
        assert len(texts(kept)) == 500
        assert {secret: files_with(sqlite.data, secret) for secret in secrets} == {secret: [] for secret in secrets}


def test_erasing_a_record_reaches_what_it_came_from(sqlite: Settings) -> None:
    """The item that became it, its echoes, and the queries that were kept of the same text."""
    with running(sqlite) as service:
        kept = Kept(service, keep_queries="unmatched")
        key = give(kept, SECRET, verdict="right_group", group="g")
        resolve = {"ids": [key], "state": "accepted"}
        headers = {"Idempotency-Key": "resolving"}
        kept.client.post(f"{kept.place}/feedback:resolve", json=resolve, headers=headers).raise_for_status()
        give(kept, SECRET)
        kept.offer([SECRET, "stays"])
        record = f"feedback-{key}"
        assert texts(kept) == ["stays", SECRET, SECRET, SECRET]
        assert files_with(sqlite.data, record.encode())
        kept.offer([SECRET])
        assert erase(service, kept.name, record)["erased"] == [record]
        assert texts(kept) == ["stays"]
        assert files_with(sqlite.data, SECRET.encode()) == files_with(sqlite.data, record.encode()) == []


def test_erasing_a_record_that_was_deleted_before_reaches_its_feedback(sqlite: Settings) -> None:
    with running(sqlite) as service:
        kept = Kept(service)
        key = give(kept, SECRET, verdict="right_group", group="g")
        kept.client.patch(f"{kept.place}/feedback/{key}", json={"state": "accepted"}).raise_for_status()
        kept.client.delete(f"{kept.place}/records/feedback-{key}").raise_for_status()
        assert erase(service, kept.name, f"feedback-{key}")["missing"] == [f"feedback-{key}"]
        assert files_with(sqlite.data, SECRET.encode()) == []


def test_the_answer_names_the_records_that_stay(shared_service: Running) -> None:
    kept = Kept(shared_service)
    key = give(kept, SECRET, verdict="right_group", group="g")
    kept.client.patch(f"{kept.place}/feedback/{key}", json={"state": "accepted"}).raise_for_status()
    erased = kept.client.post(f"{kept.place}/feedback:erase", json={"texts": [SECRET]}).json()
    assert erased == {"erased": 1, "records": [f"feedback-{key}"]}
    assert kept.client.get(f"{kept.place}/records/feedback-{key}").json()["text"] == SECRET


def test_erasing_in_postgresql_rewrites_every_table_that_it_takes_from(
    postgres: str, tmp_path: Path, tiny_bundle: Path
) -> None:
    settings = postgres_settings(postgres, tmp_path / "data")
    add_encoder(settings, tiny_bundle)
    with running(settings) as service:
        kept = Kept(service, keep_queries="unmatched")
        database = service.container.database
        database.write(lambda session: session.execute(update(Release).values(shadow=_SHADOW))).result()
        record = give(kept, SECRET, verdict="right_group", group="g")
        kept.client.patch(f"{kept.place}/feedback/{record}", json={"state": "accepted"}).raise_for_status()
        labelled = {"upsert": [{"id": "r2", "text": "other", "labels": ["tag"]}]}
        kept.client.post(f"{kept.place}/records:batch?wait=visible", json=labelled).raise_for_status()
        kept.offer([SECRET, "stays"])
        assert texts(kept) == ["stays", SECRET, SECRET]
        changed: set[str] = set()

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            changed.update(re.findall(r"(?:^|\s)(?:DELETE FROM|UPDATE) (\w+)", statement))

        event.listen(database.engine, "before_cursor_execute", note)
        before = _files(database)
        erased = kept.client.post(f"{kept.place}/feedback:erase", json={"texts": [SECRET]}).json()
        assert (erased["erased"], texts(kept)) == (2, ["stays"])
        between = _files(database)
        assert erase(service, kept.name, "r2")["erased"] == ["r2"]
        after = _files(database)
        event.remove(database.engine, "before_cursor_execute", note)
        rewritten = {name for name in before if before[name] != between[name] and between[name] != after[name]}
        assert {"feedback", "kept_answers", "records", "releases"} <= changed, "else this proves little"
        assert changed - rewritten <= {"collections"}, "of that one only counters change"
        assert "record_labels" in rewritten, "labels go with their records, in the database itself"


_SHADOW = {"since": "", "most_examples": 1, "counts": {}, "seconds": {}, "examples": [{"text": SECRET}]}


def _files(database: Database) -> dict[str, int]:
    """The file of each table; VACUUM FULL writes a table into another file."""
    files = "SELECT relname, pg_relation_filenode(oid) FROM pg_class WHERE relkind = 'r' AND relname !~ '^(pg|sql)_'"
    return dict(database.read(lambda session: session.connection().exec_driver_sql(files).all()))


@pytest.mark.parametrize("route", ["records:erase", "feedback:erase"])
def test_what_another_server_kept_before_is_not_stored_after_erasing(
    postgres: str, tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    monkeypatch.setattr(query_keeper, "_STORE_S", 3600.0)
    settings = postgres_settings(postgres, tmp_path / "data")
    add_encoder(settings, tiny_bundle)
    with running(settings) as first, running(settings) as second:
        kept = Kept(first, keep_queries="unmatched")
        wait_for(lambda: second.container.serving.find(kept.name))
        kept.ask(SECRET)
        body: dict[str, Any] = {"ids": ["r1"]} if route == "records:erase" else {"texts": [SECRET]}
        second.client.post(f"{kept.place}/{route}", json=body).raise_for_status()
        assert texts(kept) == []
        assert kept.outcome(Keeping.DROPPED) == 1, "it waited when the text was erased"
        wait_for(lambda: kept.release.erasures == 1)
        kept.ask("asked later")
        assert texts(kept) == ["asked later"]


def test_erasing_in_a_collection_that_is_not_there(shared_service: Running) -> None:
    answer = shared_service.client.post("/v1/collections/nobody/feedback:erase", json={"texts": ["a"]})
    assert_problem(answer, 404, "not_found")
