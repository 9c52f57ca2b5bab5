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
    ("options", "pages", "asked", "shown"),
    [
        ([], [page(1, 100, "c1")], [("100", None)], 100),
        (["--limit", "1200"], [page(1, 1000, "c1"), page(1001, 200, "c2")], [("1000", None), ("200", "c1")], 1200),
        (["--limit", "5000"], [page(1, 1000, "c1"), page(1001, 3, None)], [("1000", None), ("1000", "c1")], 1003),
    ],
)
def test_events_are_asked_for_until_there_are_enough(
    options: list[str], pages: list[Reply], asked: list[tuple[str, str | None]], shown: int
) -> None:
    with scripted(*pages) as server:
        done = CliRunner().invoke(app, ["releases", "events", "faq", *options, "--url", server.url])
    assert done.exit_code == 0, done.output
    queries = [parse_qs(urlsplit(seen.path).query) for seen in server.seen]
    assert [(query["limit"][0], query.get("cursor", [None])[0]) for query in queries] == asked
    assert sum("promoted" in line for line in done.stdout.splitlines()) == shown
