"""Each piece of advice comes with its figure, only when the figure calls for it, and the most useful one first."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from model.report.advice import MOST_ADVICE, advise, remedy
from model.report.data import (
    Bin,
    Calibration,
    Confusion,
    Curve,
    Duplicate,
    ReportData,
    ScoreSpread,
    Sizes,
)

SIZES = Sizes(
    n_train=5000,
    n_held_out=500,
    n_out_of_scope=50,
    n_groups=40,
    smallest=20,
    median=100,
    largest=300,
    n_small=0,
)


def curve(name: str, *values: float) -> Curve:
    return Curve(name=name, epochs=tuple(range(1, len(values) + 1)), values=values)


WELL = ReportData(
    sizes=SIZES,
    metrics={"head_accuracy": 0.9, "head_macro_f1": 0.88},
    watched="head_accuracy",
    kept_epoch=3,
    curves=(curve("loss", 3, 2, 1, 0.9), curve("head_accuracy", 0.7, 0.8, 0.9, 0.895)),
    calibration=Calibration(bins=(Bin(n=500, confidence=0.8, accuracy=0.78),), ece=0.02, chance=0.02),
    scores=ScoreSpread(edges=(0.0, 1.0), threshold=0.55, histograms=(), answered_strangers=()),
)


def confusion(a_as_b: int, b_as_a: int, sizes: tuple[int, int] = (10, 10), shared: int = 0) -> Confusion:
    return Confusion(
        first="A",
        second="B",
        first_as_second=a_as_b,
        second_as_first=b_as_a,
        first_size=sizes[0],
        second_size=sizes[1],
        shared=shared,
        examples=(),
    )


MISCALIBRATED = Calibration(bins=(Bin(n=300, confidence=1, accuracy=0.88),), ece=0.12, chance=0.03)

Change = Callable[[ReportData], ReportData]

CASES: list[tuple[str, Change, tuple[str, ...]]] = [
    (
        "duplicates",
        lambda r: replace(r, n_duplicates=3, duplicates=(Duplicate(sentence="hi", groups=("A", "B")),)),
        ("3 sentences", "“hi”", "A and B"),
    ),
    ("confused", lambda r: replace(r, confusions=(confusion(4, 3),)), ("A and B", "7 times", "4 and 3", "merge")),
    (
        "confused one way",
        lambda r: replace(r, confusions=(confusion(4, 0),)),
        ("A is taken for B 4 times", "add variants"),
    ),
    ("small", lambda r: replace(r, sizes=replace(SIZES, n_small=31, smallest=2)), ("31 of 40 groups", "add variants")),
    (
        "out of scope",
        lambda r: replace(r, sizes=replace(SIZES, n_out_of_scope=0)),
        ("0.55", "without any", "--out-of-scope FILE"),
    ),
    (
        "made ones",
        lambda r: replace(
            r, sizes=replace(SIZES, n_out_of_scope=0), scores=replace(r.scores, n_made=60) if r.scores else None
        ),
        ("0.55", "made of your own", "--out-of-scope FILE"),
    ),
    (
        "epochs",
        lambda r: replace(r, kept_epoch=4, curves=(curve("head_accuracy", 0.6, 0.7, 0.8, 0.9),)),
        ("0.900", "0.800 before", "epochs=8"),
    ),
    (
        "held-out loss",
        lambda r: replace(r, curves=(*r.curves, curve("valid_loss", 3, 2.5, 2.2, 2.4))),
        ("0.900", "2.400", "R-Drop"),
    ),
    (
        "accuracy gap",
        lambda r: replace(r, metrics={"head_accuracy": 0.62}, curves=(curve("train_accuracy", 0.5, 0.97),)),
        ("97.0%", "62.0%", "R-Drop"),
    ),
    (
        "metric fell",
        lambda r: replace(r, curves=(curve("head_accuracy", 0.7, 0.8, 0.9, 0.85),)),
        ("After epoch 3", "0.900 to 0.850", "dropout"),
    ),
    (
        "calibration",
        lambda r: replace(
            r, calibration=Calibration(bins=(Bin(n=300, confidence=1, accuracy=0.9),), ece=0.12, chance=0.03)
        ),
        ("0.12", "300 decisions", "0.03"),
    ),
    (
        "long tail",
        lambda r: replace(r, sizes=replace(SIZES, largest=2000), metrics={"head_accuracy": 0.9, "head_macro_f1": 0.8}),
        ("20 to 2,000", "0.100", "logit adjustment"),
    ),
    ("few held out", lambda r: replace(r, sizes=replace(SIZES, n_held_out=100)), ("100", "± 0.031", "--valid FILE")),
    (
        "none right of few",  # (0 + 2) / (39 + 4) = 0.0465
        lambda r: replace(r, sizes=replace(SIZES, n_held_out=39), metrics={"head_accuracy": 0.0}),
        ("0.000 is sure to ± 0.032",),
    ),
    (
        "hardly trained",
        lambda r: replace(r, confusions=(confusion(4, 3),), curves=(curve("train_accuracy", 0.1, 0.3),)),
        ("2 epochs", "30.0%", "epochs=25", "smoke"),
    ),
]


def test_a_run_that_went_well_gets_no_advice() -> None:
    assert advise(WELL) == []


@pytest.mark.parametrize(("change", "evidence"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_sign_gives_one_sentence_with_its_figures(change: Change, evidence: tuple[str, ...]) -> None:
    (sentence,) = advise(change(WELL))
    for figure in evidence:
        assert figure in sentence


def test_at_most_five_and_the_data_before_the_settings() -> None:
    everything = WELL
    for _, change, _ in reversed(CASES):
        everything = change(everything)
    advice = advise(everything)
    assert len(advice) == MOST_ADVICE < len(CASES)
    markers = ("“hi”", "A and B", "31 of 40 groups")
    assert [marker in sentence for marker, sentence in zip(markers, advice, strict=False)] == [True] * 3


@pytest.mark.parametrize(
    "report",
    [
        ReportData(sizes=SIZES),  # nothing was held out
        replace(WELL, confusions=(confusion(1, 0),)),  # once is chance
        replace(WELL, calibration=Calibration(bins=(), ece=0.12, chance=0.1)),  # few decisions make that by chance
        replace(WELL, kept_epoch=4, curves=(curve("head_accuracy", 0.7, 0.9, 0.9, 0.9),)),  # flat: more is no better
        replace(WELL, watched="loss", kept_epoch=4, curves=(curve("loss", 3, 2, 1, 4),)),  # less is better
        replace(WELL, sizes=replace(SIZES, largest=2000)),  # long tail, but the rare groups do as well
    ],
    ids=["nothing held out", "one mistake", "chance", "flat", "loss watched", "fair tail"],
)
def test_weak_signs_give_no_advice(report: ReportData) -> None:
    assert advise(report) == []


@pytest.mark.parametrize(
    ("pair", "wanted"),
    [
        (confusion(4, 3, shared=2), "2 sentences in both"),
        (confusion(4, 3), "merge them if they mean the same"),
        (confusion(4, 0, sizes=(4, 30)), "add variants to A: it has 4 against 30"),
        (confusion(4, 0), "move these sentences of A if they belong to B"),
    ],
)
def test_the_remedy_follows_what_the_two_groups_look_like(pair: Confusion, wanted: str) -> None:
    assert wanted in remedy(pair)
