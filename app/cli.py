"""The command `samesay`: one file of app.commands a group of commands.

Those files import at their top what is light. The service, and all that loads SQLAlchemy, NumPy, ONNX Runtime or FAISS,
is imported by the functions that need it: `samesay --help` must not wait for it, nor fail where a runtime is missing.
"""

import io
import sys

import typer

from app.commands import (
    asking,
    backup,
    collections,
    converting,
    database,
    demo,
    document,
    encoders,
    exporting,
    feedback,
    importing,
    jobs,
    keys,
    releases,
    retraining,
    serving,
    training,
    working,
)
from app.commands.shared import plain_errors

app = typer.Typer(
    name="samesay",
    help="Learns from groups of sentences that mean the same, and answers which are nearest.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("demo")(demo.demo)
app.command("serve")(serving.serve)
app.add_typer(encoders.app, name="encoders")
app.add_typer(collections.app, name="collections")
app.command("worker")(working.worker)
app.command("import")(importing.import_file)
app.command("export")(exporting.export)
app.add_typer(jobs.app, name="jobs")
app.add_typer(keys.app, name="keys")
app.command("search")(asking.search)
app.command("classify")(asking.classify)
app.command("retrain")(retraining.retrain)
app.add_typer(releases.app, name="releases")
app.add_typer(feedback.app, name="feedback")
app.command("train", context_settings=training.PASS_EVERYTHING)(training.train)
app.command("convert")(converting.convert)
app.command("evaluate", context_settings=training.PASS_EVERYTHING)(training.evaluate)
app.command("settings", context_settings=training.PASS_EVERYTHING)(training.settings)
app.add_typer(database.app, name="db")
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("openapi")(document.openapi)


def main() -> None:
    """Entry point of the console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a sentence may have characters that a terminal does not
            stream.reconfigure(errors="backslashreplace")
    try:
        with plain_errors():  # of what a command prints when it is done
            app()
    except typer.Exit as ended:
        sys.exit(ended.exit_code)
