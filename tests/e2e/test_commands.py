"""The commands that talk to a running server."""

import gzip
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import openpyxl
import pytest

from app.db.migrating import head
from tests.conftest import make_collection
from tests.fakes.running import Running
from tests.fakes.spawned import command, samesay


@pytest.fixture
def url(shared_service: Running) -> str:
    return shared_service.url


def test_create_list_import_search_and_classify(shared_service: Running, url: str, tmp_path: Path) -> None:
    created = samesay("collections", "create", "shop", "--encoder", "tiny", SAMESAY_URL=url)
    assert created.returncode == 0, created.stderr
    file = tmp_path / "faq.tsv"
    rows = [
        "group\ttitle\ttext",
        "refund\tHow to get a refund?\tI want my money back",
        "refund\tHow to get a refund?\t我要退款",
        "refund\tHow to get a refund?\tI want my money back",
        "login\tI cannot log in\tI cannot log in",
        "login\tI cannot log in\t ",
        "parcel\tWhere is my parcel?\t",
    ]
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    for stored in range(2):  # a second import changes nothing
        imported = samesay("import", "shop", str(file), "--url", url)
        assert imported.returncode == 0, imported.stderr
        told = "3 created, 0 updated, 1 unchanged" if stored == 0 else "0 created, 0 updated, 4 unchanged"
        assert imported.stdout.startswith(f"6 rows: {told}, 1 rejected, 1 describing a group; searchable after "), (
            imported.stdout
        )
        assert "line 6: text: is empty" in imported.stderr
        state = shared_service.client.get("/v1/collections/shop").json()
        assert (state["records"], state["groups"], state["last_seq"]) == (3, 3, 3), stored
    assert shared_service.client.get("/v1/collections/shop/groups/refund").json()["title"] == "How to get a refund?"
    record = shared_service.client.get("/v1/collections/shop/records?limit=1").json()["items"][0]
    assert (record["source"], record["text"]) == ("import", "I want my money back")
    found = samesay("search", "shop", "money back", "--url", url)
    assert found.returncode == 0
    assert found.stdout.index("I want my money back") < found.stdout.index("I cannot log in")
    decided = samesay("classify", "shop", "I want my money back", "--url", url)
    assert decided.stdout.startswith("matched (confidence ")
    assert "refund" in decided.stdout
    listed = samesay("collections", "list", "--url", url)
    assert "shop" in listed.stdout


def test_an_import_in_an_encoding_that_is_said(shared_service: Running, url: str, tmp_path: Path) -> None:
    name, file = make_collection(shared_service), tmp_path / "faq.csv.gz"
    lines = ["id,text", "a,我的訂單在哪裡", "b,如何取消訂閱服務", "c,請問運費怎麼計算"]
    file.write_bytes(gzip.compress("\n".join(lines).encode("big5")))
    unsaid = samesay("import", name, str(file), "--url", url)
    assert unsaid.returncode == 1
    assert "or say which it is (charset=big5)" in unsaid.stderr
    unknown = samesay("import", name, str(file), "--url", url, "--charset", "big6")
    assert unknown.returncode == 1
    assert "charset=big6 is not taken: send one of utf-8" in unknown.stderr
    said = samesay("import", name, str(file), "--url", url, "--charset", "big5")
    assert said.returncode == 0, said.stderr
    records = shared_service.client.get(f"/v1/collections/{name}/records").json()["items"]
    assert [f"{record['id']},{record['text']}" for record in records] == lines[1:]


@pytest.mark.parametrize("packed", [False, True])
def test_an_import_of_what_is_piped_in(shared_service: Running, url: str, tmp_path: Path, packed: bool) -> None:
    name = make_collection(shared_service)
    rows = b"".join(b'{"id": "r%d", "text": "sentence %d"}\n' % (n, n) for n in range(5000))
    content = gzip.compress(rows) if packed else rows
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(content)

    writing = threading.Thread(target=write)
    writing.start()
    with os.fdopen(reader, "rb") as pipe:
        imported = samesay("import", name, "-", "--form", "ndjson", "--url", url, stdin=pipe)
    writing.join()
    assert imported.returncode == 0, imported.stderr
    assert imported.stdout.startswith("5000 rows: 5000 created")


