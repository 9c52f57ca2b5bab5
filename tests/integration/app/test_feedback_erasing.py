"""Erasing reaches feedback and kept queries: afterwards no file of the data folder holds a byte of the text."""

from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from tests.conftest import add_encoder, postgres_settings
from tests.fakes.problems import assert_problem
from tests.fakes.running import Running, make_settings, running
from tests.integration.app.test_erasing import erase, files_with
from tests.integration.app.test_kept_queries import Kept

SECRET = "zanzibar quicksilver"
LONG = f"{SECRET} " + "y" * 1500


@pytest.fixture
def sqlite(tmp_path: Path, tiny_bundle: Path) -> Settings:
    settings = make_settings(tmp_path / "data")
    add_encoder(settings, tiny_bundle)
    return settings


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


def test_erasing_in_postgresql_rewrites_the_table(postgres: str, tmp_path: Path, tiny_bundle: Path) -> None:
    settings = postgres_settings(postgres, tmp_path / "data")
    add_encoder(settings, tiny_bundle)
    with running(settings) as service:
        kept = Kept(service, keep_queries="unmatched")
        kept.offer([SECRET, "stays"])
        assert texts(kept) == ["stays", SECRET]
        size = "SELECT pg_relation_filenode('feedback')"
        database = service.container.database
        before = database.read(lambda session: session.connection().exec_driver_sql(size).scalar_one())
        erased = kept.client.post(f"{kept.place}/feedback:erase", json={"texts": [SECRET]}).json()
        assert (erased["erased"], texts(kept)) == (1, ["stays"])
        after = database.read(lambda session: session.connection().exec_driver_sql(size).scalar_one())
        assert after != before, "VACUUM FULL writes the table into another file"


def test_erasing_in_a_collection_that_is_not_there(shared_service: Running) -> None:
    answer = shared_service.client.post("/v1/collections/nobody/feedback:erase", json={"texts": ["a"]})
    assert_problem(answer, 404, "not_found")
