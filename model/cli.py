"""The trainer's commands: `python -m model train | evaluate`, which `samesay` runs as child processes."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from model.config import RECIPES, make_config
from model.contract.bundle import Bundle, load_bundle
from model.contract.errors import SamesayError
from model.data import load_training_data
from model.evaluate import LabelledSentences, evaluate
from model.progress import say

CONFIG_FILE = "config.json"
RESULT_FILE = "result.json"

application = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@application.command("train")
def train_command(
    data: Annotated[Path, typer.Argument(help="TSV, CSV or NDJSON with a text and a group (or label) column.")],
    out: Annotated[Path, typer.Option(help="Run folder; the bundle will lie in OUT/bundle.")],
    valid: Annotated[Path | None, typer.Option(help="Held-out rows; without, some of DATA are held out.")] = None,
    out_of_scope: Annotated[
        Path | None, typer.Option(help="Sentences of no group, to choose the threshold by.")
    ] = None,
    unlabelled: Annotated[Path | None, typer.Option(help="Sentences without groups; checked, not used yet.")] = None,
    recipe: Annotated[str, typer.Option(help=f"One of {', '.join(RECIPES)}.")] = "default",
    settings: Annotated[list[str] | None, typer.Option("--set", help="name=value; may be given again.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, dropout, batches and the split.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in OUT.")] = False,
) -> None:
    """Train an encoder on groups of sentences that mean the same, and export its bundle."""
    from model.run import REPORT_FILE, prepare_folder, run_training  # torch takes two seconds to import: not for --help

    started = time.monotonic()
    config = make_config(recipe, settings or [])
    if unlabelled is not None:
        LabelledSentences.read_unlabelled(unlabelled)
        say(f"{unlabelled}: readable; this version learns from labelled rows only")
    prepare_folder(out, resume=resume)
    loaded = load_training_data(data, valid, out_of_scope, config, seed)
    for finding in loaded.findings:
        say(finding)
    (out / CONFIG_FILE).write_text(loaded.config.model_dump_json(indent=2) + "\n")
    try:
        finished = run_training(loaded, seed, out, resume=resume)
    except KeyboardInterrupt:
        say(f"stopped: the same command with --resume goes on from the last checkpoint in {out}")
        raise typer.Exit(130) from None
    bundle = finished.bundle
    result = {"seconds": round(time.monotonic() - started, 1), "bundle": bundle.sha, **bundle.manifest.metrics}
    (out / RESULT_FILE).write_text(json.dumps(result, indent=2) + "\n")
    _report_training(bundle, out, time.monotonic() - started)
    for advice in finished.advice:
        say(f"to try: {advice}")
    say(f"report: {out / REPORT_FILE}")


@application.command("evaluate")
def evaluate_command(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder.")],
    data: Annotated[Path, typer.Argument(help="Held-out sentences with their groups; an empty group is out of scope.")],
    against: Annotated[Path | None, typer.Option(help="The training sentences: measures known groups.")] = None,
    out_of_scope: Annotated[Path | None, typer.Option(help="More sentences of no group.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
    baseline: Annotated[bool, typer.Option(help="Print TF-IDF with a linear SVM beside.")] = True,
) -> None:
    """Measure a bundle: known groups with --against, unseen groups without."""
    held_out = LabelledSentences.read(data)
    if out_of_scope is not None:
        held_out = held_out.with_strangers(LabelledSentences.read_unlabelled(out_of_scope))
    stored = LabelledSentences.read(against) if against else None
    metrics = evaluate(load_bundle(bundle), held_out, stored)
    if as_json:
        print(json.dumps(metrics))
        return
    beside = _baseline(held_out, stored) if baseline else {}
    Console().print(_metrics_table(metrics, beside, title=str(data)))


def main() -> None:
    """Run a command; an error that is the user's to mend is one line on stderr and exit code 1."""
    try:
        application()
    except SamesayError as error:
        _fail(str(error))
        sys.exit(1)
    except OSError as error:
        _fail(f"{error.filename or 'disk'}: {error.strerror}")
        sys.exit(1)


def _fail(message: str) -> None:
    say(f"error: {message}")


def _report_training(bundle: Bundle, out: Path, seconds: float) -> None:
    quality = ", ".join(
        f"{name} {value:.4f}" for name, value in bundle.manifest.metrics.items() if name != "parity_difference"
    )
    say(f"held-out rows: {quality}")
    say(f"bundle {bundle.sha[:12]} in {out / 'bundle'} after {seconds:.0f} s")
    say(f"next: samesay encoders add {out / 'bundle'} --name NAME")


def _baseline(data: LabelledSentences, against: LabelledSentences | None) -> dict[str, float]:
    from model.baseline import retrieval_baseline, svm_baseline  # scikit-learn takes a second to import

    if against is None:
        return retrieval_baseline(*data.in_scope())
    return svm_baseline(*against.in_scope(), *data.in_scope())


def _metrics_table(metrics: dict[str, float], baseline: dict[str, float], title: str) -> Table:
    table = Table("metric", "samesay", "TF-IDF baseline", title=title)
    for name, value in metrics.items():
        beside = f"{baseline[name]:.4f}" if name in baseline else ""
        table.add_row(name, f"{value:.4f}" if name != "n" else f"{value:.0f}", beside)
    return table
