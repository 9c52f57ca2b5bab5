"""The trainer's commands: `python -m model train | evaluate | settings | check | judge`, children of `samesay`."""

import json
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from model.config import RECIPES, SECTIONS, ProgressForm, describe_range, make_config
from model.contract.bundle import load_bundle
from model.contract.errors import SamesayError
from model.contract.files import NO_ROOM
from model.contract.tables import ShownTable
from model.data.training_data import Files, TrainingData, load_training_data
from model.errors import RunFolderError
from model.evaluation.evaluate import LabelledSentences, evaluate
from model.judging.commands import check_command, judge_command
from model.progress import say

if TYPE_CHECKING:
    from model.run import Finished, RunOptions

RESULT_FILE = "result.json"

application = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@application.command("train")
def train_command(
    data: Annotated[Path, typer.Argument(help="TSV, CSV or NDJSON with a text and a group (or label) column.")],
    out: Annotated[Path, typer.Option(help="Run folder; the bundle will lie in OUT/bundle.")],
    valid: Annotated[
        Path | None, typer.Option(help="Held-out rows, those of no group out of scope; without, some of DATA.")
    ] = None,
    out_of_scope: Annotated[
        Path | None, typer.Option(help="Sentences of no group, to choose the threshold by.")
    ] = None,
    unlabelled: Annotated[
        Path | None, typer.Option(help="Sentences without groups, learnt from with --set rdrop_unlabelled_weight=4.")
    ] = None,
    recipe: Annotated[str, typer.Option(help=f"One of {', '.join(RECIPES)}.")] = "default",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="name=value; may be given again; samesay settings lists them.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of weights, dropout, batches and the split.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in OUT.")] = False,
    progress: Annotated[ProgressForm, typer.Option(help="How to say where the run stands.")] = ProgressForm.AUTO,
    callback: Annotated[list[str] | None, typer.Option(help="module:Class of your own; may be given again.")] = None,
) -> None:
    """Train an encoder on groups of sentences that mean the same, and export its bundle.

    Under torchrun several processes share the work: torchrun --nproc-per-node 2 -m model train ...
    """
    from model.callbacks.loading import load_callback  # torch takes two seconds to import: not for --help
    from model.run import RunOptions, prepared_folder
    from model.training.distributed import joined_world
    from model.training.start import choose_device

    started = time.monotonic()
    config = make_config(recipe, settings or [])
    callbacks = [load_callback(name) for name in callback or []]
    with joined_world(choose_device(config.device)) as world:
        loaded = load_training_data(Files(data, valid, out_of_scope, unlabelled), config, seed)
        options = RunOptions(seed, resume, progress, callbacks, world)
        with prepared_folder(out, resume=resume) if world.is_main else nullcontext():
            _train(loaded, out, options, started)


def _train(loaded: TrainingData, out: Path, options: "RunOptions", started: float) -> None:
    """The run itself, in its folder; `started` is a moment of the monotonic clock."""
    from model.run import CONFIG_FILE, run_training
    from model.training.start import CHECKPOINT_FILE

    if options.world.is_main:
        for finding in loaded.findings:
            say(finding)
        if not (out / CHECKPOINT_FILE).exists():  # a run that is resumed has these, or is refused
            (out / CONFIG_FILE).write_text(loaded.config.model_dump_json(indent=2) + "\n")
    try:
        finished = run_training(loaded, out, options)
        if finished is not None:
            _report_training(finished, out, time.monotonic() - started)
    except KeyboardInterrupt:
        say(f"stopped: the same command with --resume goes on from the last checkpoint in {out}")
        raise typer.Exit(130) from None
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise RunFolderError(
            f"{error.filename or out} cannot be written: {error.strerror}; make room, then the same command with "
            "--resume goes on from the last checkpoint"
        ) from error


