"""The one rule that turns evidence into an answer: matched, ambiguous or no match, and how sure.

Calibration, evaluation and :classify all call `decide`, so that a threshold means the same everywhere.
"""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from model.contract.deciding.evidence import Evidence, OutOfScopeScore
from model.contract.deciding.prior import Prior

Probability = Annotated[float, Field(ge=0, le=1)]


class Outcome(StrEnum):
    """What was decided."""

    MATCHED = "matched"
    AMBIGUOUS = "ambiguous"
    NO_MATCH = "no_match"


class DecisionParameters(BaseModel):
    """The numbers behind a decision. A bundle carries defaults, a release copies them, serving reads the release's.

    Attributes:
        head_weight: Share of the head's cosine in a group's score, in [0, 1]; the rest is the nearest neighbour's.
        score: What says whether a sentence belongs to any group.
        threshold: Least value of that score for a match.
        break_even: Value of that score at which a match and none are equally likely; None where that is the threshold.
        margin: A match whose runner-up is nearer than this is ambiguous, a cosine difference; 0 never is.
        scale: Inverse temperature of the confidence, fitted on held-out rows.
        logit_adjustment_tau: Share of what the training prior added to the head's cosines that is taken away again.
        word_weight: Share of the overlap of words in the likeness of a record of a newcomer, a group that training had
            no class vector for; the rest is its cosine.
        newcomer_threshold: Least likeness for a match with a newcomer; None where that is the threshold.
        label_threshold: Least confidence of a label that applies; 0.5 is the score 0.
        label_thresholds: The same for single labels, where it differs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    head_weight: float = Field(default=0.0, ge=0, le=1)
    score: OutOfScopeScore = OutOfScopeScore.KNN
    threshold: float = Field(default=0.6, ge=-1)
    break_even: float | None = Field(default=None, ge=-1)
    margin: float = Field(default=0.0, ge=0, le=2)
    scale: float = Field(default=20.0, gt=0)
    logit_adjustment_tau: float = Field(default=0.0, ge=0, le=1)
    word_weight: float = Field(default=0.0, ge=0, le=1)
    newcomer_threshold: float | None = Field(default=None, ge=-1)
    label_threshold: Probability = 0.5
    label_thresholds: dict[str, Probability] = Field(default={})

    @property
    def no_match_score(self) -> float:
        """What "no match" competes with for the confidence."""
        return self.threshold if self.break_even is None else self.break_even

    @property
    def uses_head(self) -> bool:
        """Whether the head's cosines count at all."""
        return self.head_weight > 0 or self.score is not OutOfScopeScore.KNN

    def thresholds_of(self, labels: Sequence[str]) -> NDArray[np.float64]:
        """(n_labels,) the least confidence of each."""
        return np.array([self.label_thresholds.get(label, self.label_threshold) for label in labels])


class GroupConfidence(BaseModel):
    """A group and the probability that it is the right one.

    Attributes:
        score: By which groups are ranked: a cosine, moved by the prior if there is one, and of a newcomer by where it
            stands among the others.
    """

    model_config = ConfigDict(frozen=True)

    group: str
    confidence: float
    score: float


class LabelConfidence(BaseModel):
    """A label and the probability that it applies."""

    model_config = ConfigDict(frozen=True)

    label: str
    confidence: float


class Decision(BaseModel):
    """An answer.

    Attributes:
        outcome: What was decided.
        confidence: The probability that it is right.
        score: The out-of-scope score, -1 where nothing speaks for any group.
        groups: The candidates, best first.
        labels: Those that apply, best first; of a label head.
    """

    model_config = ConfigDict(frozen=True)

    outcome: Outcome
    confidence: float
    score: float
    groups: tuple[GroupConfidence, ...]
    labels: tuple[LabelConfidence, ...] = ()


def combine_scores(
    neighbour_scores: Mapping[str, float], head_cosines: Mapping[str, float], head_weight: float
) -> dict[str, float]:
    """One score a group from its nearest neighbour and its head cosine.

    A group without a neighbour among those looked at takes the farthest neighbour's score, which is the most it could
    have.
    """
    if head_weight == 0 or not head_cosines:
        return dict(neighbour_scores)
    if head_weight == 1:
        return {**neighbour_scores, **head_cosines}
    floor = min(neighbour_scores.values(), default=-1.0)
    scores = dict(neighbour_scores)
    for group, cosine in head_cosines.items():
        scores[group] = head_weight * cosine + (1 - head_weight) * neighbour_scores.get(group, floor)
    return scores


def score_groups(evidence: Evidence, parameters: DecisionParameters, prior: Prior | None = None) -> dict[str, float]:
    """The score by which groups are ranked.

    A newcomer has no class vector that could speak for it as they do for the others: where it stands among these, the
    records alone say, by their likeness. It is as far above or below the best of them as its own record is above or
    below theirs. Where no record near is theirs, they are no candidates.

    The confidence is a softmax of scale * score, calibrated on the held-out rows, so that other frequencies enter by
    Bayes' rule: with f = scale * score, the logits become f + log p_deploy. What the training prior left in the head's
    cosines, log p_train / s, is taken out first; without a prior only as much of it as `logit_adjustment_tau` says.

    Source: Menon et al. 2021, arXiv:2007.07314; Saerens et al. 2002, Neural Computation 14(1), for another prior.
    """
    tau = parameters.logit_adjustment_tau if prior is None else 1.0
    cosines = {
        group: cosine - tau * evidence.head_leans.get(group, 0.0) for group, cosine in evidence.head_cosines.items()
    }
    scores = combine_scores(evidence.neighbour_scores, cosines, parameters.head_weight)
    if evidence.newcomers:
        scores = _with_newcomers(evidence, scores, parameters.word_weight)
    if prior is None:
        return scores
    return {group: score + prior.log_weight(group) / parameters.scale for group, score in scores.items()}


