"""What each method changes: the same run with and without it, on validation rows, paired by seed.

SAMESAY_BENCH_DATA=... python -m benchmarks.bench_methods [--only margins ...] [--seeds 2] [--jobs 2]

The standard error is that of the paired differences over the seeds. With few seeds it is itself uncertain; that of
a share of n held-out sentences, sqrt(p (1 - p) / n), is the floor to read it with. No test row is read.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from benchmarks.data import data_folder


@dataclass(frozen=True, slots=True)
class Question:
    """Runs of one data set that differ in some settings.

    Attributes:
        name: For --only.
        data: The set.
        metrics: Those to compare, of the held-out rows.
        base: Settings of every run.
        variants: Name to the settings added.
        reference: The variant that the others are compared with.
        recipe: Of every run.
    """

    name: str
    data: str
    metrics: tuple[str, ...]
    base: tuple[str, ...]
    variants: dict[str, tuple[str, ...]]
    reference: str
    recipe: str = "default"


PLAIN = ("margin_loss=normalised_softmax",)
QUESTIONS = (
    Question(
        "margins",
        "banking77",
        ("head_accuracy", "knn5"),
        ("objective=head",),
        {
            "am_softmax": (),
            "normalised_softmax": PLAIN,
            "arcface": ("margin_loss=arcface",),
            "a_softmax": ("margin_loss=a_softmax", "margin=2"),
            "simpler_a_softmax": ("margin_loss=simpler_a_softmax",),
            "adacos": (*PLAIN, "scale_mode=adacos"),
            "margin_warmup_epochs=2": ("margin_warmup_epochs=2",),
            "sub_centers=3": ("sub_centers=3",),
            "false_negative_threshold=0.7": ("false_negative_threshold=0.7",),
            "head_learning_rate=0.01": ("head_learning_rate=0.01",),
            "sampled_negatives=20": ("sampled_negatives=20",),
        },
        "am_softmax",
    ),
    Question(
        "regularisers",
        "banking77",
        ("head_accuracy", "knn5"),
        ("objective=head",),
        {
            "without": (),
            "rdrop_alpha=1": ("rdrop_alpha=1",),
            "rdrop_alpha=4": ("rdrop_alpha=4",),
            "rdrop_on=embeddings": ("rdrop_alpha=4", "rdrop_on=embeddings"),
            "flood_level=0.5": ("flood_level=0.5",),
            "flood_mode=instance": ("flood_level=0.5", "flood_mode=instance"),
            "center_loss_weight=0.5": ("center_loss_weight=0.5",),
            "label_smoothing=0.02": ("label_smoothing=0.02",),
            "ema_decay=0.99": ("ema_decay=0.99",),
            "weight_decay=0.01": ("weight_decay=0.01",),
            "embedding_noise_std=0.1": ("embedding_noise_std=0.1",),
            "unit_norm by projection": ("weight_constraint=unit_norm",),
            "spectral_norm of the bag": (
                "weight_constraint=spectral_norm",
                "constraint_target=bag",
                "constraint_by=parametrisation",
            ),
            "sampler=pk": ("sampler=pk",),
            "gradient_accumulation_steps=2": ("gradient_accumulation_steps=2", "batch_size=32"),
            "precision=bfloat16": ("precision=bfloat16",),
        },
        "without",
    ),
    Question(
        "imbalance",
        "clinc150_imbalanced",
        ("head_accuracy", "head_macro_f1"),
        ("objective=head",),
        {
            "without": (),
            "class_weight=balanced": ("class_weight=balanced",),
            "class_weight=effective_number": ("class_weight=effective_number",),
            "sampler=class_balanced": ("sampler=class_balanced",),
            "max_per_group=50": ("max_per_group=50",),
            "logit_adjustment=loss": ("logit_adjustment=loss",),
            "loss=focal": ("loss=focal",),
            "loss=soft_truncation": ("loss=soft_truncation",),
            "loss=hard_truncation": ("loss=hard_truncation",),
        },
        "without",
    ),
    Question(
        "long_tail",
        "massive_zh",
        ("head_accuracy", "head_macro_f1"),
        ("objective=head",),
        {
            "without": (),
            "class_weight=balanced": ("class_weight=balanced",),
            "logit_adjustment=loss": ("logit_adjustment=loss",),
            "logit_adjustment_tau=0.5": ("logit_adjustment=loss", "logit_adjustment_tau=0.5"),
            "sampler=class_balanced": ("sampler=class_balanced",),
            "loss=focal": ("loss=focal",),
        },
        "without",
    ),
    Question(
        "the post's losses, unseen groups",
        "massive_zh_paraphrase_groups",
        ("hit_rate@1", "hit_rate@5", "hit_rate@10"),
        (),
        {
            "softmax": PLAIN,
            "am_softmax": (),
            "simpler_a_softmax": ("margin_loss=simpler_a_softmax",),
            "arcface": ("margin_loss=arcface",),
        },
        "softmax",
        recipe="classic",
    ),
    Question(
        "pairs",
        "massive_zh_paraphrase_groups",
        ("hit_rate@1", "hit_rate@5"),
        (),
        {
            "in_batch": (),
            "pair_margin=0": ("pair_margin=0",),
            "hard_batches": ("hard_batches=true",),
            "rdrop_on=embeddings": ("rdrop_alpha=1", "rdrop_on=embeddings"),
            "sim_cse, no group used": ("objective=sim_cse",),
            "head": ("objective=head",),
            "joint": ("objective=joint",),
        },
        "in_batch",
    ),
    Question(
        "knobs",
        "banking77",
        ("head_accuracy", "knn5"),
        ("objective=head",),
        {
            "default": (),
            "margin=0.2": ("margin=0.2",),
            "margin=0.5": ("margin=0.5",),
            "scale=20": ("scale=20",),
            "scale=40": ("scale=40",),
            "clip_norm=0": ("clip_norm=0",),
            "schedule=linear": ("schedule=linear",),
            "schedule=constant": ("schedule=constant",),
            "max_norm of the bag": ("weight_constraint=max_norm", "constraint_target=bag", "max_norm=1"),
            "label_smoothing to 0 by a schedule": (
                'hyperparameter_schedules={"label_smoothing": [[0, 0.05], [0.8, 0.0]]}',
            ),
        },
        "default",
    ),
    Question(
        "strangers",
        "clinc150_oos",
        ("oos_auroc", "head_accuracy"),
        ("objective=head",),
        {
            "no exposure": ("outlier_exposure_weight=0",),
            "no_match": ("outlier_exposure_weight=1",),
            "no_match, none made": ("outlier_exposure_weight=1", "synthetic_outliers=false"),
            "uniform": ("outlier_exposure_weight=1", "outlier_loss=uniform"),
        },
        "no exposure",
    ),
    Question(
        "labels",
        "nlupp_banking",
        ("micro_f1", "macro_f1"),
        ("multi_label_loss=bce", "positive_weight=1", "rdrop_alpha=0", "last_layer=trained"),
        {
            "bce": (),
            "positive_weight=3": ("positive_weight=3",),
            "zlpr": ("multi_label_loss=zlpr",),
            "f1_weighted_bce": ("multi_label_loss=f1_weighted_bce",),
            "soft_f1": ("multi_label_loss=soft_f1",),
            "rdrop_alpha=1": ("rdrop_alpha=1",),
            "last_layer=svm": ("last_layer=svm",),
            "all of the default": ("positive_weight=3", "rdrop_alpha=1", "last_layer=svm"),
        },
        "bce",
    ),
)


def train(question: Question, settings: tuple[str, ...], seed: int, folder: Path) -> dict[str, float]:
    """The held-out metrics of one run, on one thread."""
    data = folder / question.data
    options = [part for setting in (*question.base, *settings) for part in ("--set", setting)]
    with tempfile.TemporaryDirectory() as work:
        out = Path(work) / "run"
        command = [sys.executable, "-m", "model", "train", str(data / "train.tsv"), "--valid", str(data / "valid.tsv")]
        command += ["--out", str(out), "--recipe", question.recipe, "--seed", str(seed), *options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, env=environment)
        metrics: dict[str, float] = json.loads((out / "result.json").read_text())
    return metrics


def answer(question: Question, folder: Path, n_seeds: int, jobs: int) -> None:
    """Run all variants and print their differences from the reference."""
    tasks = [(name, seed) for name in question.variants for seed in range(n_seeds)]
    with ThreadPoolExecutor(jobs) as pool:
        done = list(pool.map(lambda task: train(question, question.variants[task[0]], task[1], folder), tasks))
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
    for question in QUESTIONS:
        if options.only is None or question.name in options.only:
            answer(question, folder, options.seeds, options.jobs)


if __name__ == "__main__":
    main()
