"""Files that are wrong: each import ends with a clear result, and nothing half applied stays unseen."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.settings import Settings
from tests.conftest import add_encoder, make_collection
from tests.fakes.imports import finished, n_stored, ndjson, records_of, results_of, upload
from tests.fakes.running import Running, make_settings, running, wait_for

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PARQUET = "application/vnd.apache.parquet"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Running]:
    settings = make_settings(tmp_path_factory.mktemp("bad") / "data", max_unpacked_bytes=20_000_000)
    add_encoder(settings, tiny_bundle)
    with running(settings) as service:
        yield service


def good(n: int) -> bytes:
    return ndjson([{"id": f"r{number}", "text": f"sentence {number} {number:x}"} for number in range(n)])


def workbook(rows: list[list[Any]]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def parquet(**columns: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    ("form", "bad", "said"),
    [
        ("application/x-ndjson", f'{{"id": "b", "text": "x", "labels": {deep(990)}}}', "hundreds of levels"),
        ("application/x-ndjson", f'{{"id": "b", "text": {deep(990)}}}', "hundreds of levels"),
        ("application/x-ndjson", f'{{"id": "b", "group": {deep(990)}, "text": "x"}}', "hundreds of levels"),
        ("text/csv", f'b,x,"{{""a"": {deep(50_000)}}}"', "hundreds of levels"),
        ("application/x-ndjson", '{"id": "b", "text": "x", "metadata": {"a": 18446744073709551616}}', "beyond 64 bits"),
        ("application/x-ndjson", '{"group": "g", "payload": {"a": [123456789012345678901]}}', "beyond 64 bits"),
        ("text/csv", 'b,x,"{""a"": 123456789012345678901}"', "beyond 64 bits"),
    ],
)
def test_a_value_that_nothing_can_keep_is_refused_alone(service: Running, form: str, bad: str, said: str) -> None:
    name = make_collection(service)
    lines = ['{"id": "a", "text": "one"}', bad, '{"id": "c", "text": "three"}']
    body = "\n".join(lines if form.endswith("ndjson") else ["id,text,metadata", "a,one,", bad, "c,three,"])
    job = finished(service, upload(service, name, body.encode(), form))
    assert (job["state"], job["result"]["created"], job["result"]["rejected"]) == ("succeeded", 2, 1)
    (wrong,) = [row for row in results_of(service, job) if row["status"] == 422]
    assert said in wrong["detail"]
    assert sorted(records_of(service, name)) == ["a", "c"]


def test_numbers_that_can_be_kept_are_kept_to_the_digit(service: Running) -> None:
    name = make_collection(service)
    kept = '{"a": 9223372036854775807, "b": 0.12345678901234567890123, "c": "123456789012345678901"}'
    body = f'{{"id": "r", "text": "x", "metadata": {kept}}}'
    assert finished(service, upload(service, name, body.encode()))["state"] == "succeeded"
    assert records_of(service, name)["r"]["metadata"] == json.loads(kept)


def bomb() -> bytes:
    return gzip.compress(b'{"text": "' + b"0" * 60_000_000)


def xlsx_bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b" " * 700_000_000)
    return file.getvalue()


WHOLE_FILE: dict[str, tuple[Callable[[], bytes], str, dict[str, str], str]] = {
    "a gzip cut off": (
        lambda: gzip.compress(good(9000))[:-4000],
        "application/x-ndjson",
        {"Content-Encoding": "gzip"},
        "truncated_file",
    ),
    "a gzip bomb": (bomb, "application/x-ndjson", {"Content-Encoding": "gzip"}, "unpacked_too_large"),
    "an XLSX bomb": (xlsx_bomb, XLSX, {}, "unpacked_too_large"),
    "no XLSX inside": (lambda: b"PK\x03\x04 and then nothing", XLSX, {}, "damaged_file"),
    "nested Parquet": (lambda: parquet(text=pa.array([{"a": 1}])), PARQUET, {}, "unreadable_column"),
    "half a Parquet": (lambda: parquet(text=["a", "b"])[:-20], PARQUET, {}, "damaged_file"),
    "a column missing": (lambda: b"phrase,group\nhello,g\n", "text/csv", {}, "missing_column"),
    "a header alone": (lambda: b"text\tgroup\n", "text/tab-separated-values", {}, "no_rows"),
    "the same column twice": (lambda: b"text,text\na,b\n", "text/csv", {}, "duplicate_column"),
}


@pytest.mark.parametrize("name", WHOLE_FILE)
def test_a_file_that_cannot_be_read_on_fails_with_its_reason(service: Running, name: str) -> None:
    make, kind, headers, code = WHOLE_FILE[name]
    collection = make_collection(service)
    job = finished(service, upload(service, collection, make(), kind, headers=headers))
    assert (job["state"], job["error"]["code"]) == ("failed", code), job
    assert len(job["error"]["detail"]) > 30
    stored = service.client.get(f"/v1/collections/{collection}").json()["records"]
    told = (
        f" rows were done: {stored} created, 0 updated, 0 unchanged, 0 rejected; they stay"
        if stored
        else "; nothing was stored"
    )
    assert told in job["error"]["detail"], "what was stored is told"
    assert (job["result"] or {"created": 0})["created"] == stored
    assert not (service.container.settings.jobs / job["id"] / "upload").exists()


SINGLE_ROWS: dict[str, tuple[Callable[[], bytes], str, list[str]]] = {
    "ragged CSV": (
        lambda: b"text,group\na,g\nb\nc,g,h\nd,g\n",
        "text/csv",
        ["created", "ragged_row", "ragged_row", "created"],
    ),
    "mixed encodings": (
        lambda: b"text\n" + "退款\n".encode() + "退款\n".encode("gb18030") + "登录\n".encode(),
        "text/csv",
        ["created", "wrong_encoding", "created"],
    ),
    "floats as ids": (
        lambda: workbook([["id", "text"], ["a", "x"], [7, "y"], [1.5, "z"], ["007", "w"]]),
        XLSX,
        ["created", "invalid_value", "invalid_value", "created"],
    ),
    "formulas": (
        lambda: workbook([["id", "text"], ["a", "=1+1"], ["b", "fine"]]),
        XLSX,
        ["unreadable_cell", "created"],
    ),
    "NUL": (
        lambda: b'{"text": "a"}\n{"text": "b\x00"}\n{"text": "c"}\n',
        "application/x-ndjson",
        ["created", "nul_character", "created"],
    ),
}


@pytest.mark.parametrize("name", SINGLE_ROWS)
def test_a_wrong_row_is_told_with_its_line_and_fails_no_other(service: Running, name: str) -> None:
    make, kind, codes = SINGLE_ROWS[name]
    collection = make_collection(service)
    job = finished(service, upload(service, collection, make(), kind))
    assert job["state"] == "succeeded", job
    told = results_of(service, job)
    assert [row["code"] for row in told] == codes
    assert all(("detail" in row) == (row["status"] >= 400) for row in told)
    assert len(records_of(service, collection)) == codes.count("created")


def test_a_great_many_wrong_rows_are_all_told(service: Running) -> None:
    collection, n = make_collection(service), 200_000
    body = gzip.compress(b'{"id": "x", "text": ""}\n' * n + b'{"text": "the only good one"}\n')
    headers = {"Content-Encoding": "gzip"}
    few = finished(service, upload(service, collection, body, headers=headers))
    assert (few["state"], few["error"]["code"]) == ("failed", "too_many_rejected")
    assert few["result"]["rejected"] < 5000, "it ends soon"
    job = finished(service, upload(service, collection, body, headers=headers, max_rejected=n), 120)
    assert (job["state"], job["result"]["rejected"], job["result"]["created"]) == ("succeeded", n, 1)
    last = results_of(service, job)[-1]
    assert (last["line"], last["code"]) == (n + 1, "created")


def test_two_imports_of_the_same_ids_at_once_leave_the_later_one(service: Running) -> None:
    collection = make_collection(service)
    files = [ndjson([{"id": f"r{n}", "text": f"{which} {n}"} for n in range(5000)]) for which in ("first", "second")]
    first, second = (finished(service, answer) for answer in [upload(service, collection, file) for file in files])
    assert (first["result"]["created"], second["result"]["updated"]) == (5000, 5000)
    assert {record["text"].split()[0] for record in records_of(service, collection).values()} == {"second"}


def test_a_collection_that_goes_away_fails_its_import(service: Running) -> None:
    collection = make_collection(service)
    started = upload(service, collection, good(40_000))
    place = started.headers["Location"]
    wait_for(lambda: n_stored(service.client.get(place).json()) > 0)
    assert service.client.delete(f"/v1/collections/{collection}").status_code == 204
    job = finished(service, started)
    assert (job["state"], job["error"]["code"]) == ("failed", "collection_gone")


def test_too_many_jobs_are_refused_at_the_door(tmp_path: Path, tiny_bundle: Path) -> None:
    settings = make_settings(tmp_path / "data", workers=0, max_unfinished_jobs=3)
    add_encoder(settings, tiny_bundle)
    with running(settings) as service:
        collection = make_collection(service)
        answers = [upload(service, collection, good(3)) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [202, 202, 202, 503]
        assert answers[-1].json()["code"] == "overloaded"
        assert len(list(settings.jobs.iterdir())) == 3, "what was refused is not kept"
        for answer in answers[:3]:
            assert service.client.delete(answer.headers["Location"]).status_code == 202
        assert upload(service, collection, good(3)).status_code == 202


def test_a_disk_without_room_for_the_upload_is_said(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tiny_bundle: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    add_encoder(settings, tiny_bundle)
    with running(settings) as service:
        collection = make_collection(service)
        monkeypatch.setattr("app.bulk.uploads._append", full)
        refused = upload(service, collection, good(3))
        assert (refused.status_code, refused.json()["code"]) == (507, "storage_full")
        assert list(settings.jobs.iterdir()) == []
        assert json.loads(service.client.get("/v1/jobs").text)["items"] == []
