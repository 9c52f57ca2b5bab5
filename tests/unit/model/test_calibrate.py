"""Decision parameters chosen on held-out sentences: ranking, score, threshold and scale."""

import numpy as np
import pytest

from model.config import ThresholdRule
from model.contract.deciding.decision import DecisionParameters, Outcome, decide
from model.contract.deciding.evidence import Evidence, EvidenceGatherer, Likeness, OutOfScopeScore
from model.contract.deciding.head import Head
from model.contract.deciding.prior import Prior
from model.errors import ConfigError
from model.evaluation.calibrate import Candidates, Sentences, calibrate, gather_candidates
from model.evaluation.decision_metrics import decision_metrics


def near(true: str | None, **scores: float) -> Candidates:
    return Candidates(true, Evidence(neighbour_scores=scores))


def candidate(true: str | None, best: float, second: float) -> Candidates:
    return near(true, **{true or "x": best, "other": second})


def test_the_threshold_separates_what_can_be_separated() -> None:
    inside = [candidate("a", 0.9, 0.3), candidate("b", 0.8, 0.2)]
    outside = [candidate(None, 0.5, 0.4), candidate(None, 0.3, 0.1)]
    parameters = calibrate(inside, outside)
    assert 0.5 < parameters.threshold < 0.8
    outcomes = [decide(c.evidence, parameters).outcome for c in inside + outside]
    assert outcomes == [Outcome.MATCHED] * 2 + [Outcome.NO_MATCH] * 2


def test_without_strangers_nine_in_ten_of_the_right_answers_are_given() -> None:
    """Such as where no sentence could be made: all are single words."""
    inside = [candidate("a", 0.5 + number / 100, 0.1) for number in range(40)]
    for rule in ThresholdRule:
        parameters = calibrate(inside, [], threshold_rule=rule)
        outcomes = [decide(c.evidence, parameters).outcome for c in inside]
        assert outcomes == [Outcome.NO_MATCH] * 3 + [Outcome.MATCHED] * 37


def test_the_balanced_rule_gives_both_sides_the_same_share() -> None:
    rng = np.random.default_rng(0)
    inside = [candidate("a", float(s), 0.0) for s in rng.normal(0.7, 0.15, 200).clip(0.01, 1)]
    outside = [candidate(None, float(s), 0.0) for s in rng.normal(0.4, 0.15, 300).clip(0.01, 1)]
    chosen = calibrate(inside, outside).threshold
    good = np.array([c.evidence.neighbour_scores["a"] for c in inside])
    bad = np.array([c.evidence.neighbour_scores["x"] for c in outside])

    def apart(threshold: float) -> float:
        return abs(float((good >= threshold).mean() - (bad < threshold).mean()))

    assert apart(chosen) == pytest.approx(min(apart(threshold) for threshold in np.linspace(0, 1, 2001)))


def test_before_a_refit_only_what_is_right_counts() -> None:
    """Of a hundred sentences sixty are right, evenly from 0.4 to 1; strangers lie evenly from 0 to 0.8."""
    inside = [candidate("a", score, 0.0) for score in np.linspace(0.4, 1, 60).tolist()]
    inside += [near("a", b=0.9, a=0.1)] * 40
    outside = [candidate(None, score, 0.0) for score in np.linspace(0.001, 0.8, 100).tolist()]
    # share of all: 0.6 (1 - t) / 0.6 = t / 0.8; of the right ones: (1 - t) / 0.6 = t / 0.8
    assert calibrate(inside, outside).threshold == pytest.approx(0.8 / 1.8, abs=0.02)
    assert calibrate(inside, outside, is_refit=True).threshold == pytest.approx(0.8 / 1.4, abs=0.02)
    assert calibrate(inside, outside, is_refit=True, are_made=True).threshold == calibrate(inside, outside).threshold


def test_the_scale_makes_confidence_honest() -> None:
    """Scores drawn so that the right group wins with probability sigmoid(25 * gap): the fitted scale is near 25."""
    rng = np.random.default_rng(1)
    inside = []
    for gap in rng.uniform(0.0, 0.2, 4000):
        right = rng.random() < 1 / (1 + np.exp(-25 * gap))
        inside.append(near("a" if right else "b", a=0.7 + gap, b=0.7))
    parameters = calibrate(inside, [candidate(None, 0.1, 0.0)] * 10)
    assert parameters.scale == pytest.approx(25, rel=0.25)


