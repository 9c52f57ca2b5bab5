"""How good the encoder is: trains on public data sets and measures their test rows, beside TF-IDF with a linear SVM.

SAMESAY_BENCH_DATA=... python -m benchmarks.bench_quality [--only banking77] [--seeds 1]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from benchmarks.data import data_folder
from model.evaluation.baseline import retrieval_baseline, svm_baseline
from model.evaluation.evaluate import LabelledSentences


@dataclass(frozen=True, slots=True)
class Case:
    """One data set, recipe and the metric that counts."""

    data: str
    recipe: str
    metric: str
    target: float
    closed: bool = True


CASES = (
    Case("banking77", "default", "head_accuracy", 0.908),
    Case("banking77", "classic", "head_accuracy", 0.870),
    Case("clinc150", "default", "head_accuracy", 0.925),
    Case("massive_zh_paraphrase_groups", "default", "hit_rate@1", 0.800, closed=False),
)


def run(*arguments: str | Path) -> str:
    """Run the trainer's command line; its standard output."""
    command = [sys.executable, "-m", "model", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(case: Case, folder: Path, seed: int) -> float:
    """Train on train.tsv, choose on valid.tsv, report test.tsv."""
    data = folder / case.data
    with tempfile.TemporaryDirectory() as out:
        files = (data / "train.tsv", "--valid", data / "valid.tsv", "--out", f"{out}/run")
        run("train", *files, "--recipe", case.recipe, "--seed", str(seed))
        against = ("--against", data / "train.tsv") if case.closed else ()
        printed = run("evaluate", f"{out}/run/bundle", data / "test.tsv", *against, "--json")
    metrics = json.loads(printed.splitlines()[-1])
    print(json.dumps({"data": case.data, "recipe": case.recipe, "seed": seed, **metrics}), flush=True)
    return float(metrics[case.metric])


def baseline(case: Case, folder: Path) -> float:
    """TF-IDF by the same metric."""
    train = LabelledSentences.read(folder / case.data / "train.tsv")
    test = LabelledSentences.read(folder / case.data / "test.tsv")
    metrics = svm_baseline(*train.in_scope(), *test.in_scope()) if case.closed else retrieval_baseline(*test.in_scope())
    return metrics[case.metric]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="one data set")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    folder = data_folder()
    rows = []
    for case in CASES:
        if options.only in (None, case.data):
            values = [measure(case, folder, seed) for seed in range(options.seeds)]
            rows.append((case, mean(values), baseline(case, folder)))
    print(f"{'data set':32} {'recipe':8} {'metric':14} {'samesay':>8} {'target':>7} {'TF-IDF':>7}")
    for case, value, plain in rows:
        print(f"{case.data:32} {case.recipe:8} {case.metric:14} {value:8.4f} {case.target:7.3f} {plain:7.4f}")


if __name__ == "__main__":
    main()
