"""`samesay train`, `evaluate` and `settings`: the trainer, as a child process, so that torch is never in this one."""

import subprocess
import sys

import typer

PASS_EVERYTHING = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""Typer's context for a command that hands its arguments on."""


def train(context: typer.Context) -> None:
    """Train an encoder: samesay train DATA --out RUN; all options: samesay train --help."""
    _run("train", context.args)


def evaluate(context: typer.Context) -> None:
    """Measure an encoder: samesay evaluate BUNDLE DATA; all options: samesay evaluate --help."""
    _run("evaluate", context.args)


def settings(context: typer.Context) -> None:
    """List every setting of a training run with its value and meaning."""
    _run("settings", context.args)


def _run(command: str, arguments: list[str]) -> None:
    process = subprocess.Popen([sys.executable, "-m", "model", command, *arguments])
    while True:
        try:
            raise typer.Exit(_exit_code(process.wait()))
        except KeyboardInterrupt:
            continue  # the child has had it too, and ends in its own way


def _exit_code(code: int) -> int:
    return 128 - code if code < 0 else code