def test_a_right_group_that_was_not_looked_at_does_not_crush_the_confidence() -> None:
    """One sentence in ten whose group is not among the candidates: the others stay as sure as they were."""
    inside = [near("a", a=0.9, b=0.5)] * 90
    missed = [near("elsewhere", a=0.9, b=0.5)] * 10
    scale = calibrate(inside + missed, [candidate(None, 0.1, 0.0)] * 10).scale
    decision = decide(near(None, a=0.9, b=0.5).evidence, DecisionParameters(threshold=0.1, scale=scale))
    assert decision.confidence == pytest.approx(0.9, abs=0.08)


def test_few_sentences_all_right_do_not_make_a_confidence_of_one() -> None:
    inside = [near("a", a=0.95, b=0.3)] * 18
    parameters = calibrate(inside, [candidate(None, 0.3, 0.2)] * 18)
    decision = decide(near(None, a=0.95, b=0.3).evidence, parameters)
    assert 0.9 < decision.confidence < 0.985
    many = calibrate(inside * 50, [candidate(None, 0.3, 0.2)] * 900)
    assert decide(near(None, a=0.95, b=0.3).evidence, many).confidence > decision.confidence


def with_head(true: str | None, nearest: float, cosine: float, rest: float = -1.0) -> Candidates:
    """A sentence whose best group is a by both; the score alone tells whether it is in scope."""
    evidence = Evidence(
        neighbour_scores={"a": nearest}, head_cosines={"a": cosine, "b": -0.9}, head_rest=rest, head_scale=30.0
    )
    return Candidates(true, evidence)


@pytest.mark.parametrize(
    ("best", "inside", "outside"),
    [
        (OutOfScopeScore.KNN, with_head("a", 0.8, 0.3), [with_head(None, 0.6, 0.55)]),
        (OutOfScopeScore.MAX_COSINE, with_head("a", 0.3, 0.8), [with_head(None, 0.85, 0.7, rest=0.85)]),
        (OutOfScopeScore.BOTH, with_head("a", 0.7, 0.7), [with_head(None, 0.5, 0.75), with_head(None, 0.75, 0.5)]),
        (OutOfScopeScore.ENERGY, with_head("a", 0.5, 0.5, rest=0.7), [with_head(None, 0.5, 0.5, rest=0.2)]),
    ],
)
def test_the_score_that_tells_strangers_apart_is_chosen(
    best: OutOfScopeScore, inside: Candidates, outside: list[Candidates]
) -> None:
    """Only one of the four scores separates them; the others are the same on both sides, or the wrong way round."""
    parameters = calibrate([inside] * 5, outside * 5)
    assert parameters.score is best
    assert decide(inside.evidence, parameters).outcome is Outcome.MATCHED
    assert all(decide(stranger.evidence, parameters).outcome is Outcome.NO_MATCH for stranger in outside)


def test_a_named_score_is_used_whatever_the_others_could() -> None:
    inside, outside = [with_head("a", 0.8, 0.3)] * 5, [with_head(None, 0.6, 0.55)] * 5
    parameters = calibrate(inside, outside, out_of_scope_score=OutOfScopeScore.MAX_COSINE)
    assert parameters.score is OutOfScopeScore.MAX_COSINE
    with pytest.raises(ConfigError, match="energy needs class vectors, here there is knn"):
        calibrate([near("a", a=0.9)], [near(None, a=0.3)], out_of_scope_score=OutOfScopeScore.ENERGY)


def test_made_strangers_are_no_ground_to_choose_a_score_by() -> None:
    inside, outside = [with_head("a", 0.8, 0.8), with_head("a", 0.4, 0.9)], [with_head(None, 0.95, 0.5)]
    assert calibrate(inside, outside).score is OutOfScopeScore.MAX_COSINE
    assert calibrate(inside, outside, are_made=True).score is OutOfScopeScore.BOTH
    assert calibrate([near("a", a=0.9)], [near(None, a=0.3)], are_made=True).score is OutOfScopeScore.KNN
    energetic = [with_head("a", 0.5 + number / 100, 0.3, rest=0.9) for number in range(40)]
    assert calibrate(energetic, []).score is OutOfScopeScore.BOTH, "nobody to choose by"


