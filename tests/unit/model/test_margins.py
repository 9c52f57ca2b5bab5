"""The margin for a precision: against trying every margin there is, on random answers and by the decision itself."""

import math

import numpy as np
import pytest

from model.contract.deciding.decision import Outcome, decide
from model.contract.deciding.evidence import Evidence
from model.evaluation.calibrate import Candidates, calibrate
from model.evaluation.margins import MOST_MARGIN, choose_margin


def matched(gaps: np.ndarray, margin: float) -> np.ndarray:
    return gaps >= margin


@pytest.mark.parametrize("target", [0.5, 0.8, 0.9, 0.99])
@pytest.mark.parametrize("seed", range(20))
def test_it_matches_as_many_as_any_margin_that_reaches_the_target(seed: int, target: float) -> None:
    rng = np.random.default_rng(seed)
    gaps = np.round(rng.uniform(0, 0.5, 40), rng.integers(1, 4))  # equal ones among them
    right = rng.random(40) < 0.5 + gaps
    margin = choose_margin(gaps, right, target)
    reaching = [
        int(matched(gaps, tried).sum())
        for tried in [0.0, *np.unique(gaps)]
        if right[matched(gaps, tried)].mean() >= target
    ]
    if not reaching:
        assert margin == MOST_MARGIN
        return
    chosen = matched(gaps, margin)
    assert right[chosen].mean() >= target
    assert chosen.sum() == max(reaching)


def test_answers_without_a_runner_up_are_the_surest() -> None:
    gaps, right = np.array([math.inf, 0.2, 0.1]), np.array([True, False, False])
    margin = choose_margin(gaps, right, 0.9)
    assert 0.2 < margin < 0.21
    assert choose_margin(gaps, np.ones(3, np.bool_), 0.9) == 0.0
    assert choose_margin(np.array([]), np.array([], np.bool_), 0.9) == 0.0


def test_calibration_makes_near_runners_up_ambiguous() -> None:
    """Answers with a wide gap are right, those with a narrow one half of the time."""
    wide = [Candidates("a", Evidence(neighbour_scores={"a": 0.9, "b": 0.3}))] * 20
    narrow = [Candidates(true, Evidence(neighbour_scores={"a": 0.8, "b": 0.78})) for true in ("a", "b") * 10]
    strangers = [Candidates(None, Evidence(neighbour_scores={"a": 0.1}))] * 10
    assert calibrate([*wide, *narrow], strangers).margin == 0.0
    parameters = calibrate([*wide, *narrow], strangers, precision_target=0.95)
    outcomes = [decide(candidates.evidence, parameters).outcome for candidates in (wide[0], narrow[0], strangers[0])]
    assert outcomes == [Outcome.MATCHED, Outcome.AMBIGUOUS, Outcome.NO_MATCH]
