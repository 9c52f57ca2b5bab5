"""What other people wrote cannot command the terminal of whoever looks at it."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli import app
from tests.fakes.scripted import Reply, answer, scripted

EVIL = "\x1b]52;c;cm0=\x07\x9b2J\u202ex\x7f"
ITEM = {
    "id": "f1", "source": "kept_query", "verdict": None, "decision": "no_match", "group": None, "groups": [],
    "state": "pending", "count": 1, "text": EVIL,
}  # fmt: skip
CLUSTER = {
    "priority": 1.0, "count": 1, "suggestion": {"action": "look", "group": EVIL}, "groups": [], "items": [ITEM],
}  # fmt: skip
PROGRESS = {"stage": "storing", "done": 1, "total": 1, "unit": "rows", "per_second": None, "eta_s": None, "note": {}}
JOB = {"id": "j", "type": "import", "collection": "faq", "progress": PROGRESS, "started_at": None}
FAILED = {**JOB, "state": "failed", "result": None, "error": {"code": "unreadable", "detail": EVIL}}
REFUSED = answer({"code": "conflict", "detail": EVIL}, 409)
REPORT = {"previous": 1, "verdict": {"passed": False, "reasons": [EVIL], "rules": []}}
DONE = {
    "rows": 1, "created": 0, "updated": 0, "unchanged": 0, "rejected": 1, "group": 0, "ignored_columns": [EVIL],
    "dry_run": False,
}  # fmt: skip
IMPORTED = [
    answer({}),
    answer({**JOB, "state": "queued"}),
    answer({**JOB, "state": "succeeded", "result": DONE, "error": None}),
    Reply(200, json.dumps({"line": 1, "status": 422, "detail": EVIL}).encode()),
]


def items(*found: Any) -> Reply:
    return answer({"items": found, "next_cursor": None})


@pytest.mark.parametrize(
    ("command", "replies"),
    [
        ("feedback list faq", [items(ITEM)]),
        ("feedback list faq --json", [items(ITEM)]),
        ("feedback queue faq", [answer({"clusters": [CLUSTER], "pending": 1, "considered": 1})]),
        (
            "search faq x",
            [answer({"results": [[{"score": 1, "group": EVIL, "id": EVIL, "text": EVIL}]], "truncated": 0})],
        ),
        ("releases report faq 2", [answer({"report": REPORT})]),
        ("releases report faq 2 --json", [answer({"report": REPORT})]),
        ("jobs list", [items(FAILED | {"collection": EVIL})]),
        ("jobs follow j", [answer(FAILED)] * 2),
        ("jobs cancel j", [REFUSED]),
        ("import faq faq.tsv", IMPORTED),
    ],
)
def test_what_a_terminal_would_obey_is_shown_instead(
    command: str, replies: list[Reply], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("faq.tsv").write_text("text\tgroup\na\tg\n")
    with scripted(*replies) as server:
        done = CliRunner().invoke(app, [*command.split(), "--url", server.url])
    assert not server.script and (done.exception is None or isinstance(done.exception, SystemExit)), done.exception
    assert r"\u001b]52;c;cm0=\u0007\u009b2J\u202ex\u007f" in done.output
    assert not [sign for sign in done.output if unicodedata.category(sign) in ("Cc", "Cf") and sign != "\n"]
