"""A small training set and a bundle trained on it, once for the session."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.forked_trainer import run_trainer

SAMPLES = Path(__file__).parents[3] / "samples"


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty groups of the samples, Chinese and English."""
    lines = (SAMPLES / "faq.tsv").read_text().splitlines()
    groups = list(dict.fromkeys(line.split("\t")[0] for line in lines[1:]))
    kept = {*groups[:20], *groups[-20:]}
    path = tmp_path_factory.mktemp("data") / "small.tsv"
    path.write_text("\n".join([lines[0], *(line for line in lines[1:] if line.split("\t")[0] in kept)]) + "\n")
    return path


Trainer = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def trainer() -> Trainer:
    """Runs the trainer's command line to its end."""

    def run(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = run_trainer([str(argument) for argument in arguments], timeout=300)
        assert not check or done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def smoke_bundle(small_data: Path, trainer: Trainer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the `smoke` recipe."""
    run = tmp_path_factory.mktemp("run")
    trainer("train", small_data, "--out", run / "r", "--recipe", "smoke")
    return run / "r" / "bundle"
