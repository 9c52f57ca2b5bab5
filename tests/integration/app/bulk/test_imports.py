"""Imports and exports over HTTP, with real worker processes."""

import csv
import gzip
import io
import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.bulk.comparing import Comparison
from app.bulk.forms import Form
from app.bulk.reading.columns import ColumnMap
from app.bulk.reading.parsing import RowParser
from app.bulk.reading.rows import RawRow
from app.collection.tables import Collection
from app.db.database import Database
from app.db.opening import open_database
from app.job.tables import JobState
from app.serving import holding, loading
from app.serving.snapshots.base import BuildError
from app.settings import Settings
from tests.conftest import make_collection
from tests.fakes.imports import finished, n_stored, ndjson, records_of, results_of, upload
from tests.fakes.job_rows import get_job
from tests.fakes.running import Running, running, wait_for


@pytest.fixture
def service(registered: Settings) -> Any:
    with running(registered) as service:
        yield service


def test_an_upload_becomes_records_that_searches_find(service: Running) -> None:
    name = make_collection(service)
    rows = [{"id": f"r{n}", "text": f"sentence {n}", "group": f"g{n % 7}", "metadata": {"n": n}} for n in range(5000)]
    job = finished(service, upload(service, name, ndjson(rows)))
    assert (job["state"], job["error"]) == ("succeeded", None)
    assert job["result"] == {
        "rows": 5000, "created": 5000, "updated": 0, "unchanged": 0, "rejected": 0, "group": 0,
        "seq": 5000, "ignored_columns": [], "dry_run": False,
    }  # fmt: skip
    collection = service.client.get(f"/v1/collections/{name}").json()
    assert (collection["records"], collection["visible_seq"], collection["groups"]) == (5000, 5000, 7)
    assert {key: record["text"] for key, record in records_of(service, name).items()} == {
        row["id"]: row["text"] for row in rows
    }
    told = results_of(service, job)
    assert told == [{"line": n + 1, "status": 201, "code": "created", "id": f"r{n}"} for n in range(5000)]
    found = service.client.post(f"/v1/collections/{name}:search", json={"query": "sentence 77", "k": 1}).json()
    assert found["results"][0][0]["id"] == "r77"


def test_the_same_file_again_changes_nothing_and_a_changed_one_only_what_differs(service: Running) -> None:
    name = make_collection(service)
    rows = [{"id": f"r{n}", "text": f"sentence {n}"} for n in range(2500)]
    finished(service, upload(service, name, ndjson(rows)))
    again = finished(service, upload(service, name, ndjson(rows)))
    assert (again["result"]["unchanged"], again["result"]["seq"]) == (2500, 2500)
    rows[3]["text"], rows[2400]["text"] = "another", "one more"
    changed = [*rows, {"id": "new", "text": "new"}]
    job = finished(service, upload(service, name, ndjson(changed), dry_run=True))
    assert job["state"] == "succeeded"
    assert {code: job["result"][code] for code in ("created", "updated", "unchanged")} == {
        "created": 1, "updated": 2, "unchanged": 2498,
    }  # fmt: skip
    assert records_of(service, name)["r3"]["text"] == "sentence 3"
    job = finished(service, upload(service, name, ndjson(changed)))
    assert (job["result"]["created"], job["result"]["updated"], job["result"]["seq"]) == (1, 2, 2503)
    assert records_of(service, name)["r3"]["text"] == "another"


def test_a_row_that_is_wrong_fails_no_other(service: Running) -> None:
    name = make_collection(service)
    body = b'{"id": "a", "text": "fine"}\nnot json\n{"id": "b"}\n{"id": "c/d", "text": "x"}\n{"id": "a", "text": "b"}\n'
    job = finished(service, upload(service, name, body))
    assert (job["state"], job["result"]["rejected"], job["result"]["created"]) == ("succeeded", 3, 1)
    told = results_of(service, job)
    assert [(row["line"], row["status"], row["code"]) for row in told] == [
        (1, 201, "created"),
        (2, 422, "not_json"),
        (3, 422, "invalid_value"),
        (4, 422, "invalid_value"),
        (5, 200, "updated"),
    ]
    assert records_of(service, name)["a"]["text"] == "b"


