"""What makes releases, with bundles at hand in the place of trainings: a release takes milliseconds."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from app.job.kinds import Kind
from app.job.run import JobRun
from app.job.tables import Job
from app.job.worker import Worker
from app.settings import Settings
from app.training import running as making
from app.worker_duties import duties_of
from tests.fakes.running import Running, wait_for

OVER = ("succeeded", "failed", "cancelled")


@dataclass
class FakeTrainer:
    """Stands in for `python -m model check | train | judge`.

    Attributes:
        bundle: What a training comes to.
        reasons: Why the gate refuses; none where it does not.
        fatal: What the data check cannot go on with.
        calls: Commands so far, each with the rows it was given.
        before: Called before each command.
    """

    bundle: Path
    reasons: list[str] = field(default_factory=list)
    fatal: dict[str, str] | None = None
    calls: list[tuple[str, list[dict[str, Any]]]] = field(default_factory=list)
    before: Callable[[JobRun, str], None] = lambda run, command: None

    def __call__(self, run: JobRun, stage: str, arguments: Sequence[str]) -> None:
        command, rows = arguments[0], Path(arguments[1]).read_text().splitlines()
        self.before(run, command)
        self.calls.append((command, [json.loads(row) for row in rows]))
        out = Path(arguments[arguments.index("--out") + 1])
        if command == "train":
            shutil.rmtree(out, ignore_errors=True)
            shutil.copytree(self.bundle, out / "bundle")
        elif command == "judge":
            assert (Path(arguments[arguments.index("--candidate") + 1]) / "manifest.json").exists()
            out.write_text(json.dumps({"passed": not self.reasons, "reasons": self.reasons, "confusions": []}))
        else:
            out.write_text(json.dumps({"findings": [], "fatal": self.fatal}))

    @property
    def commands(self) -> list[str]:
        """The commands so far."""
        return [command for command, _ in self.calls]


def install(monkeypatch: pytest.MonkeyPatch, trainer: FakeTrainer) -> FakeTrainer:
    """Have jobs of this process call it."""
    monkeypatch.setattr(making, "run_trainer", trainer)
    return trainer


def worker_of(service: Running, name: str = "w1") -> Worker:
    """A worker for releases in the test's own process; the service must have none."""
    settings: Settings = service.container.settings
    return Worker(service.container.database, duties_of(settings, Kind.RELEASES), name, settings.jobs)


def let_leases_run_out(service: Running) -> None:
    """Every worker counts as dead."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    service.container.database.write(lambda session: session.execute(update(Job).values(lease_until=before))).result()


def job_of(service: Running, key: str) -> dict[str, Any]:
    """A job as clients see it."""
    found: dict[str, Any] = service.client.get(f"/v1/jobs/{key}").json()
    return found


def ended(service: Running, key: str) -> dict[str, Any]:
    """The job once it is over."""
    wait_for(lambda: job_of(service, key)["state"] in OVER)
    return job_of(service, key)


def order(service: Running, place: str, **body: Any) -> str:
    """Order a training (or, with an encoder, an adoption); the job's id."""
    answer = service.client.post(f"{place}/{'releases' if 'encoder' in body else 'trainings'}", json=body)
    assert answer.status_code == 202, answer.text
    key: str = answer.json()["id"]
    assert answer.headers["Location"] == f"/v1/jobs/{key}"
    return key


def made(service: Running, place: str, **body: Any) -> dict[str, Any]:
    """Order a release and see it through."""
    key = order(service, place, **body)
    worker_of(service).run_next()
    return ended(service, key)