@application.command("evaluate")
def evaluate_command(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder.")],
    data: Annotated[Path, typer.Argument(help="Held-out sentences with groups (none: out of scope) or labels.")],
    against: Annotated[Path | None, typer.Option(help="The training sentences: measures known groups.")] = None,
    out_of_scope: Annotated[Path | None, typer.Option(help="More sentences of no group.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
    baseline: Annotated[bool, typer.Option(help="Print TF-IDF with a linear SVM beside.")] = True,
) -> None:
    """Measure a bundle: known groups with --against, unseen groups without."""
    held_out = LabelledSentences.read(data)
    if out_of_scope is not None:
        held_out = held_out.with_strangers(out_of_scope)
    stored = LabelledSentences.read(against) if against else None
    loaded = load_bundle(bundle)
    metrics = evaluate(loaded, held_out, stored)
    beside_stored = [*stored.findings, *held_out.describe_against(stored)] if stored is not None else []
    learnt = loaded.head.labels if loaded.head is not None else ()
    for finding in (*held_out.findings, *beside_stored, *held_out.describe_unmeasured(metrics, learnt)):
        say(finding)
    if as_json:
        print(json.dumps(metrics))
        return
    beside = _baseline(held_out, stored, of_labels=loaded.label_head is not None) if baseline else {}
    _metrics_table(metrics, beside, title=str(data)).print()


@application.command("settings")
def settings_command(
    recipe: Annotated[str, typer.Option(help=f"Show the values of one of {', '.join(RECIPES)}.")] = "default",
) -> None:
    """List every setting of a training run with its value and meaning."""
    config = make_config(recipe)
    for section in SECTIONS:
        table = ShownTable("setting", "value", "meaning", title=section.__doc__, title_justify="left")
        for name, info in section.model_fields.items():
            meaning = " ".join(filter(None, (info.description, describe_range(info))))
            value = getattr(config, name)
            table.add(name, "none" if value is None else str(value), meaning)
        table.print()


application.command("check")(check_command)
application.command("judge")(judge_command)


def main() -> None:
    """Run a command; an error that is the user's to mend is one line on stderr and exit code 1."""
    try:
        application(prog_name="samesay")  # which runs it, for people
    except SamesayError as error:
        _fail(str(error))
        sys.exit(1)
    except OSError as error:
        _fail(f"{error.filename or 'disk'}: {error.strerror}")
        sys.exit(1)


def _fail(message: str) -> None:
    say(f"error: {message}")


def _report_training(finished: "Finished", out: Path, seconds: float) -> None:
    bundle = finished.bundle
    metrics = bundle.manifest.metrics
    result = {"seconds": round(seconds, 1), "bundle": bundle.sha, **metrics}
    (out / RESULT_FILE).write_text(json.dumps(result, indent=2) + "\n")
    shown = [
        f"{name} {value:.4f}" for name, value in metrics.items() if name not in ("parity_difference", "kept_epoch")
    ]
    if shown:
        say(f"held-out rows: {', '.join(shown)}")
    say(f"bundle {bundle.sha[:12]} in {out / 'bundle'} after {seconds:.0f} s")
    for advice in finished.advice:
        say(f"to try: {advice}")
    say(f"report: {finished.report}")
    say(f"next: samesay encoders add {out / 'bundle'} --name NAME")


def _baseline(data: LabelledSentences, against: LabelledSentences | None, *, of_labels: bool) -> dict[str, float]:
    # scikit-learn takes a second to import
    from model.evaluation.baseline import multi_label_baseline, retrieval_baseline, svm_baseline

    try:
        if of_labels and data.rows:
            return multi_label_baseline(against.rows, data.rows) if against and against.rows else {}
        if against is None or not against.in_scope()[0]:
            return retrieval_baseline(*data.in_scope())
        return svm_baseline(*against.in_scope(), *data.in_scope())
    except ValueError as error:  # of sentences without a character that TF-IDF counts
        say(f"no baseline: {error}")
        return {}


def _metrics_table(metrics: dict[str, float], baseline: dict[str, float], title: str) -> ShownTable:
    table = ShownTable("metric", "samesay", *(["TF-IDF baseline"] if baseline else []), title=title)
    for name, value in metrics.items():
        beside = [f"{baseline[name]:.4f}" if name in baseline else ""] if baseline else []
        table.add(name, f"{value:.4f}" if name != "n" else f"{value:.0f}", *beside)
    return table
