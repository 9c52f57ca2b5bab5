"""When a training is given up whose workers or trainers die: not while each begins from a later checkpoint."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from app.db.database import Database
from app.job.repository import MOST_STALLS, JobRepository, new_job
from app.job.run import JobRun
from app.job.tables import Job, JobState, JobType
from app.job.worker import Duty, Worker
from app.training import running as making
from app.training.children import run_trainer
from tests.conftest import sqlite_only
from tests.fakes.releases import fill
from tests.fakes.running import Running
from tests.fakes.trainer import FakeTrainer, made


class KilledError(BaseException):
    """What kill -9 is to a worker that runs in the test's own process."""


def state_after(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, began: Sequence[list[int]]) -> str:
    """State of a training whose trainer tells of these steps before each of its workers dies."""
    database.write(lambda s: JobRepository(s).add(new_job("a", JobType.TRAINING, 1, "faq", {}))).result()
    script = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(script))
    for steps in began:

        def die(run: JobRun, steps: list[int] = steps) -> dict[str, Any]:
            events = [json.dumps({"event": "begin", "step": step}) for step in steps]
            script.write_text("\n".join(["#!/bin/sh", *(f"echo '{event}' >&2" for event in events)]))
            script.chmod(0o700)
            run_trainer(run, "training", [])
            raise KilledError

        worker = Worker(database, {JobType.TRAINING: Duty(die, lambda folder, state: None)}, "w", tmp_path)
        try:
            worker.run_next()
        except KilledError:
            database.write(lambda s: JobRepository(s).release_all()).result()
    return database.read(lambda s: s.get_one(Job, 1).state)


@sqlite_only
def test_a_training_that_goes_on_from_later_and_later_checkpoints_is_not_given_up(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = [[10 * n] for n in range(MOST_STALLS)]
    refitted = [[10 * MOST_STALLS, 5 * n] for n in range(MOST_STALLS)]  # begins twice: all is trained, some is refitted
    assert state_after(database, tmp_path, monkeypatch, [*trained, *refitted]) == JobState.RUNNING


@sqlite_only
def test_a_training_that_dies_after_the_same_checkpoint_again_and_again_is_given_up(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert state_after(database, tmp_path, monkeypatch, [[10]] * (MOST_STALLS + 2)) == JobState.FAILED


def made_by_trainers(
    service: Running, trainer: FakeTrainer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, began: Sequence[int]
) -> dict[str, Any]:
    """The job of a training whose trainers are killed, each after it began from one of these steps; the next is not."""
    script, steps = tmp_path / "python", iter(began)
    monkeypatch.setattr(sys, "executable", str(script))

    def train(run: JobRun, stage: str, arguments: Sequence[str]) -> None:
        step = next(steps, None) if arguments[0] == "train" else None
        if step is None:
            trainer(run, stage, arguments)
            return
        event = json.dumps({"event": "begin", "step": step})
        script.write_text(f"#!/bin/sh\necho '{event}' >&2\nkill -9 $$\n")
        script.chmod(0o700)
        run_trainer(run, stage, arguments)

    monkeypatch.setattr(making, "run_trainer", train)
    return made(service, fill(service))


def test_a_trainer_that_is_killed_is_started_again_while_it_comes_further(
    service: Running, trainer: FakeTrainer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job = made_by_trainers(service, trainer, monkeypatch, tmp_path, [0, 0, 10, 10, 20, 20, 30, 40])
    assert (job["attempts"], job["error"]) == (1, None)
    assert trainer.commands == ["check", "train", "judge"]


def test_a_trainer_that_is_killed_three_times_after_the_same_checkpoint_is_given_up(
    service: Running, trainer: FakeTrainer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job = made_by_trainers(service, trainer, monkeypatch, tmp_path, [0, 10, 10, 10, 10, 10])
    assert (job["state"], job["error"]["code"]) == ("failed", "trainer_killed")
    assert "signal 9 ended `train` 3 times before it came further" in job["error"]["detail"]
    assert trainer.commands == ["check"]
