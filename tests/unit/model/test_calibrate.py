"""Thresholds and the scale of the confidence, chosen on held-out sentences."""

import numpy as np
import pytest

from model.calibrate import Candidates, calibrate
from model.contract.decision import DecisionParameters, Outcome, decide


def candidate(true: str | None, best: float, second: float) -> Candidates:
    return Candidates(true, {true or "x": best, "other": second}, {})


def test_the_threshold_separates_what_can_be_separated() -> None:
    inside = [candidate("a", 0.9, 0.3), candidate("b", 0.8, 0.2)]
    outside = [candidate(None, 0.5, 0.4), candidate(None, 0.3, 0.1)]
    parameters = calibrate(inside, outside)
    assert 0.5 < parameters.threshold < 0.8
    outcomes = [decide(c.neighbour_scores, c.head_cosines, parameters).outcome for c in inside + outside]
    assert outcomes == [Outcome.MATCHED] * 2 + [Outcome.NO_MATCH] * 2


def test_without_strangers_the_runner_up_group_stands_in() -> None:
    parameters = calibrate([candidate("a", 0.9, 0.4), candidate("b", 0.85, 0.5)], [])
    assert 0.5 < parameters.threshold < 0.85


def test_the_balanced_rule_is_the_best_of_all_cuts() -> None:
    rng = np.random.default_rng(0)
    inside = [candidate("a", float(s), 0.0) for s in rng.normal(0.7, 0.15, 200).clip(0.01, 1)]
    outside = [candidate(None, float(s), 0.0) for s in rng.normal(0.4, 0.15, 300).clip(0.01, 1)]
    chosen = calibrate(inside, outside).threshold
    good = np.array([c.neighbour_scores["a"] for c in inside])
    bad = np.array([c.neighbour_scores["x"] for c in outside])

    def balanced(threshold: float) -> float:
        return float((good >= threshold).mean() + (bad < threshold).mean())

    assert balanced(chosen) == max(balanced(threshold) for threshold in np.linspace(0, 1, 2001))


def test_the_scale_makes_confidence_honest() -> None:
    """Scores drawn so that the right group wins with probability sigmoid(25 * gap): the fitted scale is near 25."""
    rng = np.random.default_rng(1)
    inside = []
    for gap in rng.uniform(0.0, 0.2, 4000):
        right = rng.random() < 1 / (1 + np.exp(-25 * gap))
        inside.append(Candidates("a" if right else "b", {"a": 0.7 + gap, "b": 0.7}, {}))
    parameters = calibrate(inside, [candidate(None, 0.1, 0.0)] * 10)
    assert parameters.scale == pytest.approx(25, rel=0.25)


def test_a_right_group_that_was_not_looked_at_does_not_crush_the_confidence() -> None:
    """One sentence in ten whose group is not among the candidates: the others stay as sure as they were."""
    inside = [Candidates("a", {"a": 0.9, "b": 0.5}, {})] * 90
    missed = [Candidates("elsewhere", {"a": 0.9, "b": 0.5}, {})] * 10
    scale = calibrate(inside + missed, [candidate(None, 0.1, 0.0)] * 10).scale
    decision = decide({"a": 0.9, "b": 0.5}, {}, DecisionParameters(threshold=0.1, scale=scale))
    assert decision.confidence == pytest.approx(0.9, abs=0.08)


def test_few_sentences_all_right_do_not_make_a_confidence_of_one() -> None:
    inside = [Candidates("a", {"a": 0.95, "b": 0.3}, {})] * 18
    parameters = calibrate(inside, [candidate(None, 0.3, 0.2)] * 18)
    decision = decide({"a": 0.95, "b": 0.3}, {}, parameters)
    assert 0.9 < decision.confidence < 0.985
    many = calibrate(inside * 50, [candidate(None, 0.3, 0.2)] * 900)
    assert decide({"a": 0.95, "b": 0.3}, {}, many).confidence > decision.confidence
