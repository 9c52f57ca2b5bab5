"""The one rule that turns scores into an answer: matched, ambiguous or no match, and how sure.

Calibration, evaluation and :classify all call `decide`, so that a threshold means the same everywhere.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

NEIGHBOURS_USED = 10
"""Neighbours that calibration and serving both look at."""

HEAD_CANDIDATES = 10
"""Groups that the head alone can put forward."""


class Outcome(StrEnum):
    """What was decided."""

    MATCHED = "matched"
    AMBIGUOUS = "ambiguous"
    NO_MATCH = "no_match"


class DecisionParameters(BaseModel):
    """The numbers behind a decision. A bundle carries defaults, a release copies them, serving reads the release's.

    Attributes:
        head_weight: Share of the head's cosine in a group's score, in [0, 1]; the rest is the nearest neighbour's.
        threshold: Least score of a match, a cosine.
        margin: A match whose runner-up is nearer than this is ambiguous, a cosine difference; 0 never is.
        scale: Inverse temperature of the confidence, fitted on held-out rows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    head_weight: float = Field(default=0.0, ge=0, le=1)
    threshold: float = Field(default=0.6, ge=-1, le=1)
    margin: float = Field(default=0.0, ge=0, le=2)
    scale: float = Field(default=20.0, gt=0)


class GroupConfidence(BaseModel):
    """A group and the probability that it is the right one."""

    model_config = ConfigDict(frozen=True)

    group: str
    confidence: float
    score: float


class Decision(BaseModel):
    """An answer: the outcome, the probability that it is right, and the candidate groups, best first."""

    model_config = ConfigDict(frozen=True)

    outcome: Outcome
    confidence: float
    groups: tuple[GroupConfidence, ...]


def best_by_group(groups: Sequence[str | None], scores: Sequence[float]) -> dict[str, float]:
    """The best score of each group among the neighbours; records without a group count for none."""
    best: dict[str, float] = {}
    for group, score in zip(groups, scores, strict=True):
        if group is not None and score > best.get(group, -math.inf):
            best[group] = score
    return best


def head_candidates(
    cosines: NDArray[np.float32], labels: Sequence[str], positions: Mapping[str, int], neighbour_groups: Iterable[str]
) -> dict[str, float]:
    """The head's cosines of the groups that can win: its own best ones, and those of the neighbours.

    Args:
        cosines: (n_labels,) of one sentence.
        labels: Group of each cosine.
        positions: Where each label stands in `labels`.
        neighbour_groups: Groups among the nearest records; those that the head does not know are left out.
    """
    n_best = min(HEAD_CANDIDATES, len(labels))
    wanted = set(np.argpartition(-cosines, n_best - 1)[:n_best].tolist()) if n_best else set()
    wanted.update(positions[group] for group in neighbour_groups if group in positions)
    return {labels[position]: float(cosines[position]) for position in sorted(wanted)}


def combine_scores(
    neighbour_scores: Mapping[str, float], head_cosines: Mapping[str, float], head_weight: float
) -> dict[str, float]:
    """One score a group from its nearest neighbour and its head cosine.

    A group that the head does not know is judged by its neighbour alone. One without a neighbour among those looked
    at takes the farthest neighbour's score, which is the most it could have.
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


def decide(
    neighbour_scores: Mapping[str, float], head_cosines: Mapping[str, float], parameters: DecisionParameters
) -> Decision:
    """Decide which group a sentence belongs to, if any.

    "No match" competes as one more group whose score is the threshold, so that the softmax over all of them gives the
    confidence, and the outcome is the likelier side.

    Args:
        neighbour_scores: Best cosine of each group among the sentence's nearest records.
        head_cosines: Cosine to the class vector of each candidate group that the head knows; empty without a head.
        parameters: The release's.

    Returns:
        The outcome; groups in descending order of score, ties by name.
    """
    scores = combine_scores(neighbour_scores, head_cosines, parameters.head_weight)
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    if not ranked:
        return Decision(outcome=Outcome.NO_MATCH, confidence=1.0, groups=())
    values = np.array([parameters.threshold, *(score for _, score in ranked)])
    probabilities = _softmax(parameters.scale * values)
    groups = tuple(
        GroupConfidence(group=group, confidence=float(probability), score=float(score))
        for (group, score), probability in zip(ranked, probabilities[1:], strict=True)
    )
    if ranked[0][1] < parameters.threshold:
        return Decision(outcome=Outcome.NO_MATCH, confidence=float(probabilities[0]), groups=groups)
    runner_up = ranked[1][1] if len(ranked) > 1 else -math.inf
    ambiguous = ranked[0][1] - runner_up < parameters.margin
    outcome = Outcome.AMBIGUOUS if ambiguous else Outcome.MATCHED
    return Decision(outcome=outcome, confidence=groups[0].confidence, groups=groups)


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum(), np.float64)
