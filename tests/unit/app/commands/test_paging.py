"""`samesay releases events`: as many as are asked for, page after page."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner

from app.cli import app
from tests.fakes.scripted import Reply, answer, scripted


def page(first: int, n: int, cursor: str | None) -> Reply:
    """Events of releases that count up from `first`."""
    items: list[dict[str, Any]] = [
        {"release": first + k, "action": "promoted", "who": "me", "why": "", "at": "2026-11-29T06:00:00Z"}
        for k in range(n)
    ]
    return answer({"items": items, "next_cursor": cursor})


@pytest.mark.parametrize(
    ("options", "pages", "asked", "shown", "are_more"),
    [
        ([], [page(1, 100, "c1")], [("100", None)], 100, True),
        ([], [page(1, 100, None)], [("100", None)], 100, False),
        (
            ["--limit", "1200"],
            [page(1, 1000, "c1"), page(1001, 200, "c2")],
            [("1000", None), ("200", "c1")],
            1200,
            True,
        ),
        (
            ["--limit", "5000"],
            [page(1, 1000, "c1"), page(1001, 3, None)],
            [("1000", None), ("1000", "c1")],
            1003,
            False,
        ),
    ],
)
def test_events_are_asked_for_until_there_are_enough(
    options: list[str], pages: list[Reply], asked: list[tuple[str, str | None]], shown: int, are_more: bool
) -> None:
    with scripted(*pages) as server:
        done = CliRunner().invoke(app, ["releases", "events", "faq", *options, "--url", server.url])
    assert done.exit_code == 0, done.output
    queries = [parse_qs(urlsplit(seen.path).query) for seen in server.seen]
    assert [(query["limit"][0], query.get("cursor", [None])[0]) for query in queries] == asked
    assert sum("promoted" in line for line in done.stdout.splitlines()) == shown
    assert ("there are more: --limit shows more of them" in done.stderr) == are_more


ITEM = {
    "id": "f1", "source": "client", "verdict": "wrong_answer", "decision": None, "group": None, "groups": None,
    "state": "pending", "count": 1, "text": "where is it",
}  # fmt: skip
JOB = {
    "id": "j", "type": "import", "collection": "faq", "state": "queued", "error": None, "started_at": None,
    "progress": {"stage": "queued", "done": 0, "total": None},
}  # fmt: skip


@pytest.mark.parametrize("cursor", [None, "c1"])
@pytest.mark.parametrize(
    ("command", "item"), [("feedback list faq", ITEM), ("feedback list faq --json", ITEM), ("jobs list", JOB)]
)
def test_a_list_that_is_cut_says_so_beside_it(command: str, item: dict[str, Any], cursor: str | None) -> None:
    with scripted(answer({"items": [item], "next_cursor": cursor})) as server:
        done = CliRunner().invoke(app, [*command.split(), "--limit", "1", "--url", server.url])
    assert done.exit_code == 0, done.output
    assert ("there are more" in done.stderr, "more" in done.stdout) == (cursor is not None, False)
