"""What bench_methods asks: the data sets, the settings compared, and the files where a data set has none that fit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Files = Callable[[Path, Path, str], Sequence[str | Path]]
"""Folder of the set, folder to write to, and variant, to arguments."""

_HIDDEN_SHARE = 0.5
"""Of the labels that hold, in the partly labelled file."""


def own_files(data: Path, work: Path, variant: str) -> Sequence[str | Path]:
    """The set's training and validation rows."""
    return data / "train.tsv", "--valid", data / "valid.tsv"


def strangers_to_choose_by(data: Path, work: Path, variant: str) -> Sequence[str | Path]:
    """The validation rows of no group too."""
    return *own_files(data, work, variant), "--out-of-scope", data / "oos_valid.tsv"


def strangers_given(data: Path, work: Path, variant: str) -> Sequence[str | Path]:
    """The hundred training rows of no group as well."""
    header, *strangers = (data / "oos_train.tsv").read_text().splitlines()
    rows = (data / "train.tsv").read_text().splitlines()
    assert header == rows[0] == "label\ttext"
    train = work / "train.tsv"
    train.write_text("\n".join([*rows, *(f"\t{line.split(chr(9))[1]}" for line in strangers)]) + "\n")
    return train, *strangers_to_choose_by(data, work, variant)[1:]


def ten_a_group(data: Path, work: Path, variant: str) -> Sequence[str | Path]:
    """Ten training rows of each group, and the others without their group."""
    header, *rows = (data / "train.tsv").read_text().splitlines()
    seen: dict[str, int] = {}
    few, others = [], []
    for row in np.random.default_rng(0).permutation(rows):
        label, text = row.split("\t")
        seen[label] = seen.get(label, 0) + 1
        if seen[label] <= 10:
            few.append(row)
        else:
            others.append(text)
    train, unlabelled = work / "few.tsv", work / "unlabelled.tsv"
    train.write_text("\n".join([header, *few]) + "\n")
    unlabelled.write_text("\n".join(["text", *others]) + "\n")
    return train, "--valid", data / "valid.tsv", "--unlabelled", unlabelled


def partly_labelled(data: Path, work: Path, variant: str) -> Sequence[str | Path]:
    """Training rows in which half the labels that hold are not said: marked as unknown, missing, or said after all."""
    header, *rows = (data / "train.tsv").read_text().splitlines()
    assert header == "text\tlabels"
    rng = np.random.default_rng(0)
    written = [header]
    for row in rows:
        text, cell = row.split("\t")
        labels = cell.split("|")
        hidden = rng.random(len(labels)) < _HIDDEN_SHARE
        kept = [label for label, hide in zip(labels, hidden, strict=True) if not hide]
        marked = [f"?{label}" for label, hide in zip(labels, hidden, strict=True) if hide and label != "none"]
        said = {"unknown": [*kept, *marked], "taken as absent": kept, "left as known": labels}[variant]
        written.append(f"{text}\t{'|'.join(said) or 'none'}")
    train = work / "partly.tsv"
    train.write_text("\n".join(written) + "\n")
    return train, "--valid", data / "valid.tsv"


def other_rows_choose(data: Path, work: Path, variant: str) -> Sequence[str | Path]:
    """Only the training rows: the trainer holds some of them out."""
    return (data / "train.tsv",)


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
        files: Gives the arguments of `samesay train` that name its files; may write some for a variant.
        measured_on: Rows for `samesay evaluate`, where the run must not choose by them; "" takes the run's own figures.
    """

    name: str
    data: str
    metrics: tuple[str, ...]
    base: tuple[str, ...]
    variants: dict[str, tuple[str, ...]]
    reference: str
    recipe: str = "default"
    files: Files = own_files
    measured_on: str = ""


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
        "long_tail, after training",
        "massive_zh",
        ("in_scope_accuracy",),
        ("objective=head",),
        {
            "without": (),
            "logit_adjustment=posthoc": ("logit_adjustment=posthoc",),
            "posthoc, tau 0.5": ("logit_adjustment=posthoc", "logit_adjustment_tau=0.5"),
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
        "clinc150",
        ("oos_auroc", "in_scope_accuracy", "oos_recall"),
        ("objective=head",),
        {
            "no exposure": ("outlier_exposure_weight=0",),
            "no_match, 100 given and made ones": ("outlier_exposure_weight=1",),
            "no_match, 100 given": ("outlier_exposure_weight=1", "synthetic_outliers=false"),
            "uniform, 100 given and made ones": ("outlier_exposure_weight=1", "outlier_loss=uniform"),
        },
        "no exposure",
        files=strangers_given,
    ),
    Question(
        "made strangers",
        "clinc150",
        ("oos_auroc", "in_scope_accuracy", "oos_recall"),
        ("objective=head",),
        {"no exposure": ("outlier_exposure_weight=0",), "synthetic_outliers": ("outlier_exposure_weight=1",)},
        "no exposure",
        files=strangers_to_choose_by,
    ),
    Question(
        "few sentences",
        "banking77",
        ("head_accuracy", "knn5"),
        ("objective=head",),
        {
            "without": (),
            "rdrop_alpha=1": ("rdrop_alpha=1",),
            "rdrop_unlabelled_weight=1": ("rdrop_unlabelled_weight=1",),
            "rdrop_unlabelled_weight=4": ("rdrop_unlabelled_weight=4",),
        },
        "without",
        files=ten_a_group,
    ),
    Question(
        "checkpoints",
        "banking77",
        ("head_accuracy", "knn5"),
        ("objective=head",),
        {
            "schedule=constant": ("schedule=constant",),
            "constant, ema_decay=0.99": ("schedule=constant", "ema_decay=0.99"),
            "constant, monitor=loss": ("schedule=constant", "monitor=loss"),
            "constant, patience=2": ("schedule=constant", "patience=2"),
        },
        "schedule=constant",
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
            "last_layer=svm_and_words": ("last_layer=svm_and_words",),
            "all of the default": ("positive_weight=3", "rdrop_alpha=1", "last_layer=svm_and_words"),
        },
        "bce",
    ),
    Question(
        "unknown labels",
        "nlupp_banking",
        ("micro_f1", "macro_f1"),
        (),
        {"unknown": (), "taken as absent": (), "left as known": ()},
        "taken as absent",
        files=partly_labelled,
    ),
    Question(
        "label thresholds",
        "nlupp_banking",
        ("micro_f1", "macro_f1"),
        (),
        {
            "zero": (),
            "global": ("label_threshold_rule=global",),
            "per_label": ("label_threshold_rule=per_label",),
        },
        "zero",
        files=other_rows_choose,
        measured_on="valid.tsv",
    ),
)
