"""Options and names of files that commands take."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app
from tests.fakes.scripted import answer, scripted


@pytest.mark.parametrize("option", ["-k", "--k"])
def test_the_neighbours_wanted_have_a_short_and_a_long_option(option: str) -> None:
    with scripted(answer({"results": [[]], "truncated": False})) as server:
        done = CliRunner().invoke(app, ["search", "faq", "my money", option, "7", "--url", server.url])
    assert done.exit_code == 0, done.output
    assert json.loads(server.seen[0].body) == {"query": "my money", "k": 7}


@pytest.mark.parametrize(
    "name", ["out.foo", "out", "out.csv", "out.tsv", "out.xlsx", "out.ndjson.gz", "out.parquet.zst"]
)
def test_an_export_offers_only_the_forms_that_it_writes(tmp_path: Path, name: str) -> None:
    with scripted() as server:
        done = CliRunner().invoke(app, ["export", "faq", str(tmp_path / name), "--url", server.url])
    assert done.exit_code == 1 and not server.seen
    offered = done.stderr.split("name it ")[1]
    assert ".ndjson" in offered and ".parquet" in offered
    assert not any(refused in offered for refused in (".csv", ".tsv", ".xlsx", ".gz", ".zst"))


def test_the_trainers_help_names_the_command_that_people_type() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "model", "train", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    assert "samesay train [OPTIONS]" in shown.stdout
    assert "python -m model" not in shown.stdout.split("torchrun")[0]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["serve"], ["SAMESAY_HOST", "127.0.0.1", "SAMESAY_PORT", "8765", "SAMESAY_DATA", "default: data"]),
        (["encoders", "add"], ["SAMESAY_DATA", "default: data"]),
    ],
)
def test_the_help_names_variables_and_defaults(command: list[str], told: list[str]) -> None:
    """What stands in square brackets is markup to what prints the help, and is not shown."""
    shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
    assert [part for part in told if part not in " ".join(shown.output.split())] == []


@pytest.mark.parametrize("command", ["serve", "worker", "keys list", "encoders list", "db upgrade", "backup all.tar"])
@pytest.mark.parametrize("given", ["", " "])
def test_an_empty_folder_is_not_the_current_one(
    command: str, given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of `--data "$DATA"` where the variable is not set: the server would have lived where it was started."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, [*command.split(), "--data", given])
    assert done.exit_code == 2
    assert "is empty: name a folder" in " ".join(done.output.split())
    assert not list(tmp_path.iterdir())
