"""The decision rule, against its definition."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.contract.deciding.decision import (
    Decision,
    DecisionParameters,
    Outcome,
    combine_scores,
    decide,
    decide_labels,
    match_score,
)
from model.contract.deciding.evidence import Evidence, Likeness, OutOfScopeScore
from model.contract.deciding.prior import Prior

SCORES = st.dictionaries(st.sampled_from("abcdef"), st.floats(-1, 1), max_size=6)


def near(**scores: float) -> Evidence:
    return Evidence(neighbour_scores=scores)


def test_confidence_is_the_softmax_with_no_match_as_one_more_group() -> None:
    parameters = DecisionParameters(threshold=0.6, scale=10)
    decision = decide(near(a=0.9, b=0.7), parameters)
    weights = {"a": math.exp(9), "b": math.exp(7), "none": math.exp(6)}
    assert (decision.outcome, decision.score) == (Outcome.MATCHED, 0.9)
    assert decision.confidence == pytest.approx(weights["a"] / sum(weights.values()))
    assert [group.group for group in decision.groups] == ["a", "b"]
    assert decision.groups[1].confidence == pytest.approx(weights["b"] / sum(weights.values()))


def test_below_the_threshold_is_no_match_and_keeps_its_candidates() -> None:
    decision = decide(near(a=0.5), DecisionParameters(threshold=0.6, scale=10))
    assert decision.outcome is Outcome.NO_MATCH
    assert decision.confidence == pytest.approx(1 / (1 + math.exp(-1)))
    assert decision.groups[0].group == "a"


def test_the_threshold_itself_matches() -> None:
    assert decide(near(a=0.5), DecisionParameters(threshold=0.5)).outcome is Outcome.MATCHED


def test_a_near_runner_up_is_ambiguous() -> None:
    parameters = DecisionParameters(threshold=0.5, margin=0.05)
    assert decide(near(a=0.9, b=0.86), parameters).outcome is Outcome.AMBIGUOUS
    assert decide(near(a=0.9, b=0.8), parameters).outcome is Outcome.MATCHED


def test_a_threshold_beside_the_break_even_leaves_the_confidence_honest() -> None:
    """A strict threshold refuses a likely match, and the refusal is as unsure as the match was likely."""
    strict = DecisionParameters(threshold=0.8, break_even=0.6, scale=10)
    decision = decide(near(a=0.7), strict)
    assert decision.outcome is Outcome.NO_MATCH
    assert decision.confidence == pytest.approx(1 / (1 + math.exp(1)))
    assert decision.groups[0].confidence == pytest.approx(1 / (1 + math.exp(-1)))
    assert decide(near(a=0.8), strict).outcome is Outcome.MATCHED


def test_nothing_stored_is_no_match() -> None:
    decision = decide(Evidence(), DecisionParameters())
    assert (decision.outcome, decision.confidence, decision.groups) == (Outcome.NO_MATCH, 1.0, ())


def test_the_head_and_the_neighbours_share_the_score() -> None:
    combined = combine_scores({"a": 0.8, "new": 0.9, "far": 0.5}, {"a": 0.6, "unseen": 0.7}, 0.25)
    assert combined == pytest.approx({"a": 0.75, "new": 0.9, "far": 0.5, "unseen": 0.25 * 0.7 + 0.75 * 0.5})
    assert combine_scores({"a": 0.8}, {"a": 0.6}, 0.0) == {"a": 0.8}
    assert combine_scores({"a": 0.8, "new": 0.9}, {"a": 0.6}, 1.0) == {"a": 0.6, "new": 0.9}


EVIDENCE = Evidence(
    neighbour_scores={"a": 0.7, "b": 0.8}, head_cosines={"a": 0.6, "b": 0.5}, head_rest=0.1, head_scale=10.0
)


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (OutOfScopeScore.MAX_COSINE, 0.6),
        (OutOfScopeScore.KNN, 0.8),
        (OutOfScopeScore.BOTH, 0.7),
        (OutOfScopeScore.ENERGY, math.log(math.exp(6) + math.exp(5) + math.exp(1)) / 10),
    ],
)
def test_one_score_ranks_and_another_refuses(score: OutOfScopeScore, expected: float) -> None:
    """The head ranks a before b; whether any is answered is up to the out-of-scope score."""
    parameters = DecisionParameters(head_weight=1, score=score, threshold=0.65, scale=10)
    decision = decide(EVIDENCE, parameters)
    assert decision.score == pytest.approx(expected)
    assert decision.groups[0].group == "a"
    assert decision.outcome is (Outcome.MATCHED if expected >= 0.65 else Outcome.NO_MATCH)
    logits = {"none": 6.5, "a": 10 * expected, "b": 10 * (expected - 0.1)}
    total = sum(map(math.exp, logits.values()))
    answer = "a" if expected >= 0.65 else "none"
    assert decision.confidence == pytest.approx(math.exp(logits[answer]) / total)


THREE = (OutOfScopeScore.MAX_COSINE, OutOfScopeScore.BOTH, OutOfScopeScore.KNN)


@pytest.mark.parametrize("score", THREE)
def test_a_group_newer_than_the_head_is_judged_by_its_own_record(score: OutOfScopeScore) -> None:
    evidence = Evidence(neighbour_scores={"new": 0.95, "a": 0.4}, head_cosines={"a": 0.3}, newcomers=frozenset(["new"]))
    parameters = DecisionParameters(head_weight=0.5, score=score, threshold=0.6)
    assert match_score(evidence, "new", parameters) == 0.95
    assert decide(evidence, parameters).outcome is Outcome.MATCHED


LATE = Evidence(
    neighbour_scores={"new": 0.7, "a": 0.6, "b": 0.5},
    head_cosines={"a": 0.2, "b": 0.4},
    newcomers=frozenset(["new"]),
    likenesses=(Likeness("new", 0.7, 0.1), Likeness("a", 0.6, 0.4), Likeness("b", 0.5, 0.2), Likeness("a", 0.3, 0.5)),
)
"""By their cosines the newcomer's record is the nearest; by words too, that of a is."""