def test_too_many_wrong_rows_end_an_import_and_say_what_was_stored(service: Running) -> None:
    name = make_collection(service)
    body = ndjson([{"id": f"r{n}", "text": "fine" if n < 3000 else ""} for n in range(6000)])
    job = finished(service, upload(service, name, body, max_rejected=10))
    assert (job["state"], job["error"]["code"]) == ("failed", "too_many_rejected")
    assert "they stay" in job["error"]["detail"]
    assert job["result"]["created"] == 3000
    assert len(records_of(service, name)) == 3000


@pytest.mark.parametrize("packing", [None, "gzip"])
def test_columns_of_other_names_are_mapped(service: Running, packing: str | None) -> None:
    name = make_collection(service)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["frage", "thema", "titel", "x"])
    writer.writerow(["wie komme ich rein, bitte", "login", "Anmelden", "1"])
    body = text.getvalue().encode()
    headers = {} if packing is None else {"Content-Encoding": packing}
    body = body if packing is None else gzip.compress(body)
    missing = finished(service, upload(service, name, body, "text/csv", headers=headers))
    assert (missing["state"], missing["error"]["code"]) == ("failed", "missing_column")
    assert "'frage'" in missing["error"]["detail"]
    columns = "text:frage,group:thema,title:titel"
    job = finished(service, upload(service, name, body, "text/csv", headers=headers, columns=columns))
    assert (job["state"], job["result"]["ignored_columns"]) == ("succeeded", ["x"])
    assert service.client.get(f"/v1/collections/{name}/groups/login").json()["title"] == "Anmelden"


def test_what_cannot_be_an_upload_is_refused_at_the_door(service: Running) -> None:
    name = make_collection(service)
    assert upload(service, "nowhere", b"{}").status_code == 404
    assert upload(service, name, b"").status_code == 422
    assert upload(service, name, b"text\nhello", "text/plain").status_code == 415
    assert upload(service, name, b"PAR1xxxx", "text/csv").status_code == 415
    assert upload(service, name, b"{}", columns="nonsense").status_code == 422
    assert upload(service, name, b"{}", columns="color:red").status_code == 422
    assert service.client.get("/v1/jobs").json()["items"] == []
    jobs = service.container.settings.jobs
    assert not jobs.exists() or list(jobs.iterdir()) == []


def test_an_upload_over_the_limit_is_refused_and_leaves_nothing(registered: Settings) -> None:
    settings = registered.model_copy(update={"max_upload_bytes": 2000})
    with running(settings) as service:
        name = make_collection(service)
        declared = upload(service, name, b'{"text": "x"}\n' * 200)
        assert (declared.status_code, declared.json()["code"]) == (413, "body_too_large")
        streamed = upload(service, name, (b'{"text": "x"}\n' for _ in range(200)))
        assert streamed.status_code == 413
        assert not settings.jobs.exists() or list(settings.jobs.iterdir()) == []
        assert finished(service, upload(service, name, b'{"text": "x"}\n' * 100))["state"] == "succeeded"


