"""The page of a release over a real socket: texts as they are now, in a page that may fetch nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.release.page.page import HEADERS
from app.settings import Settings
from tests.conftest import make_collection
from tests.fakes.release_report import make_report, rows_with_faults
from tests.fakes.running import Running, running
from tests.fakes.tiny_bundle import make_tiny_bundle
from tests.fakes.trainer import FakeTrainer, install, made


class ReportingTrainer(FakeTrainer):
    """Writes a check and a verdict that were made in earnest."""

    report: dict[str, Any]

    def __call__(self, run: Any, stage: str, arguments: Any) -> None:
        super().__call__(run, stage, arguments)
        out = Path(arguments[arguments.index("--out") + 1])
        if arguments[0] in ("check", "judge"):
            out.write_text(json.dumps(self.report["check" if arguments[0] == "check" else "verdict"]))


@pytest.fixture
def service(registered: Settings) -> Iterator[Running]:
    with running(registered.model_copy(update={"workers": 0})) as started:
        yield started


@pytest.fixture
def place(service: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A collection whose second release was refused, with a report that names its records."""
    make_tiny_bundle(tmp_path / "bundle", seed=5)
    trainer = ReportingTrainer(tmp_path / "bundle")
    trainer.report = make_report(tmp_path / "judged")
    install(monkeypatch, trainer)
    place = f"/v1/collections/{make_collection(service)}"
    records = [{"id": row.id, "text": row.text, "group": row.group, "role": row.role} for row in rows_with_faults()]
    answer = service.client.post(f"{place}/records:batch", json={"upsert": records}, params={"wait": "visible"})
    assert answer.status_code == 200 and all(item["seq"] for item in answer.json()["items"]), answer.text
    job = made(service, place, recipe="smoke", why="because <of> this")
    assert job["error"]["code"] == "gate_refused", job
    return place


def page(service: Running, place: str) -> str:
    answer = service.client.get(f"{place}/releases/2/report", params={"form": "html"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    return answer.text


def test_the_page_shows_records_as_they_are_now(service: Running, place: str, tmp_path: Path) -> None:
    report = service.client.get(f"{place}/releases/2/report").json()["report"]
    key, other = report["verdict"]["confusions"][0]["asked"][:2]
    texts = {row.id: row.text for row in rows_with_faults()}
    assert texts[key] not in json.dumps(report), "what is stored names ids alone"
    shown = page(service, place)
    assert texts[key] in shown and texts[other] in shown and "<em>deleted</em>" not in shown
    assert "Release 2 was refused by the gate" in shown and "because &lt;of&gt; this" in shown
    assert "<td>refused</td>" in shown, "its events are told"

    assert service.client.post(f"{place}/records:erase", json={"ids": [key]}).status_code in (200, 202)
    service.client.put(f"{place}/records/{other}", json={"text": "said anew <now>", "group": "g1"})
    shown = page(service, place)
    assert texts[key] not in shown and texts[other] not in shown
    assert "<em>deleted</em>" in shown and "said anew &lt;now&gt;" in shown

    file = tmp_path / "report.html"
    name = place.rsplit("/", 1)[1]
    done = CliRunner().invoke(app, ["releases", "report", name, "2", "--html", str(file), "--url", service.url])
    assert done.exit_code == 0, done.output
    assert file.read_text() == shown


@pytest.mark.parametrize("form", ["json", "html"])
def test_a_release_without_a_report_and_none_have_no_page(service: Running, form: str) -> None:
    place = f"/v1/collections/{make_collection(service)}"
    for number, code in ((1, "not_found"), (9, "not_found")):
        answer = service.client.get(f"{place}/releases/{number}/report", params={"form": form})
        assert (answer.status_code, answer.json()["code"]) == (404, code)


def test_another_form_is_refused(service: Running) -> None:
    place = f"/v1/collections/{make_collection(service)}"
    answer = service.client.get(f"{place}/releases/1/report", params={"form": "pdf"})
    assert answer.status_code == 422 and "form" in answer.text
