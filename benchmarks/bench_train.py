"""How good the trainer's encoders are, from scratch, on public data: each test set read once a seed.

SAMESAY_BENCH_DATA=... python -m benchmarks.bench_train [--only banking77 ...] [--seeds 3]

Settings were chosen on validation rows. Rows of accuracy and hit rate are then refitted on training and validation rows
together; rows of out-of-scope detection are fitted on training rows alone, their thresholds chosen on validation rows.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from benchmarks.data import data_folder
from model.contract.dataset import read_rows
from model.evaluation.baseline import multi_label_baseline, retrieval_baseline, svm_baseline
from model.evaluation.evaluate import LabelledSentences

Metrics = Mapping[str, float]
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Case:
    """A row of the table.

    Attributes:
        name: For --only.
        measure: Trains with a seed and measures; given the folder of the data sets and one to work in.
        targets: What is to be reached, by metric.
        baseline: TF-IDF by the same metrics.
    """

    name: str
    measure: Callable[[Path, Path, int], Metrics]
    targets: Metrics
    baseline: Callable[[Path], Metrics] = lambda folder: {}


def run(*arguments: str | Path) -> str:
    """Run the trainer's command line; its standard output."""
    command = [sys.executable, "-m", "model", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def train_and_evaluate(
    train: Path, test: Path, out: Path, seed: int, *options: str | Path, closed: bool = True
) -> Metrics:
    """Train on one file and measure another; `closed` where the test rows' groups are those of training."""
    run("train", train, "--out", out, "--seed", str(seed), *options)
    against = ("--against", train) if closed else ()
    printed = run("evaluate", out / "bundle", test, *against, "--json")
    metrics: Metrics = json.loads(printed.splitlines()[-1])
    return metrics


def known_groups(name: str, *options: str) -> Callable[[Path, Path, int], Metrics]:
    """Train and refit, then classify the test rows."""

    def measure(folder: Path, work: Path, seed: int) -> Metrics:
        data = folder / name
        valid = ("--valid", data / "valid.tsv")
        return train_and_evaluate(data / "train.tsv", data / "test.tsv", work / "run", seed, *valid, *options)

    return measure


def unseen_groups(folder: Path, work: Path, seed: int) -> Metrics:
    """Train and refit on groups, then retrieve among those of the test."""
    data = folder / "massive_zh_paraphrase_groups"
    options = ("--valid", data / "valid.tsv", "--set", "refit=true")
    return train_and_evaluate(data / "train.tsv", data / "test.tsv", work / "run", seed, *options, closed=False)


def out_of_scope(folder: Path, work: Path, seed: int) -> Metrics:
    """Train on the training rows and their few strangers; choose on validation rows and theirs; measure."""
    data = folder / "clinc150"
    train = with_strangers(data, "train", work)
    options = ("--valid", data / "valid.tsv", "--out-of-scope", data / "oos_valid.tsv")
    return train_and_evaluate(train, with_strangers(data, "test", work), work / "run", seed, *options)


def out_of_scope_unknown(folder: Path, work: Path, seed: int) -> Metrics:
    """Train and choose without any stranger; measure with them."""
    data = folder / "clinc150"
    options = ("--valid", data / "valid.tsv")
    return train_and_evaluate(data / "train.tsv", with_strangers(data, "test", work), work / "run", seed, *options)


def with_strangers(data: Path, part: str, work: Path) -> Path:
    """The rows of a part and its out-of-scope ones, in one file."""
    strangers = [row.text for row in read_rows(data / f"oos_{part}.tsv").rows]
    header, *lines = (data / f"{part}.tsv").read_text().splitlines()
    assert header == "label\ttext"
    path = work / f"{part}.tsv"
    path.write_text("\n".join([header, *lines, *(f"\t{text}" for text in strangers)]) + "\n")
    return path


def folds_of_labels(folder: Path, work: Path, seed: int) -> Metrics:
    """Five folds over all rows: the trainer against TF-IDF with a balanced SVM, in the same folds."""
    data = folder / "nlupp_banking"
    lines = [(data / f"{part}.tsv").read_text().splitlines() for part in ("train", "valid", "test")]
    header, rows = lines[0][0], [line for part in lines for line in part[1:]]
    fold_of = np.random.default_rng(0).permutation(len(rows)) % FOLDS
    ours, theirs = [], []
    for fold in range(FOLDS):
        train, test = work / f"train{fold}.tsv", work / f"test{fold}.tsv"
        for path, inside in ((train, fold_of != fold), (test, fold_of == fold)):
            path.write_text("\n".join([header, *(rows[row] for row in np.flatnonzero(inside))]) + "\n")
        ours.append(train_and_evaluate(train, test, work / f"run{fold}", seed))
        theirs.append(multi_label_baseline(read_rows(train).rows, read_rows(test).rows))
    figures = {}
    for name in ("micro_f1", "macro_f1"):
        differences = [mine[name] - other[name] for mine, other in zip(ours, theirs, strict=True)]
        figures[name] = mean(mine[name] for mine in ours)
        figures[f"{name}_svm"] = mean(other[name] for other in theirs)
        figures[f"{name}_difference"] = mean(differences)
        error = stdev(differences) / FOLDS**0.5
        figures[f"{name}_difference_se"] = error
        figures[f"{name}_difference_over_se"] = mean(differences) / error
    return figures


def zlpr_over_bce(folder: Path, work: Path, seed: int) -> Metrics:
    """Both losses of several labels, everything else alike, at threshold 0."""
    data = folder / "goemotions"
    figures: dict[str, float] = {}
    for loss in ("zlpr", "bce"):
        options = (
            "--valid",
            data / "valid.tsv",
            "--set",
            f"multi_label_loss={loss}",
            "--set",
            "label_threshold_rule=zero",
        )
        metrics = train_and_evaluate(data / "train.tsv", data / "test.tsv", work / loss, seed, *options)
        figures |= {f"{name}_{loss}": metrics[name] for name in ("micro_f1", "macro_f1")}
    return {**figures, "macro_f1_gain": figures["macro_f1_zlpr"] - figures["macro_f1_bce"]}


def closed_baseline(name: str) -> Callable[[Path], Metrics]:
    """TF-IDF with a linear SVM."""

    def measure(folder: Path) -> Metrics:
        train, test = (LabelledSentences.read(folder / name / f"{part}.tsv") for part in ("train", "test"))
        return svm_baseline(*train.in_scope(), *test.in_scope())

    return measure


def open_baseline(folder: Path) -> Metrics:
    """Cosines of TF-IDF."""
    return retrieval_baseline(*LabelledSentences.read(folder / "massive_zh_paraphrase_groups" / "test.tsv").in_scope())


REFIT = ("--set", "refit=true")
CASES = (
    Case(
        "banking77",
        known_groups("banking77", *REFIT),
        {"head_accuracy": 0.918, "knn5": 0.915},
        closed_baseline("banking77"),
    ),
    Case("banking77_classic", known_groups("banking77", "--recipe", "classic"), {"head_accuracy": 0.870}),
    Case("clinc150", known_groups("clinc150", *REFIT), {"head_accuracy": 0.930}, closed_baseline("clinc150")),
    Case("clinc150_oos", out_of_scope, {"oos_auroc": 0.955, "in_scope_accuracy": 0.88, "oos_recall": 0.88}),
    Case("clinc150_no_strangers", out_of_scope_unknown, {"in_scope_accuracy": 0.85, "oos_recall": 0.85}),
    Case(
        "massive_zh",
        known_groups("massive_zh", *REFIT),
        {"head_accuracy": 0.830, "head_macro_f1": 0.785},
        closed_baseline("massive_zh"),
    ),
    Case(
        "massive_zh_groups",
        unseen_groups,
        {"hit_rate@1": 0.825, "hit_rate@5": 0.925, "hit_rate@10": 0.945},
        open_baseline,
    ),
    # at least minus one standard error of the paired difference
    Case("nlupp_banking", folds_of_labels, {"micro_f1_difference_over_se": -1, "macro_f1_difference_over_se": -1}),
    Case("goemotions", zlpr_over_bce, {"macro_f1_gain": 0.03}),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[case.name for case in CASES])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    folder = data_folder()
    table = []
    for case in CASES:
        if options.only is None or case.name in options.only:
            table += measure_case(case, folder, options.seeds)
    print(f"\n{'case':20} {'metric':28} {'mean':>8} {'se':>7} {'target':>7} {'TF-IDF':>7}")
    for line in table:
        print(line)
    failed = [name for name in ("speed", "scale") if options.only is None and _other(name)]
    sys.exit(len(failed))


def measure_case(case: Case, folder: Path, n_seeds: int) -> list[str]:
    """Lines of the table: mean and standard error over the seeds, target, baseline."""
    runs = []
    for seed in range(n_seeds):
        with tempfile.TemporaryDirectory() as work:
            runs.append(case.measure(folder, Path(work), seed))
        print(json.dumps({"case": case.name, "seed": seed, **runs[-1]}), flush=True)
    beside = case.baseline(folder)
    lines = []
    for name, target in case.targets.items():
        values = [metrics[name] for metrics in runs]
        error = stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
        plain = f"{beside[name]:7.4f}" if name in beside else " " * 7
        lines.append(f"{case.name:20} {name:28} {mean(values):8.4f} {error:7.4f} {target:7.3f} {plain}")
    return lines


def _other(name: str) -> int:
    print(f"\n== {name}", flush=True)
    return subprocess.run([sys.executable, "-m", f"benchmarks.bench_{name}"], check=False).returncode


if __name__ == "__main__":
    main()
