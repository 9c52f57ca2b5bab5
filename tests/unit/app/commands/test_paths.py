"""Names and ids that commands are given lead to nothing else."""

from pathlib import Path
from urllib.parse import unquote

import pytest
from typer.testing import CliRunner

from app.cli import app
from tests.fakes.scripted import refusal, scripted

COMMANDS = {
    "jobs cancel {}": ("/v1/jobs/", ""),
    "jobs follow {}": ("/v1/jobs/", ""),
    "import {} faq.tsv": ("/v1/collections/", ""),
    "export {} out.ndjson": ("/v1/collections/", "/exports"),
    "search {} text": ("/v1/collections/", ":search"),
    "classify {} text": ("/v1/collections/", ":classify"),
    "retrain {}": ("/v1/collections/", "/trainings"),
    "releases list {}": ("/v1/collections/", "/releases"),
    "releases report {} 1": ("/v1/collections/", "/releases/1/report"),
    "releases promote {} 1": ("/v1/collections/", "/releases/1:promote"),
    "releases rollback {} 1": ("/v1/collections/", "/releases/1:rollback"),
    "releases add {} encoder": ("/v1/collections/", "/releases"),
    "releases events {}": ("/v1/collections/", "/release-events"),
    "feedback list {}": ("/v1/collections/", "/feedback?limit=100&state=pending"),
    "feedback queue {}": ("/v1/collections/", "/feedback/clusters"),
    "feedback accept {} 1": ("/v1/collections/", "/feedback:resolve"),
    "feedback reject {} 1": ("/v1/collections/", "/feedback:resolve"),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("faq.tsv").write_text("text\tgroup\na\tg\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_name_is_one_step_whatever_is_in_it(command: str) -> None:
    name = "../collections/faq?x"
    with scripted(refusal(404, "not_found")) as server:
        done = CliRunner().invoke(app, [*(word.format(name) for word in command.split()), "--url", server.url])
    assert done.exit_code == 1, done.output
    (seen,) = server.seen
    begin, end = COMMANDS[command]
    *_, step = seen.path.partition(begin)
    step = step.partition("/")[0].partition("?")[0].partition(":")[0]
    assert unquote(step) == name
    assert seen.path.startswith(begin + step + end)


@pytest.mark.parametrize("name", ["", ".", ".."])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_name_that_http_takes_away_is_refused_and_nothing_is_sent(command: str, name: str) -> None:
    with scripted() as server:
        done = CliRunner().invoke(app, [*(word.format(name) for word in command.split()), "--url", server.url])
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit), done.exception
    assert f"error: {name!r} is not the name or id" in done.stderr
    assert not server.seen
