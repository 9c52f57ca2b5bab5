"""`samesay releases promote` and `samesay retrain`: what they say once a release is made."""

import pytest
from typer.testing import CliRunner

from app.cli import app
from tests.fakes.scripted import Reply, answer, scripted


def job(state: str, kind: str = "promotion", release: str = "active", **more: str) -> Reply:
    """What a server says of a job whose release is in this state."""
    progress = {"stage": "building", "done": 1, "total": 1, "unit": "", "per_second": None, "eta_s": None, "note": {}}
    result = {"release": 1, "state": release, "seq": 7, **more}
    said = {"id": "j", "type": kind, "collection": "faq", "state": state, "result": result, "error": None}
    return answer({**said, "progress": progress})


@pytest.mark.parametrize("kind", ["promotion", "training", "adoption"])
def test_a_report_is_named_of_what_was_judged_and_nothing_more_is_asked_for(kind: str) -> None:
    """A key that may choose releases need not be one that may read."""
    command = {"promotion": "releases promote faq 1", "training": "retrain faq", "adoption": "releases add faq e"}[kind]
    with scripted(job("queued", kind), job("succeeded", kind)) as server:
        done = CliRunner().invoke(app, [*command.split(), "--url", server.url])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("release 1 answers since ")
    assert ("samesay releases report faq 1" in done.stdout) == (kind != "promotion")
    assert [seen.path for seen in server.seen][1:] == ["/v1/jobs/j"]


@pytest.mark.parametrize("number", ["0", "-1"])
def test_a_number_that_no_release_has_takes_no_other_back(number: str) -> None:
    with scripted(answer({"active_release": 3})) as server:
        done = CliRunner().invoke(app, ["releases", "rollback", "faq", "--url", server.url, "--", number])
    assert (done.exit_code, server.seen) == (2, [])


def test_a_retraining_whose_release_does_not_answer_says_why() -> None:
    made = job("succeeded", "training", "candidate", not_promoted="another was chosen")
    with scripted(job("queued", "training"), made) as server:
        done = CliRunner().invoke(app, ["retrain", "faq", "--url", server.url])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0] == "release 1 is ready and does not answer: another was chosen"


def test_a_release_that_was_stored_before_its_job_was_cancelled_is_named() -> None:
    with scripted(job("queued", "training"), job("cancelled", "training", "candidate")) as server:
        done = CliRunner().invoke(app, ["retrain", "faq", "--url", server.url])
    assert done.exit_code == 1
    assert "release 1 was stored already: it is kept, and was not promoted" in done.output


def test_a_report_says_what_the_gate_could_not_tell() -> None:
    verdict = {"passed": True, "reasons": [], "notes": ["0 sentences were asked"], "rules": []}
    with scripted(answer({"report": {"previous": 1, "verdict": verdict}})) as server:
        done = CliRunner().invoke(app, ["releases", "report", "faq", "2", "--url", server.url])
    assert done.stdout.splitlines()[:2] == [
        "It passed the gate, judged against release 1.",
        "- 0 sentences were asked",
    ]
