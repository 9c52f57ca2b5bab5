"""The commands that talk to a running server."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import make_collection
from tests.fakes.running import Running
from tests.fakes.spawned import samesay


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
    ]
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    for stored in range(2):  # a second import changes nothing
        imported = samesay("import", "shop", str(file), "--url", url)
        assert imported.returncode == 0, imported.stderr
        assert re.search(r"^3 records are searchable, 1 lines left out", imported.stdout), imported.stdout
        assert "line 6: text is empty" in imported.stderr
        state = shared_service.client.get("/v1/collections/shop").json()
        assert (state["records"], state["groups"], state["last_seq"]) == (3, 2, 3), stored
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


def test_an_import_names_what_the_server_refused(shared_service: Running, url: str, tmp_path: Path) -> None:
    name = make_collection(shared_service)
    file = tmp_path / "some.ndjson"
    lines = [
        '{"id": "a", "text": "A"}',
        '{"id": "a", "text": "B"}',
        '{"id": "x/y", "text": "C"}',
        '{"id": "d", "text": "D"}',
    ]
    file.write_text("\n".join(lines))
    imported = samesay("import", name, str(file), "--url", url)
    assert imported.returncode == 1
    assert "2 records are searchable, 2 lines left out" in imported.stdout
    assert "line 2: the id 'a' is in this batch before" in imported.stderr
    assert "line 3: " in imported.stderr
    assert "slash" in imported.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("search", "faq", "a", "--url", "http://127.0.0.1:9"), "samesay serve"),
        (("search", "faq", "a", "--url", "nonsense"), "no URL"),
        (("import", "nobody", "x.tsv"), "there is no collection 'nobody'"),
        (("collections", "create", "x", "--encoder", "nobody"), "registered are tiny"),
        (("classify", "nobody", "a"), "GET /v1/collections lists them"),
    ],
)
def test_errors_are_one_line_with_the_remedy(url: str, arguments: tuple[str, ...], said: str) -> None:
    refused = samesay(*arguments, SAMESAY_URL=url)
    assert refused.returncode == 1
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_db_upgrade_and_the_trainers_exit_code(tmp_path: Path) -> None:
    upgraded = samesay("db", "upgrade", "--data", str(tmp_path))
    assert upgraded.stdout == "sqlite is at schema 0002\n"
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
    assert (imported.returncode, "slash" in imported.stderr) == (1, True), imported.stderr
    assert "1 records are searchable, 1 lines left out" in imported.stdout
    assert shared_service.client.get(f"/v1/collections/{name}/groups/good").json()["title"] == "Good"
