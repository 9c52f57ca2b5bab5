"""From what a run leaves behind to what its report shows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from model.config import Objective
from model.contract.dataset import Row, cross_group_duplicates
from model.contract.deciding.decision import DecisionParameters
from model.data.training_data import TrainingData
from model.evaluation.held_out import HeldOutAnswers, LabelAnswers, answerable
from model.evaluation.label_metrics import LabelTruth
from model.report.answers import Answered, answer_held_out, find_confusions, find_hard_groups
from model.report.calibration import calibrate_report, spread_scores
from model.report.curves import draw_curves
from model.report.data import SMALL_GROUP, Duplicate, Figures, ReportData, Sizes
from model.report.projection import draw_map
from model.report.wording import shorten, shorten_name

_MOST_FINDINGS, _MOST_FINDING_CHARS = 30, 600
_MOST_SETTINGS, _MOST_SETTING_CHARS = 200, 120
_MOST_DUPLICATES = 8
_MOST_LABELS = 200
_KEPT_EPOCH = "kept_epoch"


def gather(
    data: TrainingData,
    seen: HeldOutAnswers | None,
    *,
    epochs: Sequence[Mapping[str, Any]],
    decision: DecisionParameters,
    metrics: Mapping[str, float],
    seconds: Mapping[str, float],
) -> ReportData:
    """Count everything that a report shows.

    Args:
        data: Of the run, with its settings.
        seen: What the encoder answered; None where nothing was held out.
        epochs: The objects of metrics.jsonl; every further scalar of theirs becomes a curve.
        decision: The thresholds chosen.
        metrics: Of the held-out rows; `kept_epoch` among them.
        seconds: Of the run's parts, by name.
    """
    common = {
        "sizes": _sizes(data),
        "findings": tuple(shorten(finding, _MOST_FINDING_CHARS) for finding in data.findings[:_MOST_FINDINGS]),
        "metrics": {name: value for name, value in metrics.items() if name != _KEPT_EPOCH},
        "kept_epoch": int(metrics[_KEPT_EPOCH]) if _KEPT_EPOCH in metrics else None,
        "curves": draw_curves(epochs),
        "settings": _settings(data),
        "seconds": dict(seconds),
        **_duplicates(_grouped(data)),
    }
    if seen is None:
        return ReportData(**common)
    return ReportData(
        **common,
        watched=seen.monitor,
        labels=label_figures(seen.labels, data.valid) if seen.labels else (),
        **(_of_groups(data, seen, decision) if seen.decisions else {}),
    )


def label_figures(answers: LabelAnswers, rows: Sequence[Row]) -> tuple[Figures, ...]:
    """Figures of each label that a held-out sentence has or was given, lowest F1 first, at most some hundreds."""
    truth = LabelTruth.of(rows, answers.names)
    own = slice(0, len(answers.names))  # labels that only the rows have come after those of the head
    known = truth.known[:, own]
    given = (answers.confidences >= answers.thresholds) & known  # (n_held_out, n_labels)
    true = truth.applies[:, own] & known
    figures = [
        Figures(name=shorten_name(name), n_true=n_true, n_answered=n_given, n_right=n_right)
        for name, n_true, n_given, n_right in zip(
            answers.names,
            true.sum(axis=0).tolist(),
            given.sum(axis=0).tolist(),
            (true & given).sum(axis=0).tolist(),
            strict=True,
        )
        if n_true or n_given
    ]
    return tuple(sorted(figures, key=lambda of_label: (of_label.f1, -of_label.n_true))[:_MOST_LABELS])


def _of_groups(data: TrainingData, seen: HeldOutAnswers, decision: DecisionParameters) -> dict[str, Any]:
    stored = data.looked_up()
    rows = [*stored, *data.valid]
    texts, groups = [row.text for row in rows], [row.group or "" for row in rows]
    answered = answer_held_out(texts, groups, len(stored), seen)
    confusions, n_confusions = find_confusions(answered)
    hard, n_hard = find_hard_groups(answered)
    true_groups = [groups[row] for row in answerable(groups, len(stored))]
    return {
        "answered_by": answered.by,
        "confusions": confusions,
        "n_confusions": n_confusions,
        "hard_groups": hard,
        "n_hard": n_hard,
        "calibration": calibrate_report(seen.decisions, true_groups, seen.strangers),
        "scores": spread_scores(seen.decisions, true_groups, seen.strangers, data.out_of_scope, decision.threshold),
        "map": draw_map(texts, groups, len(stored), seen.embeddings, _most_astray(answered)),
    }


def _most_astray(answered: Answered) -> list[str]:
    """The groups of the two pairs most often confused: whether they overlap is what a map can show."""
    wrong = Counter(tuple(sorted(pair)) for pair in answered.pairs() if pair[0] != pair[1])
    worst = sorted(wrong.items(), key=lambda item: (-item[1], item[0]))
    return [group for pair, _ in worst[:2] for group in pair]


def _sizes(data: TrainingData) -> Sizes:
    counts = list(Counter(row.group for row in _grouped(data)).values()) or [0]
    return Sizes(
        n_train=len(data.train),
        n_held_out=len(data.valid),
        n_out_of_scope=len(data.out_of_scope),
        n_groups=len(counts) if counts != [0] else 0,
        smallest=min(counts),
        median=float(np.median(counts)),
        largest=max(counts),
        n_small=sum(0 < size < SMALL_GROUP for size in counts),
    )


def _grouped(data: TrainingData) -> list[Row]:
    """The rows whose groups the run knows of: a column that it was told not to use says nothing about it."""
    rows = [] if data.config.objective is Objective.MULTI_LABEL else [*data.looked_up(), *data.valid]
    return [row for row in rows if row.group]


def _settings(data: TrainingData) -> dict[str, str]:
    settings = list(data.config.model_dump(mode="json").items())[:_MOST_SETTINGS]
    return {name: shorten(str(value), _MOST_SETTING_CHARS) for name, value in settings}


def _duplicates(rows: Sequence[Row]) -> dict[str, Any]:
    found = list(cross_group_duplicates(rows).values())
    some = tuple(
        Duplicate(
            sentence=shorten(same[0].text),
            groups=tuple(sorted({shorten_name(row.group or "") for row in same})[:4]),
        )
        for same in found[:_MOST_DUPLICATES]
    )
    return {"n_duplicates": len(found), "duplicates": some}
