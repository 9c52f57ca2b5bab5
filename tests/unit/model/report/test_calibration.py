"""Reliability bins, the calibration error and the score histograms, against loops over single decisions."""

import numpy as np
import pytest

from model.report.calibration import (
    N_BINS,
    RIGHT,
    STAND_IN,
    STRANGER,
    WRONG,
    calibrate_report,
    reliability,
    spread_scores,
)
from tests.fakes.finished_run import decided


@pytest.mark.parametrize("n", [1, 7, 15, 100, 1000])
def test_the_calibration_error_is_what_a_loop_over_equal_bins_gives(n: int) -> None:
    rng = np.random.default_rng(n)
    confidences = rng.uniform(0, 1, n)
    right = rng.random(n) < confidences**2
    found = reliability(confidences, right)

    pairs = sorted(zip(confidences.tolist(), right.tolist(), strict=True))
    n_bins = min(n, N_BINS)
    ece, start = 0.0, 0
    for number in range(n_bins):
        size = n // n_bins + (number < n % n_bins)  # the first bins take one more where it does not divide
        part = pairs[start : start + size]
        start += size
        confidence, accuracy = sum(c for c, _ in part) / size, sum(r for _, r in part) / size
        ece += size / n * abs(accuracy - confidence)
        bin = found.bins[number]
        assert (bin.n, bin.confidence, bin.accuracy) == (size, pytest.approx(confidence), pytest.approx(accuracy))
    assert len(found.bins) == n_bins
    assert found.n == n
    assert found.ece == pytest.approx(ece)


def test_the_error_that_chance_makes_is_what_perfect_confidences_show() -> None:
    rng = np.random.default_rng(0)
    confidences = rng.uniform(0.2, 0.95, 300)
    errors = [reliability(confidences, rng.random(300) < confidences).ece for _ in range(200)]
    # the normal approximation, over bins of twenty: 10 % is far inside what it is used for
    assert reliability(confidences, np.zeros(300, np.bool_)).chance == pytest.approx(np.mean(errors), rel=0.1)


def test_a_match_is_right_by_its_group_and_a_refusal_out_of_scope() -> None:
    decisions = [decided("a", 0.9, 0.8), decided("b", 0.9, 0.7), decided(None, 0.1, 0.6)]
    strangers = [decided(None, 0.2, 0.5), decided("a", 0.7, 0.4)]
    found = calibrate_report(decisions, ["a", "a", "a"], strangers)
    assert found is not None
    by_confidence = {round(bin.confidence, 1): bin.accuracy for bin in found.bins}
    assert by_confidence == {0.8: 1.0, 0.7: 0.0, 0.6: 0.0, 0.5: 1.0, 0.4: 0.0}
    assert calibrate_report([], [], []) is None


def test_histograms_count_each_score_once_on_its_side_of_the_threshold() -> None:
    rng = np.random.default_rng(1)
    scores = rng.uniform(-0.2, 0.95, 60)
    decisions = [decided("a" if score >= 0.4 else None, float(score)) for score in scores[:40]]
    groups = ["a" if number % 3 else "b" for number in range(40)]
    strangers = [decided("x" if score >= 0.4 else None, float(score)) for score in scores[40:]]
    texts = [f"stranger {number}" for number in range(20)]
    spread = spread_scores(decisions, groups, strangers, texts, threshold=0.4)
    assert spread is not None

    expected: dict[str, list[float]] = {RIGHT: [], WRONG: [], STRANGER: scores[40:].tolist()}
    for decision, group, score in zip(decisions, groups, scores[:40].tolist(), strict=True):
        expected[RIGHT if decision.groups[0].group == group else WRONG].append(score)
    assert [histogram.kind for histogram in spread.histograms] == [RIGHT, WRONG, STRANGER]
    for histogram in spread.histograms:
        own = expected[histogram.kind]
        assert histogram.n == len(own)
        assert histogram.n_answered == sum(score >= 0.4 for score in own)
        last = len(histogram.counts) - 1
        for number, (low, high) in enumerate(zip(spread.edges[:-1], spread.edges[1:], strict=True)):
            assert histogram.counts[number] == sum(
                low <= score < high or (number == last and score == high) for score in own
            )
    answered = sorted(((s, t) for s, t in zip(scores[40:].tolist(), texts, strict=True) if s >= 0.4), reverse=True)
    assert [(near.score, near.sentence) for near, _ in spread.answered_strangers] == answered[:10]


def test_without_out_of_scope_sentences_the_stand_ins_are_named_as_such() -> None:
    spread = spread_scores([decided("a", 0.8)], ["a"], [decided("b", 0.9)], [], threshold=0.5)
    assert spread is not None
    assert [histogram.kind for histogram in spread.histograms] == [RIGHT, STAND_IN]
    assert spread.n_made == 1
    none = spread_scores([decided("a", 0.8)], ["a"], [], [], threshold=0.5)
    assert none is not None and none.n_made == 0
    assert spread.answered_strangers == ()