def test_an_import_of_stdin_begins_where_it_is_and_wants_its_form(
    shared_service: Running, url: str, tmp_path: Path
) -> None:
    name, file = make_collection(shared_service), tmp_path / "rows"
    file.write_bytes(b'not mine\n{"id": "r", "text": "x"}\n')
    with file.open("rb", buffering=0) as begun:
        begun.readline()
        unsaid = samesay("import", name, "-", "--url", url, stdin=begun)
        assert (unsaid.returncode, "give --form ndjson|csv|tsv|parquet|xlsx" in unsaid.stderr) == (1, True)
        imported = samesay("import", name, "-", "--form", "ndjson", "--url", url, stdin=begun)
    assert imported.stdout.startswith("1 rows: 1 created"), imported.stderr
    closed = subprocess.run(
        command("import", name, "-", "--form", "ndjson", "--url", url),
        preexec_fn=lambda: os.close(0),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (closed.returncode, "stdin is closed" in closed.stderr) == (1, True), closed.stderr
    named = samesay("import", name, str(file), "--form", "ndjson", "--max-rejected", "1", "--url", url)
    assert named.stdout.startswith("2 rows: 0 created, 0 updated, 1 unchanged, 1 rejected"), named.stderr


def test_a_spreadsheet_is_converted_for_the_trainer(tmp_path: Path) -> None:
    book, source, target = openpyxl.Workbook(), tmp_path / "faq.xlsx", tmp_path / "faq.ndjson"
    rows = [["标准问", "问法", "note"], *([f"g{n % 4}", f"第{n}种问法 {n % 4}", n] for n in range(40)), ["g1", 4.5, ""]]
    for row in rows:
        book.active.append(row)
    book.save(source)
    refused = samesay("train", str(source), "--out", str(tmp_path / "run"))
    assert f"samesay convert {source} faq.ndjson makes one" in refused.stderr
    columns = ("--columns", "text:问法,group:标准问")
    done = samesay("convert", str(source), str(target), *columns)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"40 sentences in {target}; left out: 1 rejected\n"
    assert "line 42: text: cell B42 is the number 4.5" in done.stderr
    assert "columns that were not read: note" in done.stderr
    again = samesay("convert", str(source), str(target), *columns)
    assert (again.returncode, "give --force" in again.stderr) == (1, True)
    other = samesay("convert", str(source), str(tmp_path / "faq.tsv"))
    assert (other.returncode, "name it .ndjson or .jsonl" in other.stderr) == (1, True)
    piped = samesay("convert", "-", str(tmp_path / "piped.ndjson"), "--form", "xlsx")
    assert (piped.returncode, "give the name of a file" in piped.stderr) == (1, True)
    few = samesay("convert", str(source), str(target), *columns, "--max-rejected", "0", "--force")
    assert (few.returncode, "allow more by --max-rejected" in few.stderr) == (1, True)
    trained = samesay("train", str(target), "--out", str(tmp_path / "run"), "--recipe", "smoke")
    assert trained.returncode == 0, trained.stderr


def test_an_import_names_what_the_server_refused(shared_service: Running, url: str, tmp_path: Path) -> None:
    name = make_collection(shared_service)
    file = tmp_path / "some.ndjson"
    lines = [
        '{"id": "a", "text": "A"}',
        '{"id": "a", "text": "B"}',
        '{"id": "x/y", "text": "C"}',
        '{"id": "d\u2028e", "text": "D"}',  # no end of a line, though some readers of lines think so
    ]
    file.write_text("\n".join(lines))
    imported = samesay("import", name, str(file), "--url", url)
    assert imported.returncode == 0, imported.stderr
    assert imported.stdout.startswith("4 rows: 2 created, 1 updated, 0 unchanged, 1 rejected; ")
    assert "line 3: " in imported.stderr
    assert "slash" in imported.stderr
    strict = samesay("import", name, str(file), "--url", url, "--max-rejected", "0")
    assert strict.returncode == 1
    assert "too_many_rejected" in strict.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("search", "faq", "a", "--url", "http://127.0.0.1:9"), "samesay serve"),
        (("search", "faq", "a", "--url", "nonsense"), "no URL"),
        (("import", "nobody", "x.tsv"), "there is no collection 'nobody'"),
        (("collections", "create", "x", "--encoder", "nobody"), "registered are tiny"),
        (("classify", "nobody", "a"), "GET /v1/collections lists them"),
        (("export", "nobody", "no-such-folder/all.ndjson"), "there is no folder no-such-folder"),
    ],
)
def test_errors_are_one_line_with_the_remedy(url: str, arguments: tuple[str, ...], said: str) -> None:
    refused = samesay(*arguments, SAMESAY_URL=url)
    assert refused.returncode == 1
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_export_to_stdout_is_that_to_a_file_and_may_be_cut_short(
    shared_service: Running, url: str, tmp_path: Path
) -> None:
    name, file = make_collection(shared_service), tmp_path / "all.ndjson"
    rows = [{"id": f"r{n}", "text": f"{n} " + "long " * 60} for n in range(1000)]
    assert shared_service.client.post(f"/v1/collections/{name}/records:batch", json={"upsert": rows}).is_success
    assert samesay("export", name, str(file), "--url", url).returncode == 0
    told = samesay("export", name, "-", "--url", url)
    assert (told.returncode, told.stdout) == (0, file.read_text())
    assert len(told.stdout) > 200_000  # more than a pipe holds
    with subprocess.Popen(
        command("export", name, "-", "--url", url), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as cut:
        assert cut.stdout is not None and cut.stderr is not None
        assert cut.stdout.read(5) == b'{"id"'
        cut.stdout.close()
        assert b"Traceback" not in cut.stderr.read()
        assert cut.wait(30) == 1


def test_db_upgrade_and_the_trainers_exit_code(tmp_path: Path) -> None:
    upgraded = samesay("db", "upgrade", "--data", str(tmp_path))
    assert upgraded.stdout == f"sqlite is at schema {head()}\n"
    assert f"{tmp_path} held no database: a new one was made there" in upgraded.stderr
    again = samesay("db", "upgrade", "--data", str(tmp_path))
    assert (again.stdout, again.stderr) == (upgraded.stdout, "")
    refused = samesay("db", "upgrade", SAMESAY_DATABASE_URL="mysql://x/y")
    assert (refused.returncode, "postgresql://" in refused.stderr) == (1, True)
    trained = samesay("train", "no-such-file.tsv", "--out", str(tmp_path / "run"))
    assert trained.returncode != 0
    assert "no-such-file.tsv" in trained.stderr + trained.stdout


@pytest.mark.parametrize("arguments", [("--help",), ("search", "--help"), ("serve", "--help"), ("backup", "--help")])
def test_help_does_not_wait_for_the_service(arguments: tuple[str, ...]) -> None:
    heavy = {"onnxruntime", "faiss", "sqlalchemy", "torch", "numpy", "fastapi"}
    program = f"""
import sys
from app.cli import app
try:
    app({list(arguments)!r})
except SystemExit as end:
    assert not end.code
print(sorted({heavy!r} & set(sys.modules)))
"""
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert shown.stdout.splitlines()[-1] == "[]"
    assert "Usage" in shown.stdout


@pytest.mark.parametrize("arguments", [["serve", "--port", "0"], ["encoders", "list"]])
def test_a_missing_runtime_is_named_before_it_is_imported(tmp_path: Path, arguments: list[str]) -> None:
    program = f"""
import sys
sys.modules["onnxruntime"] = sys.modules["faiss"] = None
from model.contract import runtime
runtime._is_installed = lambda distribution: False
from app.cli import app
app({[*arguments, "--data", str(tmp_path)]!r})
"""
    refused = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (refused.returncode, "pip install 'samesay[cpu]'" in refused.stderr) == (1, True), refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_import_leaves_the_titles_of_refused_groups_out(shared_service: Running, url: str, tmp_path: Path) -> None:
    name = make_collection(shared_service)
    file = tmp_path / "faq.tsv"
    file.write_text("group\ttitle\ttext\nbad/name\tBad\ta\ngood\tGood\tb\n")
    imported = samesay("import", name, str(file), "--url", url)
    assert (imported.returncode, "slash" in imported.stderr) == (0, True), imported.stderr
    assert imported.stdout.startswith("2 rows: 1 created, 0 updated, 0 unchanged, 1 rejected; ")
    assert shared_service.client.get(f"/v1/collections/{name}/groups/good").json()["title"] == "Good"


@pytest.mark.parametrize("form", ["ndjson", "parquet"])
def test_an_export_comes_back_by_an_import(shared_service: Running, url: str, tmp_path: Path, form: str) -> None:
    name, other = make_collection(shared_service), make_collection(shared_service)
    file = tmp_path / "some.tsv"
    file.write_text("id\tgroup\ttext\n" + "".join(f"r{n}\tg{n % 3}\tsentence {n}\n" for n in range(50)))
    assert samesay("import", name, str(file), "--url", url).returncode == 0
    exported = tmp_path / f"all.{form}"
    written = samesay("export", name, str(exported), "--url", url)
    assert written.stdout.startswith(f"50 records and 3 groups in {exported}, "), written.stderr
    again = samesay("export", name, str(exported), "--url", url)
    assert (again.returncode, "--force" in again.stderr) == (1, True)
    back = samesay("import", other, str(exported), "--url", url)
    assert "50 created" in back.stdout, back.stderr
    assert not list(tmp_path.glob("*.part"))


def test_jobs_are_listed_followed_and_cancelled(shared_service: Running, url: str, tmp_path: Path) -> None:
    name = make_collection(shared_service)
    file = tmp_path / "some.tsv"
    file.write_text("id\ttext\n" + "".join(f"r{n}\tsentence {n}\n" for n in range(200_000)))
    sent = samesay("import", name, str(file), "--detach", "--url", url)
    job = sent.stdout.strip()
    assert re.fullmatch("[0-9a-f]{32}", job), sent.stderr
    assert job in samesay("jobs", "list", "--url", url).stdout
    assert samesay("jobs", "cancel", job, "--url", url).stdout.strip() == "cancelled"
    followed = samesay("jobs", "follow", job, "--url", url)
    assert (followed.returncode, followed.stdout.strip()) == (1, "cancelled")
    again = samesay("jobs", "cancel", job, "--url", url)
    assert (again.returncode, "nothing left to cancel" in again.stderr) == (1, True)


@pytest.mark.parametrize("encoding", ["gbk", "latin-1", "ascii"])
def test_what_a_terminal_cannot_show_is_escaped(shared_service: Running, url: str, encoding: str) -> None:
    name, text = make_collection(shared_service), "退款 😀 café"
    place = f"/v1/collections/{name}"
    shared_service.client.put(f"{place}/records/a?wait=visible", json={"text": text}).raise_for_status()
    shared_service.client.post(f"{place}/feedback", json={"text": text, "verdict": "wrong_answer"}).raise_for_status()

    def printed(*arguments: str) -> str:
        environment = {**os.environ, "SAMESAY_URL": url, "PYTHONIOENCODING": encoding}
        done = subprocess.run([sys.executable, "-m", "app", *arguments], env=environment, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode(encoding)

    for shown in (printed("search", name, text), printed("feedback", "list", name)):
        assert text.encode(encoding, "backslashreplace").decode(encoding) in shown
    assert json.loads(printed("feedback", "list", name, "--json"))[0]["text"] == text


@pytest.mark.parametrize(
    ("shell", "said"), [("search {} x > /dev/full", "No space left on device"), ("collections list >&-", "")]
)
def test_an_output_that_takes_nothing_is_told_in_a_line(
    shared_service: Running, url: str, shell: str, said: str
) -> None:
    name = make_collection(shared_service)
    command = f"{sys.executable} -m app {shell.format(name)}"
    done = subprocess.run(
        ["bash", "-c", command], env={**os.environ, "SAMESAY_URL": url}, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert said in done.stderr
    assert (done.returncode != 0) == bool(said)
