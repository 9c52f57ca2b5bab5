"""The job that makes a release: freeze, check, train, judge, build, register; each step once, whatever dies between."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson
import structlog
from sqlalchemy.orm import Session

from app.encoder.store import EncoderStore
from app.job.errors import JobFailedError
from app.job.repository import CATCHING_UP, Progress
from app.job.run import Handover, JobRun, Step
from app.job.tables import JobState, JobType
from app.release.tables import Release
from app.training.building import Builder
from app.training.children import TrainerKilledError, run_trainer
from app.training.errors import rows_missing
from app.training.freezing import freeze
from app.training.registering import Candidate, register, rewarm
from app.training.report import make_report
from app.training.settings import as_arguments
from model.contract.bundle import Bundle, load_bundle
from model.contract.keep_out import KEPT_OUT

_ROWS, _CHECK, _RULES, _VERDICT = "rows.ndjson", "check.json", "rules.json", "verdict.json"
_RUN: Final = "run"

_MOST_KILLS: Final = 3
"""So often in a row, without coming further, a trainer may be killed in one attempt at a job."""

_log = structlog.get_logger(__name__)

_STEPS: Final = "steps"
_STAGES: Final = {
    "freeze": "freezing",
    "check": "checking",
    "train": "training",
    "judge": "judging",
    "build": "encoding",
    "register": "registering",
}
"""What listeners are told of each step."""


class ReleaseJob:
    """One attempt at a job that makes a release.

    Args:
        run: The job.
        store: The encoders.
        builder: Builds indexes.
        keep: Encoders of so many releases are kept that are not at hand.
    """

    def __init__(self, run: JobRun, store: EncoderStore, builder: Builder, *, keep: int) -> None:
        self._run, self._store, self._builder, self._keep = run, store, builder, keep
        self._folder = run.folder
        self._rows, self._verdict = run.folder / _ROWS, run.folder / _VERDICT

    def run(self) -> dict[str, Any] | Handover:
        """Make the release, from the step on that is not done yet.

        Raises:
            JobFailedError: No release comes of it; with the code gate_refused, one that is kept but does not answer.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._run.type is JobType.PROMOTION:
            self._step("build", self._build)
            return self._end(self._step("register", self._rewarm))
        self._step("freeze", lambda: freeze(self._run, self._rows))
        self._step("check", self._check)
        if self._run.type is JobType.TRAINING:
            self._step("train", self._train)
        verdict = self._step("judge", self._judge)
        if verdict["passed"]:
            self._step("build", self._build)
        result = self._step("register", lambda: self._register(is_accepted=verdict["passed"]))
        if not verdict["passed"]:
            raise JobFailedError("gate_refused", _refusal(result["release"], verdict["reasons"]))
        return self._end(result)

    def _end(self, result: dict[str, Any]) -> dict[str, Any] | Handover:
        """Leave the rest to the servers, or all to whoever promotes it."""
        if self._run.request["promote"] == "manual":
            return result
        return Handover(result["seq"], result, CATCHING_UP)

    def _step(self, name: str, do: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Do a step, unless an attempt before has done it; what it came to is stored."""
        done: dict[str, Any] = self._run.checkpoint.get(_STEPS, {})
        if name in done:
            outcome: dict[str, Any] = done[name]
            return outcome
        started = time.monotonic()
        outcome = do()
        if name not in self._run.checkpoint.get(_STEPS, {}):  # a step that stores something has stored this with it
            outcome = {**outcome, "seconds": round(time.monotonic() - started, 2)}
            self._run.commit(lambda session: Step(self._with(name, outcome), Progress(_STAGES[name])))
        return outcome

    def _with(self, name: str, outcome: dict[str, Any]) -> dict[str, Any]:
        """The checkpoint with one step more."""
        return {**self._run.checkpoint, _STEPS: {**self._run.checkpoint.get(_STEPS, {}), name: outcome}}

    def _check(self) -> dict[str, Any]:
        (self._folder / _RULES).write_bytes(orjson.dumps(self._run.request["gate"]))
        out = self._folder / _CHECK
        self._trainer("check", encoder=self._active_bundle, rules=self._folder / _RULES, out=out)
        fatal = _read(out).get("fatal")
        if fatal and self._run.type is JobType.TRAINING:
            raise JobFailedError(fatal["code"], fatal["detail"])
        return {}

    def _train(self) -> dict[str, Any]:
        out, request = self._folder / _RUN, self._run.request
        settings = {**request["settings"], "keep_out": KEPT_OUT}  # last, so that no request can undo it
        more = [part for setting in as_arguments(settings) for part in ("--set", setting)]
        self._trainer("train", *more, out=out, recipe=request["recipe"], seed=request["seed"])
        bundle = load_bundle(out / "bundle")
        if bundle.sha == self._builder.active(self._run).key.encoder_sha:
            raise JobFailedError(
                "unchanged", "the training came to the very encoder that serves: neither records nor settings changed"
            )
        return {"encoder": bundle.sha, "metrics": dict(bundle.manifest.metrics)}

    def _judge(self) -> dict[str, Any]:
        active = self._builder.active(self._run).key
        self._trainer(
            "judge",
            candidate=self._candidate,
            active=self._store.path(active.encoder_sha),
            rules=self._folder / _RULES,
            checked=self._folder / _CHECK,
            out=self._verdict,
        )
        verdict = _read(self._verdict)
        return {"passed": verdict["passed"], "reasons": verdict["reasons"], "against": active.number}

    def _trainer(self, command: str, *more: str, **options: object) -> None:
        """Run a command of the trainer on the frozen rows; each keyword is an option of it."""
        if not self._rows.exists():
            raise rows_missing()
        given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        arguments = [command, str(self._rows), *given, *more, "--progress", "json"]
        kills = 0
        while kills < _MOST_KILLS:
            before = self._run.checkpoint
            try:
                run_trainer(self._run, _STAGES[command], [*arguments, *self._resuming(command)])
                return
            except TrainerKilledError as error:
                kills = 1 if self._run.checkpoint != before else kills + 1
                _log.warning("trainer_killed", job=self._run.key, command=command, signal=error.signal, kills=kills)
                killed = error.signal
        raise JobFailedError(
            "trainer_killed",
            f"signal {killed} ended `{command}` {_MOST_KILLS} times before it came further: "
            "signal 9 most often means that memory ran out",
        )

    def _resuming(self, command: str) -> list[str]:
        """A training goes on from its last checkpoint, if there is one."""
        return ["--resume"] if command == "train" and (self._folder / _RUN / "config.json").exists() else []

    def _build(self) -> dict[str, Any]:
        base = self._builder.build(self._run, self._bundle(), self._folder)
        return {"records": len(base.index), "seq": base.applied_seq, "index_recall": float(base.index.index_recall)}

    def _register(self, *, is_accepted: bool) -> dict[str, Any]:
        bundle = self._bundle()
        self._store.copy(bundle)
        steps = self._run.checkpoint[_STEPS]
        report = make_report(self._run, steps, _read(self._folder / _CHECK), _read(self._verdict))
        why = _why(self._run.request["why"], steps["judge"]["reasons"])
        candidate = Candidate(bundle, report, is_accepted, why)
        outcome = self._store_release(
            lambda session: register(session, self._run, candidate, keep=self._keep), has_index=is_accepted
        )
        self._store.copy(bundle)  # it may have been removed just before it was wanted again
        return outcome

    def _rewarm(self) -> dict[str, Any]:
        return self._store_release(lambda session: rewarm(session, self._run, keep=self._keep), has_index=True)

    def _store_release(self, make: Callable[[Session], Release], *, has_index: bool) -> dict[str, Any]:
        """Store a release with its index in place, and what the step came to: in one transaction."""
        steps = self._run.checkpoint[_STEPS]
        if has_index and steps["build"]["records"] and not self._builder.is_built(self._folder):
            self._build()  # another attempt had moved it before it died
        outcome: dict[str, Any] = {}

        def unit(session: Session) -> Step:
            release = make(session)
            if has_index:
                self._builder.move(self._folder, release)
            outcome.update(_result(release.number, release.state, steps))
            return Step(self._with("register", outcome), Progress(_STAGES["register"]))

        self._run.commit(unit)
        return outcome

    def _bundle(self) -> Bundle:
        return load_bundle(self._candidate)

    @property
    def _active_bundle(self) -> Path:
        return self._store.path(self._builder.active(self._run).key.encoder_sha)

    @property
    def _candidate(self) -> Path:
        if self._run.type is JobType.TRAINING:
            return self._folder / _RUN / "bundle"
        return self._store.path(self._run.request["encoder"])


def so_far(run: JobRun) -> dict[str, Any] | None:
    """The release that a job has stored; None where it did not come so far."""
    stored: dict[str, Any] | None = run.checkpoint.get(_STEPS, {}).get("register")
    return stored


def clean_up(folder: Path, state: JobState) -> None:
    """Leave nothing of the records: what is worth keeping is the release's own by now."""
    shutil.rmtree(folder, ignore_errors=True)


def _result(number: int, state: str, steps: dict[str, Any]) -> dict[str, Any]:
    """What the job's caller gets."""
    frozen, judged, built = (steps.get(name, {}) for name in ("freeze", "judge", "build"))
    return {
        "release": number,
        "state": state,
        "seq": built.get("seq", frozen.get("seq", 0)),
        **{name: frozen[name] for name in ("rows", "groups", "out_of_scope") if name in frozen},
        **({"gate": {"passed": judged["passed"], "reasons": judged["reasons"]}} if judged else {}),
        "seconds": {name: step["seconds"] for name, step in steps.items()},
    }


def _refusal(number: int, reasons: list[str]) -> str:
    return f"release {number} is kept but does not answer: {' '.join(reasons)}"


def _why(given: str, reasons: list[str]) -> str:
    return " ".join(filter(None, (given, *reasons)))


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads(path.read_bytes())
    return content
