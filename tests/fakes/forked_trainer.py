"""The trainer's commands, each in a process of its own, forked from one that has imported what takes them seconds."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_CONTEXT: Final = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.fakes.imported_trainer"])


def run_trainer(arguments: Sequence[str], timeout: float) -> "subprocess.CompletedProcess[str]":
    """`python -m model` with these arguments, to its end.

    Raises:
        subprocess.TimeoutExpired: It took longer, and was killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        told, complained = Path(folder) / "stdout", Path(folder) / "stderr"
        process = _CONTEXT.Process(target=_run, args=(list(arguments), dict(os.environ), Path.cwd(), told, complained))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(list(arguments), timeout)
        return subprocess.CompletedProcess(arguments, process.exitcode, told.read_text(), complained.read_text())


def _run(arguments: list[str], environment: Mapping[str, str], folder: Path, told: Path, complained: Path) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, path in ((1, told), (2, complained)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    sys.argv = ["model", *arguments]
    from model.cli import main

    main()
