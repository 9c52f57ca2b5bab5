"""A whole run: train, measure on the held-out rows, train again on all rows if so set, export."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from model.callbacks.interface import Callback
from model.callbacks.progress import METRICS_FILE, ProgressReporter
from model.config import ProgressForm
from model.contract.bundle import Bundle
from model.data import TrainingData
from model.distributed import World
from model.errors import RunFolderError
from model.export import export, measure_held_out
from model.progress import make_narrator, say
from model.start import CHECKPOINT_FILE
from model.train import Trained, train

REFIT_FOLDER = "refit"


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


def prepare_folder(out: Path, *, resume: bool) -> None:
    """Make the run folder, or see that it holds what is to be resumed.

    Raises:
        RunFolderError: It holds a run already, or none to resume.
    """
    taken = (out / METRICS_FILE).exists() or (out / CHECKPOINT_FILE).exists()
    if taken and not resume:
        raise RunFolderError(f"{out} holds a run already: --resume goes on with it, another --out starts anew")
    if resume and not taken:
        raise RunFolderError(f"{out} holds no run to resume; leave out --resume to start one")
    out.mkdir(parents=True, exist_ok=True)


def run_training(data: TrainingData, out: Path, options: RunOptions) -> Bundle | None:
    """Train and export to OUT/bundle.

    The held-out rows choose the checkpoint, the thresholds and the figures of the manifest. A refit then learns from
    them too, with the same settings for the whole schedule: the encoder that is exported has seen every row, and is
    measured by the one that had not.

    Args:
        data: With its settings.
        out: The run folder; it exists.
        options: How.

    Returns:
        The bundle; None at the processes beside the main one.
    """
    trained = _train(data, out, options)
    held = measure_held_out(trained, data) if options.world.is_main else None
    if options.world.is_main:
        say(_describe_threshold(data))
    if data.config.refit and data.valid:
        if options.world.is_main:
            say(f"refit: once more on all {len(data.train) + len(data.valid)} sentences")
        (out / REFIT_FOLDER).mkdir(exist_ok=True)
        trained = _train(data.with_held_out(), out / REFIT_FOLDER, options)
    return export(trained, held, data, options.seed, out / "bundle") if held is not None else None


def _train(data: TrainingData, folder: Path, options: RunOptions) -> Trained:
    own = [ProgressReporter(make_narrator(options.progress))] if options.world.is_main else []
    callbacks = [*own, *options.callbacks]
    return train(data, options.seed, folder, resume=options.resume, callbacks=callbacks, world=options.world)


def _describe_threshold(data: TrainingData) -> str:
    strangers = len(data.out_of_scope)
    stand_in = f"{strangers} of no group" if strangers else "none of no group: --out-of-scope FILE would make it better"
    return f"threshold chosen on {len(data.valid)} held-out sentences, {stand_in}"
