"""The trainer's commands as child processes of a worker: their progress goes to the job, and cancelling kills them."""

import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import IO, Any, Final

import orjson

from app.job.errors import JobCancelledError, JobFailedError, JobLostError
from app.job.repository import Progress
from app.job.run import JobRun, Step
from model.contract.tied import TIED

_BEGAN: Final = "began"
"""In a job's checkpoint: the steps that its trainer's checkpoints held when one of its trainers began."""

_LOOK_S: Final = 0.2
_TAIL: Final = 20
_MOST_DETAIL: Final = 1000
_NOT_NOTED: Final = frozenset({"event", "step", "total_steps", "done", "total", "stage", "unit"})


class TrainerKilledError(Exception):
    """A signal ended the trainer; its attribute `signal` is the number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.signal = number


def run_trainer(run: JobRun, stage: str, arguments: Sequence[str]) -> None:
    """Run `python -m model ARGUMENTS` to its end.

    Args:
        run: Told of progress; asked whether it is to stop.
        stage: What listeners are told it is doing.
        arguments: With `--progress json` the child tells of its progress on stderr.

    Raises:
        JobCancelledError, JobLostError: The child was killed.
        JobFailedError: The child failed; says what it said last.
        TrainerKilledError: The child was killed by somebody else.
    """
    command = [sys.executable, "-m", "model", *arguments]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, TIED: "1"}
    )
    assert child.stderr is not None
    lines: queue.Queue[bytes | None] = queue.Queue(maxsize=1000)
    threading.Thread(target=_read, args=(child.stderr, lines), daemon=True).start()
    said: deque[str] = deque(maxlen=_TAIL)
    run.report(Progress(stage, unit=""))
    try:
        _follow(run, stage, lines, said)
    except (JobCancelledError, JobLostError):
        child.kill()
        raise
    finally:
        if child.stdin is not None:
            child.stdin.close()
        exit_status = child.wait()
    if exit_status < 0:
        raise TrainerKilledError(-exit_status)
    if exit_status:
        raise _failed(stage, exit_status, said)


def _read(stream: IO[bytes], lines: "queue.Queue[bytes | None]") -> None:
    with stream:
        for line in stream:
            lines.put(line)
    lines.put(None)


def _follow(run: JobRun, stage: str, lines: "queue.Queue[bytes | None]", said: deque[str]) -> None:
    began = 0
    while True:
        if run.is_cancelled():
            run.check()
        try:
            line = lines.get(timeout=_LOOK_S)
        except queue.Empty:
            continue
        if line is None:
            return
        event = _event(line)
        if event is None:
            said.append(line.decode(errors="replace").rstrip())
        elif event.get("event") == "progress":
            run.report(_progress(stage, event))
        elif event.get("event") == "begin":  # twice where it refits
            began += event["step"]
            _count(run, stage, began)


def _count(run: JobRun, stage: str, began: int) -> None:
    """A trainer that goes on from a later checkpoint than any before: its job has come further."""
    if began > run.checkpoint.get(_BEGAN, 0):
        run.commit(lambda session: Step({**run.checkpoint, _BEGAN: began}, Progress(stage, unit="")))


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return event if isinstance(event, dict) else None


def _progress(stage: str, event: Mapping[str, Any]) -> Progress:
    note = {name: value for name, value in event.items() if name not in _NOT_NOTED and isinstance(value, int | float)}
    done, total = event.get("step", event.get("done", 0)), event.get("total_steps", event.get("total"))
    return Progress(stage, done, total, event.get("unit", "steps"), note=note)


def _failed(stage: str, exit_status: int, said: Sequence[str]) -> JobFailedError:
    if any("No module named" in line for line in said):
        remedy = "the trainer is not installed where the worker runs: pip install 'samesay[train]'"
        return JobFailedError("trainer_missing", f"{remedy}; {said[-1]}")
    errors = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    told = errors[-1] if errors else " / ".join(said)[-_MOST_DETAIL:]
    return JobFailedError(f"{stage}_failed", told[:_MOST_DETAIL] or f"the trainer ended with exit status {exit_status}")
