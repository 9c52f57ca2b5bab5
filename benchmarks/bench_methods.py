"""What each method changes: the same run with and without it, on validation rows, paired by seed.

SAMESAY_BENCH_DATA=... python -m benchmarks.bench_methods [--only margins ...] [--seeds 2] [--jobs 2]

The standard error is that of the paired differences over the seeds. With few seeds it is itself uncertain; that of
a share of n held-out sentences, sqrt(p (1 - p) / n), is the floor to read it with. No test row is read.
"""

import argparse
import json
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, stdev

from benchmarks.bench_train import run
from benchmarks.data import data_folder
from benchmarks.method_questions import QUESTIONS, Question


def train(question: Question, variant: str, seed: int, folder: Path) -> dict[str, float]:
    """The held-out metrics of one run, on one thread."""
    data = folder / question.data
    settings = (*question.base, *question.variants[variant])
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        files = question.files(data, work, variant)
        options = [part for setting in settings for part in ("--set", setting)]
        run("train", *files, "--out", work / "run", "--recipe", question.recipe, "--seed", str(seed), *options)
        metrics: dict[str, float] = json.loads((work / "run/result.json").read_text())
        if question.measured_on:
            printed = run("evaluate", work / "run/bundle", data / question.measured_on, "--json")
            metrics |= json.loads(printed.splitlines()[-1])
    return metrics


def answer(question: Question, folder: Path, n_seeds: int, jobs: int) -> None:
    """Run all variants and print their differences from the reference."""
    tasks = [(name, seed) for name in question.variants for seed in range(n_seeds)]
    with ThreadPoolExecutor(jobs) as pool:
        done = list(pool.map(lambda task: train(question, task[0], task[1], folder), tasks))
    results = dict(zip(tasks, done, strict=True))
    print(f"\n{question.name} ({question.data}, validation rows, {n_seeds} seeds; points, +- one standard error)")
    for name in question.variants:
        cells = [f"{mean(results[name, seed]['seconds'] for seed in range(n_seeds)):5.0f} s"]
        for metric in question.metrics:
            values = [100 * results[name, seed][metric] for seed in range(n_seeds)]
            beside = [100 * results[question.reference, seed][metric] for seed in range(n_seeds)]
            change = [value - other for value, other in zip(values, beside, strict=True)]
            error = stdev(change) / n_seeds**0.5 if n_seeds > 1 else float("nan")
            cells.append(f"{metric} {mean(values):6.2f} ({mean(change):+5.2f} +- {error:4.2f})")
        print(f"  {name:34} {'  '.join(cells)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[question.name for question in QUESTIONS])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    folder = data_folder()
    os.environ["OMP_NUM_THREADS"] = "1"  # of every run
    for question in QUESTIONS:
        if options.only is None or question.name in options.only:
            answer(question, folder, options.seeds, options.jobs)


if __name__ == "__main__":
    main()
