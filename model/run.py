"""A whole run: train, measure on the held-out rows, train again on all rows if so set, export, report."""

import fcntl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from model.callbacks.interface import Callback
from model.callbacks.progress import METRICS_FILE, ProgressReporter, read_epochs
from model.config import LastLayer, Objective, ProgressForm
from model.contract.bundle import Bundle
from model.data.training_data import TrainingData
from model.errors import RunFolderError
from model.evaluation.held_out import HeldOutAnswers
from model.evaluation.margins import MOST_MARGIN
from model.export.bundle import export
from model.last_layer import fit_last_layer
from model.measure import measure_held_out
from model.progress import make_narrator, say
from model.report.advice import advise
from model.report.gather import gather
from model.report.page import write_report
from model.training.distributed import World
from model.training.loop import Trained, train
from model.training.start import CHECKPOINT_FILE

CONFIG_FILE = "config.json"
REFIT_FOLDER = "refit"
REPORT_FILE = "report.html"
BUNDLE_FOLDER = "bundle"
LOCK_FILE = "held"

_HELD_S: Final = 60.0
_LOOK_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run is carried out, apart from what it learns.

    Attributes:
        seed: Of weights, dropout, batches and the split.
        resume: Go on from what is there.
        progress: How to say where it stands.
        callbacks: The user's own.
        world: The processes that share it.
    """

    seed: int = 0
    resume: bool = False
    progress: ProgressForm = ProgressForm.AUTO
    callbacks: Sequence[Callback] = ()
    world: World = field(default_factory=World)


@dataclass(frozen=True, slots=True)
class Finished:
    """What a run ends with: its bundle, its report, and what the report advises to try next."""

    bundle: Bundle
    report: Path
    advice: list[str]


@contextmanager
def prepared_folder(out: Path, *, resume: bool) -> Iterator[None]:
    """Make the run folder, or see that it holds what is to be resumed; no other process writes to it meanwhile.

    Two would spoil each other's checkpoints. One that is about to end, as the trainer of a worker that was taken for
    dead, is waited for.

    Raises:
        RunFolderError: It holds a run already, or none to resume, or another process goes on with it.
    """
    _check_folder(out, resume=resume)
    out.mkdir(parents=True, exist_ok=True)
    with (out / LOCK_FILE).open("w") as lock:
        if not _try_to_lock(lock):
            _wait_for(lock, out)
        _check_folder(out, resume=resume)  # that one may have made a run of it
        yield


def _check_folder(out: Path, *, resume: bool) -> None:
    taken = (out / METRICS_FILE).exists() or (out / CHECKPOINT_FILE).exists()
    if taken and not resume:
        raise RunFolderError(f"{out} holds a run already: --resume goes on with it, another --out starts anew")
    for name in (BUNDLE_FOLDER, REPORT_FILE):
        if not (taken or resume) and (out / name).exists():
            raise RunFolderError(f"{out} holds {name}, which this run would replace: give another --out, or move it")
    # a run that ended before its first checkpoint goes on from its beginning
    if resume and not (taken or (out / CONFIG_FILE).exists()):
        raise RunFolderError(f"{out} holds no run to resume; leave out --resume to start one")


def _wait_for(lock: IO[str], out: Path) -> None:
    say(f"another process trains in {out}: waiting for its end")
    deadline = time.monotonic() + _HELD_S
    while not _try_to_lock(lock):
        if time.monotonic() > deadline:
            raise RunFolderError(
                f"another process trains in {out}, and went on for {_HELD_S:.0f} s: "
                "try again when it is over, or give another --out"
            )
        time.sleep(_LOOK_S)


def _try_to_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # goes with the process
    except BlockingIOError:
        return False
    return True


def run_training(data: TrainingData, out: Path, options: RunOptions) -> Finished | None:
    """Train, export to OUT/bundle and report in OUT/report.html.

    The held-out rows choose the checkpoint, the thresholds and the figures of the manifest. A refit then learns from
    them too, with the same settings for the whole schedule: the encoder that is exported has seen every row, and is
    measured by the one that had not.

    Args:
        data: With its settings.
        out: The run folder; it exists.
        options: How.

    Returns:
        What came of it; None at the processes beside the main one.
    """
    clock = _Clock()
    trained = _train(data, out, options)
    fits_anew = data.config.last_layer is not LastLayer.TRAINED and options.world.is_main
    if fits_anew:
        say(f"last layer: {data.config.last_layer} of {len(data.labels)} labels")
    scale = fit_last_layer(trained, data) if fits_anew else None
    clock.lap("training")
    held = measure_held_out(trained, data) if options.world.is_main else None
    clock.lap("measuring")
    if held is not None and held.answers is not None:
        say(_describe_threshold(data, held.answers))
        if held.decision.margin >= MOST_MARGIN:
            say(
                f"no margin reaches precision_target={data.config.precision_target}: every answer that has a runner-up "
                "will be ambiguous; ask for less, or hold out more sentences"
            )
    if data.config.refit and data.valid:
        if options.world.is_main:
            say(f"refit: once more on all {len(data.train) + len(data.valid)} sentences")
            (out / REFIT_FOLDER).mkdir(exist_ok=True)
        everything = data.with_held_out()
        trained = _train(everything, out / REFIT_FOLDER, options)
        if scale is not None:
            fit_last_layer(trained, everything, scale)
        clock.lap("refit")
    if held is None:
        return None
    bundle = export(trained, held, data, options.seed, out / BUNDLE_FOLDER)
    clock.lap("export")
    epochs = read_epochs(out / METRICS_FILE)
    report = gather(data, held.answers, epochs=epochs, decision=held.decision, metrics=held.metrics, seconds=clock.laps)
    write_report(out / REPORT_FILE, report)
    return Finished(bundle, out / REPORT_FILE, advise(report))


def _train(data: TrainingData, folder: Path, options: RunOptions) -> Trained:
    own = [ProgressReporter(make_narrator(options.progress))] if options.world.is_main else []
    callbacks = [*own, *options.callbacks]
    return train(data, options.seed, folder, resume=options.resume, callbacks=callbacks, world=options.world)


class _Clock:
    """Seconds between one lap and the next, by name."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name], self._last = now - self._last, now


def _describe_threshold(data: TrainingData, answers: HeldOutAnswers) -> str:
    held_out = f"{len(data.valid)} held-out sentences"
    if data.config.objective is Objective.MULTI_LABEL:
        return f"measured on {held_out}"
    if len(answers.decisions) < len(data.valid):
        held_out = f"{len(answers.decisions)} of {held_out} (the others are alone in their group)"
    told = [f"{len(data.out_of_scope)} of no group"] if data.out_of_scope else []
    if answers.n_made:
        told.append(f"{answers.n_made} made of your own: real ones (--out-of-scope FILE) would make it better")
    return f"threshold chosen on {' and '.join([held_out, *told])}"