def test_the_ranking_that_is_right_most_often_is_chosen() -> None:
    """The head knows better than the neighbours, and the mean of the two is wrong."""
    evidence = Evidence(neighbour_scores={"b": 0.9, "a": 0.2}, head_cosines={"a": 0.5, "b": 0.4})
    parameters = calibrate([Candidates("a", evidence)] * 4, [near(None, a=0.1)] * 4)
    assert parameters.head_weight == 1.0


def test_the_false_accept_rate_is_kept() -> None:
    rng = np.random.default_rng(2)
    inside = [candidate("a", float(s), 0.0) for s in rng.normal(0.7, 0.15, 300).clip(0.01, 1)]
    outside = [candidate(None, float(s), 0.0) for s in rng.normal(0.4, 0.15, 200).clip(0.01, 1)]
    for target in (0.0, 0.01, 0.1, 1.0):
        parameters = calibrate(
            inside, outside, threshold_rule=ThresholdRule.FALSE_ACCEPT_RATE, false_accept_target=target
        )
        accepted = np.mean([decide(c.evidence, parameters).outcome is Outcome.MATCHED for c in outside])
        assert accepted == pytest.approx(target)  # each target is a whole number of the 200


def test_a_stricter_threshold_does_not_change_how_sure_answers_are() -> None:
    rng = np.random.default_rng(4)
    inside = [candidate("a", float(s), 0.0) for s in rng.normal(0.7, 0.15, 300).clip(0.01, 1)]
    outside = [candidate(None, float(s), 0.0) for s in rng.normal(0.4, 0.15, 200).clip(0.01, 1)]
    balanced = calibrate(inside, outside)
    strict = calibrate(inside, outside, threshold_rule=ThresholdRule.FALSE_ACCEPT_RATE, false_accept_target=0.01)
    assert strict.threshold > balanced.threshold
    assert (strict.break_even, strict.scale) == (balanced.threshold, balanced.scale)
    assert balanced.break_even is None
    assert decision_metrics(inside, outside, strict)["ece"] < 0.06


def test_evidence_is_gathered_from_embeddings() -> None:
    axes = np.eye(3, dtype=np.float32)
    head = Head(("a", "b"), axes[:2], 30.0)
    embeddings = np.array([[0.8, 0.6, 0.0]], np.float32)
    stored = Sentences(["ta", "tb", "tc"], axes, ["a", "b", "c"])
    gatherer = EvidenceGatherer(head, with_energy=True)
    evidence = gather_candidates(Sentences(["q"], embeddings, ["a"]), stored, gatherer)[0].evidence
    assert evidence.neighbour_scores == pytest.approx({"a": 0.8, "b": 0.6, "c": 0.0})
    assert evidence.head_cosines == pytest.approx({"a": 0.8, "b": 0.6})
    assert evidence.energy() == pytest.approx(np.log(np.exp(24) + np.exp(18)) / 30)


def test_of_an_unknown_text_the_same_text_alone_is_near() -> None:
    """All symbols that the encoder does not know have one embedding: serving does not take them for one another."""
    unknown = np.array([[0.0, 1.0]] * 2, np.float32)
    stored = Sentences(["🚗", "🥭"], unknown, ["cars", "fruit"])
    asked = Sentences(["🥭 ", "🌧"], unknown, ["fruit", "weather"])
    same, other = gather_candidates(asked, stored, EvidenceGatherer(None, knows=lambda text: False))
    assert same.evidence.neighbour_scores == {"fruit": 1.0}
    assert other.evidence.neighbour_scores == {}