def _with_newcomers(evidence: Evidence, scores: Mapping[str, float], word_weight: float) -> dict[str, float]:
    likeness = evidence.likeness_by_group(word_weight)
    newcomers = {group: likeness[group] for group in evidence.newcomers}
    near = [value for group, value in likeness.items() if group not in newcomers]
    if not near:
        return newcomers
    learnt = {group: score for group, score in scores.items() if group not in newcomers}
    move = max(learnt.values()) - max(near)
    return learnt | {group: value + move for group, value in newcomers.items()}


def match_score(evidence: Evidence, best: str, parameters: DecisionParameters) -> float:
    """The out-of-scope score: how surely the sentence belongs to any group.

    A newcomer is judged by the likeness of its nearest record, moved so that its own threshold is the threshold; of
    the others it is the records that count, not those of newcomers.

    Args:
        evidence: On the sentence.
        best: The group of the highest score.
        parameters: Say which score it is.
    """
    if best in evidence.newcomers:
        likeness = evidence.likeness_by_group(parameters.word_weight)[best]
        own = parameters.newcomer_threshold
        return likeness if own is None else parameters.threshold + likeness - own
    if best not in evidence.head_cosines:
        return evidence.neighbour_scores[best]
    score = parameters.score
    if score is OutOfScopeScore.ENERGY:
        return evidence.energy()
    nearest = max(
        (cosine for group, cosine in evidence.neighbour_scores.items() if group not in evidence.newcomers),
        default=-1.0,
    )
    best_cosine = max(evidence.head_cosines.values())
    if score is OutOfScopeScore.KNN:
        return nearest
    return best_cosine if score is OutOfScopeScore.MAX_COSINE else (best_cosine + nearest) / 2


def decide(evidence: Evidence, parameters: DecisionParameters, prior: Prior | None = None) -> Decision:
    """Decide which group a sentence belongs to, if any.

    "No match" competes as one more group whose score is the break-even; the groups' scores are moved together so that
    the best one's is the out-of-scope score. The softmax over all of them gives the confidence. Where the threshold is
    the break-even, the outcome is the likelier side; where another was wanted, a no match may be less likely than not,
    and its confidence says so.

    Args:
        evidence: On the sentence.
        parameters: The release's.
        prior: How often each group is asked for, if the client knows. It changes which group is the best, not what is
            in scope; a group of weight 0 is as if it were not there.

    Returns:
        The outcome; groups in descending order of score, ties by name.
    """
    if prior is not None:
        evidence = evidence.only(prior.allows)
    scores = score_groups(evidence, parameters, prior)
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    if not ranked:
        return Decision(outcome=Outcome.NO_MATCH, confidence=1.0, score=-1.0, groups=())
    best, best_score = ranked[0]
    match = match_score(evidence, best, parameters)
    values = np.array([parameters.no_match_score, *(match + (score - best_score) for _, score in ranked)])
    probabilities = _softmax(parameters.scale * values)
    groups = tuple(
        GroupConfidence(group=group, confidence=float(probability), score=float(score))
        for (group, score), probability in zip(ranked, probabilities[1:], strict=True)
    )
    if match < parameters.threshold:
        return Decision(outcome=Outcome.NO_MATCH, confidence=float(probabilities[0]), score=match, groups=groups)
    runner_up = ranked[1][1] if len(ranked) > 1 else -math.inf
    outcome = Outcome.AMBIGUOUS if best_score - runner_up < parameters.margin else Outcome.MATCHED
    return Decision(outcome=outcome, confidence=groups[0].confidence, score=match, groups=groups)


def decide_labels(
    decision: Decision,
    confidences: NDArray[np.float32],
    labels: Sequence[str],
    thresholds: NDArray[np.float64],
) -> Decision:
    """The decision where a label head decides: matched if any label applies.

    Args:
        decision: By groups; these are kept.
        confidences: (n_labels,) of the head.
        labels: Their names.
        thresholds: (n_labels,) least confidence of each.

    Returns:
        With the labels that apply. Its confidence is that of the surest of them; of no match, the probability that not
        even the likeliest applies.
    """
    applying = np.flatnonzero(confidences >= thresholds).tolist()
    applying.sort(key=lambda row: (-confidences[row], labels[row]))
    chosen = tuple(LabelConfidence(label=labels[row], confidence=float(confidences[row])) for row in applying)
    outcome = Outcome.MATCHED if chosen else Outcome.NO_MATCH
    confidence = chosen[0].confidence if chosen else 1 - float(confidences.max(initial=0.0))
    return decision.model_copy(update={"outcome": outcome, "confidence": confidence, "labels": chosen})


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum(), np.float64)
