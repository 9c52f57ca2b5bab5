"""Following a job from the command line, across a server that is started anew."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.commands import following
from tests.fakes.scripted import HANG_UP, Reply, answer, refusal, scripted

_KEY = "0123456789abcdef0123456789abcdef"


def job(state: str, **more: Any) -> Reply:
    """What a server says of the job."""
    progress = {"stage": "storing", "done": 3, "total": 3, "unit": "rows", "per_second": None, "eta_s": None}
    return answer(
        {"id": _KEY, "state": state, "progress": {**progress, "note": {}}, "error": None, "result": None, **more}
    )


RESULT = {
    "rows": 3, "created": 3, "updated": 0, "unchanged": 0, "rejected": 0, "group": 0,
    "ignored_columns": [], "dry_run": False,
}  # fmt: skip
PROXY = Reply(502, b"<html>bad gateway</html>")


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "faq.tsv"
    path.write_text("text\tgroup\na\tg\nb\tg\nc\tg\n")
    return str(path)


def test_an_import_sits_out_a_restart_of_the_server_and_says_so_once(file: str) -> None:
    away = [HANG_UP, refusal(503, "unavailable"), PROXY]
    over = job("succeeded", result=RESULT)
    with scripted(answer({}), job("queued"), job("running"), *away, job("running"), *away, over) as server:
        done = CliRunner().invoke(app, ["import", "faq", file, "--url", server.url])
    assert done.exit_code == 0, done.output
    assert not server.script
    assert done.stderr.count("waiting up to 60 s for it to come back") == 2
    assert done.stderr.count("answers again") == 2
    assert done.stdout.startswith("3 rows: 3 created")


def test_giving_up_names_the_job_and_how_to_go_on(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PATIENCE_S", 0.3)
    with scripted(answer({}), job("queued"), job("running"), *[HANG_UP] * 100) as server:
        done = CliRunner().invoke(app, ["import", "faq", file, "--url", server.url])
    assert done.exit_code == 1
    assert f"samesay jobs follow {_KEY} --url {server.url}" in done.stderr.replace("\n", " ")


@pytest.mark.parametrize("reply", [refusal(404, "not_found"), HANG_UP])
def test_a_job_that_is_not_there_is_not_waited_for(reply: Reply) -> None:
    with scripted(reply, job("succeeded")) as server:
        done = CliRunner().invoke(app, ["jobs", "follow", _KEY, "--url", server.url])
    assert done.exit_code == 1 and "waiting" not in done.output
    assert len(server.seen) == 1


def test_a_job_that_is_lost_meanwhile_ends_the_waiting() -> None:
    with scripted(job("running"), job("running"), refusal(404, "not_found")) as server:
        done = CliRunner().invoke(app, ["jobs", "follow", _KEY, "--url", server.url])
    assert done.exit_code == 1 and "not_found" in done.stderr


def test_an_import_needs_no_key_that_may_read(file: str) -> None:
    with scripted(refusal(403, "forbidden"), job("queued"), job("succeeded", result=RESULT)) as server:
        done = CliRunner().invoke(app, ["import", "faq", file, "--url", server.url])
    assert (done.exit_code, done.stdout.startswith("3 rows: 3 created")) == (0, True), done.output
    assert [seen.method for seen in server.seen] == ["GET", "POST", "GET"]