def test_an_idempotency_key_uploads_once(service: Running) -> None:
    name = make_collection(service)
    body = ndjson([{"text": "hello"}])
    first = upload(service, name, body, headers={"Idempotency-Key": "k"})
    again = upload(service, name, body, headers={"Idempotency-Key": "k"})
    assert first.json()["id"] == again.json()["id"]
    other = upload(service, name, body + b"\n", headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len(service.client.get("/v1/jobs").json()["items"]) == 1
    assert finished(service, first)["state"] == "succeeded"


def test_an_idempotency_key_is_for_what_the_headers_say_too(service: Running) -> None:
    name, body = make_collection(service), b"id\ttext\na\tone\n"
    headers = {"Idempotency-Key": "tsv"}
    wrong = finished(service, upload(service, name, body, "text/csv", headers=headers))
    assert wrong["state"] == "failed"
    mended = upload(service, name, body, "text/tab-separated-values", headers=headers)
    assert (mended.status_code, mended.json()["code"]) == (422, "idempotency_key_reused")


def test_results_that_are_gone_are_not_promised(service: Running) -> None:
    job = finished(service, upload(service, make_collection(service), ndjson([{"text": "one"}, {"text": "two"}])))
    results = service.container.settings.jobs / job["id"] / "results.ndjson"
    results.write_bytes(results.read_bytes()[:-5])  # as where a restored backup holds the job and not its files
    assert service.client.get(f"/v1/jobs/{job['id']}/results").status_code == 404
    results.unlink()
    assert service.client.get(f"/v1/jobs/{job['id']}/results").status_code == 404


def test_ids_with_white_space_around_them_are_refused_and_titles_come_back_with_theirs(service: Running) -> None:
    name, other = make_collection(service), make_collection(service)
    place = f"/v1/collections/{name}"
    for path in ("records/r1%20", "records/%E3%80%80r1", "groups/%20g"):
        refused = service.client.put(f"{place}/{path}", json={"text": "one"} if "records" in path else {"title": "T"})
        assert refused.status_code == 422, path
        assert "white space" in refused.json()["detail"]
    service.client.put(f"{place}/groups/g", json={"title": " T "})
    service.client.put(f"{place}/records/r1", json={"text": " one ", "group": "g"})
    exported = finished(service, service.client.post(f"{place}/exports", json={"format": "ndjson"}))
    file = service.client.get(f"/v1/jobs/{exported['id']}/file").content
    assert finished(service, upload(service, other, file))["state"] == "succeeded"
    assert service.client.get(f"/v1/collections/{other}/groups/g").json()["title"] == " T "
    assert records_of(service, other)["r1"]["text"] == " one "


@pytest.mark.parametrize("form", ["ndjson", "parquet"])
def test_an_export_imported_elsewhere_is_the_same_collection(service: Running, form: str) -> None:
    name, other = make_collection(service), make_collection(service)
    place = f"/v1/collections/{name}"
    rows = [
        {"id": f"r{n}", "text": f"句子 {n}", "labels": ["b", "a"][: n % 3], "metadata": {"n": n, "l": ["x"]}}
        for n in range(1500)
    ]
    rows += [{"id": f"s{n}", "text": f"stranger {n}", "role": "out_of_scope"} for n in range(5)]
    rows += [{"id": f"g{n}", "text": f"in a group {n}", "group": f"g{n % 3}"} for n in range(30)]
    finished(service, upload(service, name, ndjson(rows)))
    service.client.put(f"{place}/groups/g1", json={"title": "first", "payload": {"answer": ["a", 1.5, None]}})
    service.client.put(f"{place}/groups/empty", json={"payload": "nothing yet"})
    service.client.put(f"{place}/groups/bare", json={})
    job = finished(
        service, service.client.post(f"{place}/exports", json={"format": form, "vectors": form == "parquet"})
    )
    assert (job["state"], job["result"]["records"], job["result"]["groups"]) == ("succeeded", 1535, 5)
    file = service.client.get(f"/v1/jobs/{job['id']}/file")
    assert file.status_code == 200
    assert file.headers["content-disposition"].endswith(f'"{name}.{form}"')
    kind = file.headers["content-type"]
    back = finished(service, upload(service, other, file.content, kind))
    assert (back["state"], back["result"]["rejected"], back["result"]["created"]) == ("succeeded", 0, 1535)

    def whole(collection: str) -> tuple[Any, Any]:
        groups = service.client.get(f"/v1/collections/{collection}/groups").json()["items"]
        told = {group["id"]: (group["title"], group["payload"], group["records"]) for group in groups}
        own = ("seq", "version", "etag", "created_at", "updated_at", "source")
        return told, {
            key: {field: value for field, value in record.items() if field not in own}
            for key, record in records_of(service, collection).items()
        }

    assert whole(name) == whole(other)


def test_vectors_of_an_export_are_those_of_the_encoder(service: Running) -> None:
    import pyarrow.parquet as pq

    name = make_collection(service)
    texts = [f"sentence number {n}" for n in range(40)]
    finished(service, upload(service, name, ndjson([{"id": str(n), "text": t} for n, t in enumerate(texts)])))
    job = finished(
        service, service.client.post(f"/v1/collections/{name}/exports", json={"format": "parquet", "vectors": True})
    )
    table = pq.read_table(io.BytesIO(service.client.get(f"/v1/jobs/{job['id']}/file").content))
    release = service.container.serving.find(name)
    assert release is not None
    for row in table.to_pylist():
        expected = release.bundle.encoder.encode([row["text"]])[0]
        assert row["vector"] == pytest.approx(expected.tolist(), abs=1e-6)


def test_events_are_streamed_and_go_on_where_they_were_left(service: Running) -> None:
    name = make_collection(service)
    job = finished(service, upload(service, name, ndjson([{"text": f"t {n}"} for n in range(100)])))

    def events(**headers: str) -> list[tuple[int, dict[str, Any]]]:
        answer = service.client.get(f"/v1/jobs/{job['id']}/events", headers=headers)
        assert answer.headers["content-type"].startswith("text/event-stream")
        blocks = [block for block in answer.text.split("\n\n") if block.startswith("id:")]
        return [(int(b.split("\n")[0][3:]), json.loads(b.split("data: ")[1])) for b in blocks]

    all_of_them = events()
    assert [number for number, _ in all_of_them] == list(range(1, len(all_of_them) + 1))
    assert all_of_them[0][1]["state"] == "queued"
    assert (all_of_them[-1][1]["state"], all_of_them[-1][1]["result"]) == ("succeeded", job["result"])
    assert events(**{"Last-Event-ID": "2"}) == all_of_them[2:]
    last = {"Last-Event-ID": str(len(all_of_them))}
    assert service.client.get(f"/v1/jobs/{job['id']}/events", headers=last).status_code == 204, "nothing more will come"
    assert service.client.get("/v1/jobs/nothing/events").status_code == 404


def test_a_cancelled_import_says_what_it_stored_and_can_be_sent_again(service: Running) -> None:
    name = make_collection(service)
    body = ndjson([{"id": f"r{n}", "text": f"sentence {n}"} for n in range(40_000)])
    started = upload(service, name, body)
    place = started.headers["Location"]
    wait_for(lambda: n_stored(service.client.get(place).json()) > 0)
    assert service.client.delete(place).status_code == 202
    job = finished(service, started)
    assert job["state"] == "cancelled"
    stored = job["result"]["created"]
    assert 0 < stored < 40_000
    assert (job["result"]["rows"], job["result"]["rejected"], job["result"]["dry_run"]) == (stored, 0, False)
    assert service.client.get(f"/v1/collections/{name}").json()["records"] == stored
    assert service.client.delete(place).status_code == 409
    again = finished(service, upload(service, name, body))
    assert (again["state"], again["result"]["unchanged"], again["result"]["created"]) == (
        "succeeded", stored, 40_000 - stored,
    )  # fmt: skip
    assert not list(service.container.settings.jobs.glob("*/upload"))


def test_compaction_and_rebuild_are_jobs(service: Running) -> None:
    name = make_collection(service)
    finished(service, upload(service, name, ndjson([{"id": str(n), "text": f"sentence {n}"} for n in range(300)])))
    compacted = finished(service, service.client.post(f"/v1/collections/{name}:compact"))
    assert (compacted["state"], compacted["result"]["records"]) == ("succeeded", 300)
    assert service.client.get(f"/v1/collections/{name}").json()["index"]["uncompacted"] == 0
    release = service.container.serving.find(name)
    rebuilt = finished(service, service.client.post(f"/v1/collections/{name}:rebuild"))
    assert (rebuilt["state"], rebuilt["result"]["records"]) == ("succeeded", 300)
    wait_for(lambda: service.container.serving.find(name) is not release)
    found = service.client.post(f"/v1/collections/{name}:search", json={"query": "sentence 7", "k": 1}).json()
    assert found["results"][0][0]["id"] == "7"
    assert service.client.post("/v1/collections/nowhere:compact").status_code == 404


def test_a_rebuild_that_a_server_gives_up_since_it_stops_is_free_at_once_and_not_at_fault(
    registered: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered = threading.Event()

    def until_told(*given: Any) -> Any:
        *_, is_stopping, _ = given
        entered.set()
        wait_for(is_stopping)
        raise BuildError("the server is stopping")

    monkeypatch.setattr(loading, "encode_all", until_told)
    with running(registered) as service:
        key = service.client.post(f"/v1/collections/{make_collection(service)}:rebuild").json()["id"]
        assert entered.wait(10)
    database = open_database(registered)
    try:
        job = get_job(database, key)
    finally:
        database.close()
    assert (job.state, job.attempts, job.stalls, job.worker) == (JobState.RUNNING, 1, 0, None)
    assert job.lease_until is not None and job.lease_until < datetime.now(UTC)


def test_results_can_be_read_while_the_import_goes_on(service: Running) -> None:
    name = make_collection(service)
    started = upload(service, name, ndjson([{"id": f"r{n}", "text": f"sentence {n}"} for n in range(20_000)]))
    place, seen = started.headers["Location"], 0
    while service.client.get(place).json()["progress"]["stage"] in ("queued", "counting", "storing"):
        answer = service.client.get(f"{place}/results")
        if answer.status_code == 404:
            continue  # there are none yet
        lines = [json.loads(line)["line"] for line in answer.text.splitlines()]
        assert lines == list(range(1, len(lines) + 1))
        seen = max(seen, len(lines))
    assert seen > 0
    assert len(results_of(service, finished(service, started))) == 20_000


def test_a_collection_deleted_while_its_import_becomes_searchable_ends_the_job(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = make_collection(service)
    wait_for(lambda: service.container.serving.find(name))
    monkeypatch.setattr(holding, "apply_changes", lambda *_, **__: 0)
    started = upload(service, name, ndjson([{"text": f"sentence {n}"} for n in range(10)]))
    place = started.headers["Location"]
    wait_for(lambda: service.client.get(place).json()["progress"]["stage"] == "indexing")
    assert service.client.delete(place).status_code == 409, "all is stored"
    assert service.client.delete(f"/v1/collections/{name}").status_code == 204
    job = finished(service, started)
    assert (job["state"], job["error"]["code"], job["result"]["created"]) == ("failed", "collection_gone", 10)


def test_a_dry_run_that_is_repeated_from_its_checkpoint_counts_the_same(database: Database, tmp_path: Path) -> None:
    def make(session: Session) -> int:
        collection = Collection(name="faq", settings={})
        session.add(collection)
        session.flush()
        return collection.id

    collection_id = database.write(make).result()
    parser = RowParser(ColumnMap(), Form.NDJSON)
    rows = [parser.parse(RawRow(n, {"id": f"r{n % 4}", "text": f"text {n % 5}"})) for n in range(8)]
    dry = Comparison(tmp_path, "faq", collection_id)
    once = [database.read(lambda session, n=n: dry.compare(session, rows[n : n + 4], n))[0] for n in (0, 4)]
    again = [database.read(lambda session, n=n: dry.compare(session, rows[n : n + 4], n))[0] for n in (0, 4)]
    assert again == once
    assert [row.code for row in once[0]] == ["created"] * 4
    assert [row.code for row in once[1]] == ["updated", "updated", "updated", "updated"]