@pytest.mark.parametrize("head_weight", [0.0, 0.5, 1.0])
def test_a_newcomer_stands_to_the_others_as_its_record_does_to_theirs(head_weight: float) -> None:
    learnt = {group: head_weight * head + (1 - head_weight) * cosine
              for group, head, cosine in (("a", 0.2, 0.6), ("b", 0.4, 0.5))}  # fmt: skip
    for word_weight, likest, own in ((0.0, 0.6, 0.7), (0.5, 0.5, 0.4)):
        parameters = DecisionParameters(head_weight=head_weight, word_weight=word_weight)
        found = {group.group: group.score for group in decide(LATE, parameters).groups}
        assert found == pytest.approx({**learnt, "new": max(learnt.values()) + own - likest})
        assert (max(found, key=lambda group: found[group]) == "new") == (word_weight == 0.0)


@pytest.mark.parametrize("head_weight", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("likenesses", [(), (Likeness("new", 1.0, 1.0),) * 9 + (Likeness("new", 0.3, 0.2),)])
def test_where_all_records_near_are_a_newcomers_the_head_puts_nothing_before_it(
    head_weight: float, likenesses: tuple[Likeness, ...]
) -> None:
    """Ten good records of one newcomer, one of them the very same text: no record of a is among them."""
    evidence = Evidence(
        neighbour_scores={"new": 1.0},
        head_cosines={"a": 0.9},
        newcomers=frozenset(["new"]),
        likenesses=likenesses,
    )
    parameters = DecisionParameters(
        head_weight=head_weight, word_weight=0.5, score=OutOfScopeScore.BOTH, threshold=0.6, newcomer_threshold=0.5
    )
    decision = decide(evidence, parameters)
    assert [(group.group, group.score) for group in decision.groups] == [("new", 1.0)]
    assert (decision.outcome, decision.score) == (Outcome.MATCHED, pytest.approx(1.1))


@pytest.mark.parametrize("score", THREE)
def test_a_newcomer_has_a_threshold_of_its_own_and_lends_the_others_no_record(score: OutOfScopeScore) -> None:
    parameters = DecisionParameters(
        head_weight=1.0, score=score, threshold=0.55, word_weight=0.25, newcomer_threshold=0.5
    )
    likeness = 0.75 * 0.7 + 0.25 * 0.1
    assert match_score(LATE, "new", parameters) == pytest.approx(0.55 + likeness - 0.5)
    expected = {OutOfScopeScore.MAX_COSINE: 0.4, OutOfScopeScore.KNN: 0.6, OutOfScopeScore.BOTH: 0.5}
    assert match_score(LATE, "b", parameters) == pytest.approx(expected[score])
    for own, outcome in ((likeness - 0.01, Outcome.MATCHED), (likeness + 0.01, Outcome.NO_MATCH)):
        strict = parameters.model_copy(update={"newcomer_threshold": own})
        decision = decide(LATE.only(lambda group: group == "new"), strict)
        assert (decision.groups[0].group, decision.outcome) == ("new", outcome)


def test_without_a_head_words_weigh_as_they_are_told() -> None:
    evidence = Evidence(
        neighbour_scores={"a": 0.7, "b": 0.6},
        newcomers=frozenset(["a", "b"]),
        likenesses=(Likeness("a", 0.7, 0.1), Likeness("b", 0.6, 0.9)),
    )
    decision = decide(evidence, DecisionParameters(word_weight=0.3, threshold=0.6))
    assert [(g.group, round(g.score, 6)) for g in decision.groups] == [("b", 0.69), ("a", 0.52)]
    assert (decision.outcome, round(decision.score, 6)) == (Outcome.MATCHED, 0.69)


def test_the_energy_without_a_scale_is_refused() -> None:
    evidence = Evidence(neighbour_scores={"a": 0.5}, head_cosines={"a": 0.5})
    with pytest.raises(ValueError, match="needs the head's scale"):
        match_score(evidence, "a", DecisionParameters(score=OutOfScopeScore.ENERGY))


@given(
    SCORES, SCORES, st.floats(0, 1), st.floats(-1, 1), st.floats(0.1, 100), st.sampled_from(list(OutOfScopeScore)[:3])
)
def test_probabilities_sum_to_one_and_the_outcome_is_the_likelier_side(
    neighbours: dict[str, float],
    head: dict[str, float],
    weight: float,
    threshold: float,
    scale: float,
    score: OutOfScopeScore,
) -> None:
    parameters = DecisionParameters(head_weight=weight, score=score, threshold=threshold, scale=scale)
    decision = decide(Evidence(neighbour_scores=neighbours, head_cosines=head), parameters)
    total = sum(group.confidence for group in decision.groups)
    assert 0 <= decision.confidence <= 1
    assert (decision.outcome is Outcome.NO_MATCH) == (not decision.groups or decision.score < threshold)
    if decision.outcome is Outcome.NO_MATCH:
        assert total + decision.confidence == pytest.approx(1)
        assert all(group.confidence <= decision.confidence for group in decision.groups)
    else:
        assert 1 - total <= decision.confidence + 1e-9
        assert decision.confidence == max(group.confidence for group in decision.groups)


def test_a_prior_is_added_to_the_logits() -> None:
    """f_y + log p_deploy(y), f being what the confidence is the softmax of."""
    parameters = DecisionParameters(threshold=-1, scale=12)
    evidence, prior = near(a=0.9, b=0.8, c=0.1), Prior.of({"a": 1, "b": 30, "c": 9})
    decision = decide(evidence, parameters, prior)
    logits = {
        group: 12 * score + math.log(weight)
        for (group, score), weight in zip(evidence.neighbour_scores.items(), (1 / 40, 30 / 40, 9 / 40), strict=True)
    }
    total = sum(map(math.exp, logits.values()))
    found = {group.group: group.confidence for group in decision.groups}
    assert [group.group for group in decision.groups] == ["b", "a", "c"]
    for group, logit in logits.items():
        assert found[group] / sum(found.values()) == pytest.approx(math.exp(logit) / total)


def test_the_training_prior_is_taken_out_of_the_head_before_another_is_put_in() -> None:
    """f_y - log p_train(y) + log p_deploy(y) for a head trained plainly; the decision's scale is the head's here."""
    scale, train, deploy = 20.0, {"a": 0.9, "b": 0.1}, {"a": 0.3, "b": 0.7}
    cosines = {"a": 0.62, "b": 0.60}
    leans = {group: math.log(share) / scale for group, share in train.items()}
    evidence = Evidence(head_cosines=cosines, head_leans=leans)
    parameters = DecisionParameters(head_weight=1, score=OutOfScopeScore.MAX_COSINE, threshold=0.1, scale=scale)
    assert decide(evidence, parameters).groups[0].group == "a"
    decision = decide(evidence, parameters, Prior.of(deploy))
    logits = {g: scale * cosines[g] - math.log(train[g]) + math.log(deploy[g]) for g in cosines}
    odds = decision.groups[0].confidence / decision.groups[1].confidence
    assert decision.groups[0].group == "b"
    assert odds == pytest.approx(math.exp(logits["b"] - logits["a"]))
    assert decision.score == 0.62  # what is in scope does not depend on a prior


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_post_hoc_logit_adjustment_subtracts_its_share_of_the_training_prior(tau: float) -> None:
    leans = {"a": math.log(0.9) / 20, "b": math.log(0.1) / 20}
    evidence = Evidence(head_cosines={"a": 0.62, "b": 0.60}, head_leans=leans)
    parameters = DecisionParameters(
        head_weight=1, score=OutOfScopeScore.MAX_COSINE, threshold=0.1, logit_adjustment_tau=tau
    )
    scores = {group.group: group.score for group in decide(evidence, parameters).groups}
    assert scores == pytest.approx({"a": 0.62 - tau * math.log(0.9) / 20, "b": 0.60 - tau * math.log(0.1) / 20})


def test_a_group_of_weight_0_is_as_if_it_were_not_there() -> None:
    evidence = Evidence(neighbour_scores={"a": 0.9, "b": 0.5}, head_cosines={"a": 0.9, "b": 0.4})
    parameters = DecisionParameters(head_weight=0.5, score=OutOfScopeScore.BOTH, threshold=0.6)
    decision = decide(evidence, parameters, Prior.of({"a": 0, "b": 1}))
    alone = decide(Evidence(neighbour_scores={"b": 0.5}, head_cosines={"b": 0.4}), parameters)
    assert decision.outcome is Outcome.NO_MATCH
    assert decision == alone


def test_an_even_prior_changes_nothing() -> None:
    parameters = DecisionParameters(threshold=0.6)
    plain, even = (decide(near(a=0.9, b=0.7), parameters, prior) for prior in (None, Prior.of({"a": 7, "b": 7})))
    assert even.outcome is plain.outcome
    assert [g.confidence for g in even.groups] == pytest.approx([g.confidence for g in plain.groups])


def test_labels_that_pass_decide_best_first_and_ties_by_name() -> None:
    by_groups = Decision(outcome=Outcome.MATCHED, confidence=0.8, score=0.9, groups=())
    labels, confidences = ("x", "b", "a", "y"), np.array([0.2, 0.7, 0.7, 0.9], np.float32)
    parameters = DecisionParameters(label_threshold=0.6, label_thresholds={"y": 0.95, "x": 0.2})
    thresholds = parameters.thresholds_of(labels)
    assert thresholds.tolist() == [0.2, 0.6, 0.6, 0.95]
    decision = decide_labels(by_groups, confidences, labels, np.array([0.1, 0.6, 0.6, 0.95]))
    assert [(label.label, round(label.confidence, 6)) for label in decision.labels] == [
        ("a", 0.7), ("b", 0.7), ("x", 0.2),
    ]  # fmt: skip
    assert (decision.outcome, decision.confidence) == (Outcome.MATCHED, pytest.approx(0.7))


def test_no_label_that_passes_is_no_match_as_sure_as_the_likeliest_is_unlikely() -> None:
    by_groups = Decision(outcome=Outcome.MATCHED, confidence=0.8, score=0.9, groups=())
    decision = decide_labels(by_groups, np.array([0.2, 0.45], np.float32), ("a", "b"), np.array([0.5, 0.5]))
    assert (decision.outcome, decision.labels) == (Outcome.NO_MATCH, ())
    assert decision.confidence == pytest.approx(0.55)
