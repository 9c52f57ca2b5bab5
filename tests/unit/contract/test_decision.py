"""The decision rule, against its definition."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.contract.decision import (
    DecisionParameters,
    Outcome,
    best_by_group,
    combine_scores,
    decide,
    head_candidates,
)

SCORES = st.dictionaries(st.sampled_from("abcdef"), st.floats(-1, 1), max_size=6)


def test_confidence_is_the_softmax_with_no_match_as_one_more_group() -> None:
    parameters = DecisionParameters(threshold=0.6, scale=10)
    decision = decide({"a": 0.9, "b": 0.7}, {}, parameters)
    weights = {"a": math.exp(9), "b": math.exp(7), "none": math.exp(6)}
    assert decision.outcome is Outcome.MATCHED
    assert decision.confidence == pytest.approx(weights["a"] / sum(weights.values()))
    assert [group.group for group in decision.groups] == ["a", "b"]
    assert decision.groups[1].confidence == pytest.approx(weights["b"] / sum(weights.values()))


def test_below_the_threshold_is_no_match_and_keeps_its_candidates() -> None:
    decision = decide({"a": 0.5}, {}, DecisionParameters(threshold=0.6, scale=10))
    assert decision.outcome is Outcome.NO_MATCH
    assert decision.confidence == pytest.approx(1 / (1 + math.exp(-1)))
    assert decision.groups[0].group == "a"


def test_the_threshold_itself_matches() -> None:
    assert decide({"a": 0.5}, {}, DecisionParameters(threshold=0.5)).outcome is Outcome.MATCHED


def test_a_near_runner_up_is_ambiguous() -> None:
    parameters = DecisionParameters(threshold=0.5, margin=0.05)
    assert decide({"a": 0.9, "b": 0.86}, {}, parameters).outcome is Outcome.AMBIGUOUS
    assert decide({"a": 0.9, "b": 0.8}, {}, parameters).outcome is Outcome.MATCHED


def test_nothing_stored_is_no_match() -> None:
    decision = decide({}, {}, DecisionParameters())
    assert (decision.outcome, decision.confidence, decision.groups) == (Outcome.NO_MATCH, 1.0, ())


def test_the_head_and_the_neighbours_share_the_score() -> None:
    combined = combine_scores({"a": 0.8, "new": 0.9, "far": 0.5}, {"a": 0.6, "unseen": 0.7}, 0.25)
    assert combined == pytest.approx({"a": 0.75, "new": 0.9, "far": 0.5, "unseen": 0.25 * 0.7 + 0.75 * 0.5})
    assert combine_scores({"a": 0.8}, {"a": 0.6}, 0.0) == {"a": 0.8}
    assert combine_scores({"a": 0.8, "new": 0.9}, {"a": 0.6}, 1.0) == {"a": 0.6, "new": 0.9}


def test_best_by_group_ignores_records_without_a_group() -> None:
    assert best_by_group(["a", None, "b", "a"], [0.5, 0.9, 0.4, 0.7]) == {"a": 0.7, "b": 0.4}


@given(SCORES, SCORES, st.floats(0, 1), st.floats(-1, 1), st.floats(0.1, 100))
def test_probabilities_sum_to_one_and_the_outcome_is_the_likelier_side(
    neighbours: dict[str, float], head: dict[str, float], weight: float, threshold: float, scale: float
) -> None:
    parameters = DecisionParameters(head_weight=weight, threshold=threshold, scale=scale)
    decision = decide(neighbours, head, parameters)
    total = sum(group.confidence for group in decision.groups)
    assert 0 <= decision.confidence <= 1
    if decision.outcome is Outcome.NO_MATCH:
        assert total + decision.confidence == pytest.approx(1)
        assert all(group.score < threshold for group in decision.groups)
    else:
        assert total <= 1 + 1e-9
        assert decision.groups[0].score >= threshold
        assert decision.confidence == max(group.confidence for group in decision.groups)


def test_the_head_puts_forward_its_best_and_the_neighbours_groups() -> None:
    labels = [f"g{number}" for number in range(15)]
    positions = {label: number for number, label in enumerate(labels)}
    cosines = np.linspace(0.9, 0.2, 15).astype(np.float32)
    found = head_candidates(cosines, labels, positions, ["g14", "unknown", "g3"])
    assert set(found) == {*labels[:10], "g14"}
    assert found["g14"] == pytest.approx(0.2)
    assert head_candidates(cosines[:3], labels[:3], {}, []) == pytest.approx(
        dict(zip(labels[:3], cosines.tolist()[:3], strict=True))
    )
    assert head_candidates(cosines[:0], [], {}, ["g1"]) == {}
