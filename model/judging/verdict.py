"""The verdict on a candidate: every rule of the gate, the figures behind it, and what a person may do about them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.config import GateRules
from model.contract.bundle import Bundle
from model.evaluation.metrics import expected_calibration_error
from model.judging.answers import Answers, Tell, answer
from model.judging.groups import confusions, figures_of_groups
from model.judging.rows import JudgedRows
from model.judging.rules import (
    Measure,
    RuleOutcome,
    apply_above_chance,
    apply_bounds,
    apply_calibration,
    apply_paired,
)
from model.judging.statistics import bootstrap_interval, wilson

FEWEST_ASKED: Final = 30
"""Kept-out sentences below which hardly any difference can be told."""

_BINS: Final = 10


@dataclass(frozen=True, slots=True)
class Side:
    """A bundle and its answers."""

    bundle: Bundle
    answers: Answers


def judge(
    candidate: Bundle,
    active: Bundle,
    rows: JudgedRows,
    rules: GateRules,
    *,
    share: float,
    suspects: frozenset[str],
    tell: Tell,
) -> dict[str, Any]:
    """Compare a candidate with the bundle that answers now, on sentences that a training keeps out.

    Args:
        candidate, active: The two.
        rows: What is stored and what is asked, the same for both.
        rules: Of the gate.
        share: Of the sentences that are kept out: a bundle whose training kept out as many has seen none of them.
        suspects: Ids of stored sentences that look mislabelled.
        tell: Hears how many sentences more are done.

    Returns:
        What `compare` says, and seconds.
    """
    started = time.monotonic()
    of_candidate, of_active = (Side(bundle, answer(bundle, rows, tell)) for bundle in (candidate, active))
    verdict = compare(of_candidate, of_active, rows, rules, share=share, suspects=suspects)
    return {**verdict, "seconds": round(time.monotonic() - started, 2)}


def compare(
    candidate: Side,
    active: Side,
    rows: JudgedRows,
    rules: GateRules,
    *,
    share: float,
    suspects: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """The verdict: passed, reasons, notes, rules, metrics, held_out, training_data, groups, confusions, calibration and
    thresholds. It names records by their ids."""
    measures = _measures(rows, candidate.answers, active.answers, rules)
    calibrations = {side: _calibration(rows, of.answers) for side, of in (("candidate", candidate), ("active", active))}
    outcomes = [
        *apply_paired(measures, rules),
        *apply_bounds(measures, rules),
        *_chance(rows, candidate.answers, rules),
        *apply_calibration(calibrations["active"]["ece"], calibrations["candidate"]["ece"], rules),
    ]
    training_data = {
        "candidate": _training_data(candidate.bundle, share),
        "active": _training_data(active.bundle, share),
    }
    failed = [outcome for outcome in outcomes if not outcome.passed]
    return {
        "passed": not failed,
        "reasons": _reasons(failed, training_data["active"]),
        "notes": [*_untested(measures, rules), *_notes(rows, training_data)],
        "rules": [outcome.as_dict() for outcome in outcomes],
        "metrics": {"candidate": _metrics(measures, "candidate"), "active": _metrics(measures, "active")},
        "held_out": {
            "n": len(rows.asked),
            "groups": len({row.group for row in rows.asked if row.group is not None}),
            "out_of_scope": len(rows.strangers),
            "left_out": rows.n_left_out,
        },
        "training_data": training_data,
        "groups": [] if rows.of_labels else figures_of_groups(rows, candidate.answers, active.answers),
        "confusions": [] if rows.of_labels else confusions(rows, candidate.answers, suspects),
        "calibration": calibrations,
        "thresholds": candidate.bundle.manifest.decision.model_dump(mode="json", exclude={"label_thresholds"}),
    }


def _measures(rows: JudgedRows, candidate: Answers, active: Answers, rules: GateRules) -> list[Measure]:
    refusals = Measure("out_of_scope_recall", _float(active.refused()), _float(candidate.refused()))
    if rows.of_labels:
        return [Measure("label_f1", active.label_f1(rows), candidate.label_f1(rows), is_share=False), refusals]
    return [
        Measure("hit_rate@1", _float(active.hits(rows)), _float(candidate.hits(rows))),
        Measure("best_group", _float(active.best(rows)), _float(candidate.best(rows)), groups=_group_numbers(rows)),
        Measure("accuracy", _float(active.right(rows)), _float(candidate.right(rows)), tolerance=rules.tolerance),
        refusals,
    ]


def _chance(rows: JudgedRows, candidate: Answers, rules: GateRules) -> list[RuleOutcome]:
    if rows.of_labels:
        return []
    names = [*candidate.nearest_groups(rows), *(row.group for row in rows.asked)]
    numbers = np.unique([name or "" for name in names], return_inverse=True)[1].astype(np.int64)
    given, true = np.split(numbers, 2)
    return apply_above_chance(given, true, rules)


def _reasons(failed: Sequence[RuleOutcome], active_data: str) -> list[str]:
    reasons = [outcome.detail for outcome in failed]
    if active_data == "unknown" and any(outcome.name.startswith("not_worse") for outcome in failed):
        reasons.append(
            "What answers now may have learned from these very sentences, since it was trained elsewhere without "
            "keep_out, and then looks better than it is: if the candidate's own figures are good, promote it by hand."
        )
    return reasons


def _untested(measures: Sequence[Measure], rules: GateRules) -> list[str]:
    """Of bounds that somebody set, those that say nothing here: they pass, and whoever set them counts on them."""
    measured = {measure.name for measure in measures if len(measure.active)}
    bounds = {"max_drop": rules.max_drop, "least": rules.least}
    wanted = [(rule, metric) for rule, metrics in bounds.items() for metric in metrics if metric not in measured]
    return [
        f"the rule {rule}.{metric} was not tested: no kept-out sentence measures {metric}" for rule, metric in wanted
    ]


def _notes(rows: JudgedRows, training_data: dict[str, str]) -> list[str]:
    notes = []
    if len(rows.asked) < FEWEST_ASKED:
        notes.append(
            f"{len(rows.asked)} sentences were asked: so few that only a large difference can be told; add variants"
        )
    if not rows.strangers:
        notes.append("no sentence out of scope was kept out: how well strangers are refused was not tested")
    for side, known in training_data.items():
        if known == "unknown":
            notes.append(f"what the {side} encoder learned from is unknown: it may have seen the kept-out sentences")
    return notes


def _metrics(measures: Sequence[Measure], side: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for measure in measures:
        values: NDArray[np.float64] = getattr(measure, side)
        if not len(values):
            continue
        low, high = wilson(values > 0) if measure.is_share else bootstrap_interval(values)
        found[measure.name] = {"value": float(values.mean()), "low": low, "high": high}
    return found


def _calibration(rows: JudgedRows, answers: Answers) -> dict[str, Any]:
    """The calibration error, and how confidence and the share that is right go together, in bins of equal mass."""
    of_asked = answers.label_f1(rows) == 1 if rows.of_labels else answers.right(rows)
    right = np.concatenate([of_asked, answers.refused()])
    confidences = answers.confidences()
    if not len(right):
        return {"ece": 0.0, "bins": []}
    order = np.argsort(confidences, kind="stable")
    bins = [
        {"confidence": float(confidences[part].mean()), "accuracy": float(right[part].mean()), "n": len(part)}
        for part in np.array_split(order, _BINS)
        if len(part)
    ]
    return {"ece": expected_calibration_error(confidences, right), "bins": bins}


def _training_data(bundle: Bundle, share: float) -> str:
    return "kept out" if bundle.manifest.config.get("keep_out", 0.0) >= share else "unknown"


def _group_numbers(rows: JudgedRows) -> NDArray[np.int64]:
    return np.unique([row.group or "" for row in rows.asked], return_inverse=True)[1].astype(np.int64)


def _float(values: NDArray[np.bool_]) -> NDArray[np.float64]:
    return values.astype(np.float64)