def test_another_prior_than_in_training_is_met_by_the_formula() -> None:
    """Sentences of two groups on a circle, classified by cosine: with the true prior given, more answers are right.

    The head is the Bayes rule of the training prior, log p(x | y) + log p(y) = scale * cosine + constant, so that the
    test knows the right posterior under any other prior.
    """
    rng = np.random.default_rng(3)
    scale, train, deploy = 6.0, np.array([0.95, 0.05]), np.array([0.2, 0.8])
    vectors = np.array([[1.0, 0.0], [0.6, 0.8]])

    def draw(prior: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Directions by the von Mises densities exp(scale * cosine), which have equal constants."""
        true = rng.choice(2, n, p=prior)
        angles = np.arctan2(vectors[true, 1], vectors[true, 0]) + rng.vonmises(0, scale, n)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1), true

    points, true = draw(deploy, 20_000)
    leans = np.log(train) / scale
    parameters = DecisionParameters(head_weight=1, score=OutOfScopeScore.MAX_COSINE, threshold=-1, scale=scale)
    prior = Prior.of({"a": deploy[0], "b": deploy[1]})
    right = {"given": 0, "left out": 0}
    confidences = []
    for cosines, label in zip(points @ vectors.T, true, strict=True):
        evidence = Evidence(
            head_cosines=dict(zip("ab", (cosines + leans).tolist(), strict=True)),
            head_leans=dict(zip("ab", leans.tolist(), strict=True)),
        )
        decided = decide(evidence, parameters, prior)
        right["given"] += decided.groups[0].group == "ab"[label]
        right["left out"] += decide(evidence, parameters).groups[0].group == "ab"[label]
        total = sum(group.confidence for group in decided.groups)
        confidences.append(decided.groups[0].confidence / total)
    posterior = np.exp(scale * (points @ vectors.T)) * deploy
    bayes = (posterior.argmax(axis=1) == true).mean()
    assert right["given"] / len(true) == bayes
    assert right["left out"] / len(true) < bayes - 0.1
    np.testing.assert_allclose(confidences, posterior.max(axis=1) / posterior.sum(axis=1), atol=1e-9)


def worded(true: str | None, *, learnt: bool, **pairs: tuple[float, float]) -> Candidates:
    """A sentence with a record of each group at this cosine and with this overlap of words."""
    evidence = Evidence(
        neighbour_scores={group: cosine for group, (cosine, _) in pairs.items()},
        head_cosines={group: cosine for group, (cosine, _) in pairs.items()} if learnt else {},
        newcomers=frozenset() if learnt else frozenset(pairs),
        likenesses=tuple(Likeness(group, cosine, overlap) for group, (cosine, overlap) in pairs.items()),
    )
    return Candidates(true, evidence)


@pytest.mark.parametrize(("overlap", "weight"), [(0.1, 0.0), (0.7, 0.3), (0.45, 0.5)])
def test_without_a_head_words_weigh_what_puts_the_right_group_first(overlap: float, weight: float) -> None:
    """The wrong record has 0.1 more cosine; the right one's words must make up for it: 0.7 w d > (1 - w) 0.1."""
    wrong = 0.9 if weight == 0 else 0.3
    right = (0.6, overlap) if weight else (0.95, overlap)
    inside = [worded("a", learnt=False, a=right, b=(0.7, wrong))] * 20
    parameters = calibrate(inside, [worded(None, learnt=False, a=(0.2, 0.1))] * 20)
    assert (parameters.word_weight, parameters.newcomer_threshold) == (weight, None)


def test_newcomers_beside_a_head_get_most_of_the_threshold_that_the_others_likeness_would_have() -> None:
    rng = np.random.default_rng(5)
    inside = [worded("a", learnt=True, a=pair) for pair in rng.uniform(0.5, 0.9, (200, 2)).tolist()]
    inside[:60] = [worded("a", learnt=True, a=(0.1, 0.9), b=pair) for pair in rng.uniform(0.8, 1, (60, 2)).tolist()]
    outside = [worded(None, learnt=True, a=pair) for pair in rng.uniform(0.2, 0.6, (300, 2)).tolist()]
    for rule, share in ((ThresholdRule.BALANCED, 0.85), (ThresholdRule.FALSE_ACCEPT_RATE, 1.0)):
        parameters = calibrate(inside, outside, threshold_rule=rule)
        halves = [near(c.true_group, **c.evidence.likeness_by_group(0.5)) for c in [*inside, *outside]]
        halves[:60] = [near("a", a=0.1, b=0.9)] * 60  # b comes first by its cosine, and is wrong
        alone = calibrate(halves[:200], halves[200:], threshold_rule=rule)
        assert parameters.word_weight == 0.5
        assert parameters.newcomer_threshold == pytest.approx(share * alone.threshold)


def test_without_words_newcomers_have_no_threshold_of_their_own() -> None:
    parameters = calibrate([with_head("a", 0.8, 0.7)], [with_head(None, 0.3, 0.2)])
    assert (parameters.word_weight, parameters.newcomer_threshold) == (0.0, None)
