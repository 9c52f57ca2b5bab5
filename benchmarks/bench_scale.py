"""What a training step costs with few groups and with very many: CPU time and peak memory, one thread.

SAMESAY_BENCH_DATA=... python -m benchmarks.bench_scale [--groups 1000 100000]

The trainer itself, from a file of groups of four, objective head, all else at its defaults. Each size runs in a process
of its own, so that its peak memory is its own: file, sentences, features, weights, optimisers.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from benchmarks.data import data_folder
from benchmarks.texts import read_texts
from model.callbacks.interface import Callback, TrainingRun
from model.config import make_config
from model.data.training_data import Files, load_training_data
from model.training.loop import train

SENTENCES_PER_GROUP = 4
WORDS_PER_SENTENCE = 8
WARM_UP_STEPS = 20
KIB_PER_GB = 1e9 / 1024


def synthetic_sentences(texts: list[str], n_groups: int, seed: int = 0) -> Iterator[str]:
    """Groups of four sentences one after the other: the words of a base drawn from the texts, each some of them."""
    words = [word for text in texts for word in text.split()]
    rng = np.random.default_rng(seed)
    for _ in range(n_groups):
        base = rng.integers(len(words), size=WORDS_PER_SENTENCE + 2)
        for _ in range(SENTENCES_PER_GROUP):
            yield " ".join(words[at] for at in rng.permutation(base)[:WORDS_PER_SENTENCE])


class Stopwatch(Callback):
    """CPU time of every batch; ends the run after so many."""

    def __init__(self, n_batches: int) -> None:
        self.times: list[float] = []
        self._n_batches = n_batches
        self._begin = 0.0

    def on_batch_begin(self, run: TrainingRun) -> None:
        """Start."""
        self._begin = time.process_time()

    def on_batch_end(self, run: TrainingRun) -> None:
        """Stop."""
        self.times.append(time.process_time() - self._begin)
        if len(self.times) == self._n_batches:
            raise EnoughMeasured


class EnoughMeasured(Exception):  # noqa: N818 - not an error
    """Ends a run that need not be finished."""


def measure(texts: list[str], n_groups: int, n_steps: int) -> dict[str, float]:
    """Prepare and train for some steps; seconds and milliseconds are CPU time."""
    started = time.process_time()
    watch = Stopwatch(WARM_UP_STEPS + n_steps)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "groups.tsv"
        with path.open("w") as file:
            file.write("group\ttext\n")
            for number, sentence in enumerate(synthetic_sentences(texts, n_groups)):
                file.write(f"g{number // SENTENCES_PER_GROUP}\t{sentence}\n")
        config = make_config("default", ["objective=head", "threads=1", "epochs=100", "refit=false"])
        data = load_training_data(Files(path), config, 0)
        with suppress(EnoughMeasured):
            train(data, 0, Path(folder), callbacks=[watch])
    return {
        "groups": n_groups,
        "sentences": n_groups * SENTENCES_PER_GROUP,
        "sampled": data.config.sampled_negatives,
        "prepared_s": time.process_time() - started - sum(watch.times),
        "step_ms": float(np.median(watch.times[WARM_UP_STEPS:])) * 1e3,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_GB,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, nargs="+", default=[1000, 100_000], help="numbers of groups")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--data", default="goemotions", help="data set that the words come from")
    parser.add_argument("--json", action="store_true", help="measure here, the first size only, and print JSON")
    options = parser.parse_args()
    texts = read_texts(data_folder() / options.data / "train.tsv")
    if options.json:
        print(json.dumps(measure(texts, options.groups[0], options.steps)))
        return
    results = [_in_a_process(options, n_groups) for n_groups in options.groups]
    print(f"{'groups':>9} {'sentences':>9} {'sampled':>8} {'prepared':>9} {'step':>9} {'ratio':>6} {'peak memory':>12}")
    for result in results:
        ratio = result["step_ms"] / results[0]["step_ms"]
        print(
            f"{result['groups']:9,} {result['sentences']:9,} {result['sampled']:8,} {result['prepared_s']:7.1f} s "
            f"{result['step_ms']:6.1f} ms {ratio:6.2f} {result['peak_gb']:9.2f} GB"
        )


def _in_a_process(options: argparse.Namespace, n_groups: int) -> dict[str, float]:
    sizes = ["--groups", n_groups, "--steps", options.steps, "--data", options.data]
    command = [sys.executable, "-m", "benchmarks.bench_scale", *map(str, sizes), "--json"]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, float] = json.loads(printed)
    return result


if __name__ == "__main__":
    main()
