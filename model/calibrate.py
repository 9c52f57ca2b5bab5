"""Default thresholds: chosen on held-out sentences and on sentences that belong to no group."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.contract.bundle import Head
from model.contract.decision import NEIGHBOURS_USED, DecisionParameters, best_by_group, combine_scores, head_candidates
from model.neighbours import Nearest, nearest

_HEAD_WEIGHTS = (0.0, 0.5, 1.0)
_SCALES = np.geomspace(2.0, 200.0, 60)


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a decision is made from, for one sentence.

    Attributes:
        true_group: Its group, None out of scope.
        neighbour_scores, head_cosines: As `decide` takes them.
    """

    true_group: str | None
    neighbour_scores: dict[str, float]
    head_cosines: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Scored:
    """Best groups' scores of all sentences under one head weight."""

    right: NDArray[np.bool_]  # the best group is the true one
    best: NDArray[np.float64]
    out_of_scope: NDArray[np.float64]  # best score of sentences without a group


def gather_candidates(
    embeddings: NDArray[np.float32],
    true_groups: Sequence[str | None],
    found: Nearest,
    stored_groups: Sequence[str],
    head: Head | None,
) -> list[Candidates]:
    """Neighbours and head cosines of each sentence, as serving gathers them."""
    cosines = head.cosines(embeddings) if head else None
    positions = {label: position for position, label in enumerate(head.labels)} if head else {}
    candidates = []
    for row, true_group in enumerate(true_groups):
        neighbour_scores = best_by_group([stored_groups[r] for r in found.rows[row]], found.scores[row].tolist())
        head_cosines: dict[str, float] = {}
        if head is not None and cosines is not None:
            head_cosines = head_candidates(cosines[row], head.labels, positions, neighbour_scores)
        candidates.append(Candidates(true_group, neighbour_scores, head_cosines))
    return candidates


def calibrate(in_scope: Sequence[Candidates], out_of_scope: Sequence[Candidates]) -> DecisionParameters:
    """Choose which score decides, its threshold, and the scale of the confidence.

    The rule is balanced: of the in-scope sentences whose best group is right, the share answered, and of the
    out-of-scope ones, the share refused, are highest together. The score that decides is the one that then answers
    the larger share of all in-scope sentences rightly and refuses the larger share of the others.

    Where there are no out-of-scope sentences, each in-scope one stands in for one with its own group taken away: what
    would have been answered had nobody written its group yet.
    """
    strangers = out_of_scope or [without_own_group(candidates) for candidates in in_scope]
    best_value, chosen = -1.0, DecisionParameters()
    has_head = any(candidates.head_cosines for candidates in in_scope)
    for head_weight in _HEAD_WEIGHTS if has_head else (0.0,):
        scored = _score(in_scope, strangers, head_weight)
        threshold = _balanced_threshold(scored)
        answered_rightly = scored.right & (scored.best >= threshold)
        value = float(answered_rightly.mean() + (scored.out_of_scope < threshold).mean())
        if value > best_value:
            best_value = value
            chosen = DecisionParameters(head_weight=head_weight, threshold=threshold)
    return chosen.model_copy(update={"scale": _fit_scale(in_scope, strangers, chosen)})


def without_own_group(candidates: Candidates) -> Candidates:
    """What would be looked at had nobody written its group yet: the stand-in for an out-of-scope sentence."""

    def others(scores: dict[str, float]) -> dict[str, float]:
        return {group: score for group, score in scores.items() if group != candidates.true_group}

    return Candidates(None, others(candidates.neighbour_scores), others(candidates.head_cosines))


def find_nearest(
    embeddings: NDArray[np.float32], stored: NDArray[np.float32], exclude: NDArray[np.int64] | None
) -> Nearest:
    """The neighbours that a decision looks at."""
    return nearest(embeddings, stored, min(NEIGHBOURS_USED, len(stored) - 1), exclude)


def _best(candidates: Candidates, head_weight: float) -> tuple[str | None, float]:
    scores = combine_scores(candidates.neighbour_scores, candidates.head_cosines, head_weight)
    return max(scores.items(), key=lambda item: item[1], default=(None, -1.0))


def _score(in_scope: Sequence[Candidates], out_of_scope: Sequence[Candidates], head_weight: float) -> _Scored:
    winners = [_best(candidates, head_weight) for candidates in in_scope]
    return _Scored(
        right=np.array([group == c.true_group for (group, _), c in zip(winners, in_scope, strict=True)]),
        best=np.array([score for _, score in winners]),
        out_of_scope=np.array([_best(candidates, head_weight)[1] for candidates in out_of_scope]),
    )


def _balanced_threshold(scored: _Scored) -> float:
    """The threshold of highest balanced value, in the middle of the gap it falls in."""
    values = np.unique(np.concatenate([scored.best, scored.out_of_scope]))
    cuts = np.concatenate([[values[0] - 1e-3], (values[1:] + values[:-1]) / 2, [values[-1] + 1e-3]])
    rightly = np.sort(scored.best[scored.right])
    answered = (len(rightly) - np.searchsorted(rightly, cuts)) / max(1, len(rightly))
    refused = np.searchsorted(np.sort(scored.out_of_scope), cuts) / max(1, len(scored.out_of_scope))
    balanced = answered + refused
    top = np.flatnonzero(balanced == balanced.max())
    return float(np.clip(cuts[top[len(top) // 2]], -1, 1))


def _fit_scale(
    in_scope: Sequence[Candidates], out_of_scope: Sequence[Candidates], parameters: DecisionParameters
) -> float:
    """The scale of least cross-entropy, "no match" being a class whose score is the threshold.

    Of n sentences nobody may be surer than (n + 1) / (n + 2), the rule of succession: each leaves 1 / (n + 2) of its
    weight to the other candidates. Without that a few sentences, all right, would make every confidence 1.
    """
    doubt = 1 / (len(in_scope) + len(out_of_scope) + 2)
    gaps: list[float] = []
    offsets: list[int] = []
    # every candidate's score minus the true one's, and where each sentence begins
    for candidates in [*in_scope, *out_of_scope]:
        scores = combine_scores(candidates.neighbour_scores, candidates.head_cosines, parameters.head_weight)
        true = _true_score(candidates, scores, parameters)
        offsets.append(len(gaps))
        gaps += [parameters.threshold - true, *(score - true for score in scores.values())]
    differences = np.array(gaps)
    mean_gap = np.add.reduceat(differences, offsets) / np.maximum(1, np.diff([*offsets, len(gaps)]))
    losses = [
        (
            np.log(np.add.reduceat(np.exp(np.clip(scale * differences, -50, 50)), offsets)) - doubt * scale * mean_gap
        ).mean()
        for scale in _SCALES
    ]
    return float(_SCALES[int(np.argmin(losses))])


def _true_score(candidates: Candidates, scores: dict[str, float], parameters: DecisionParameters) -> float:
    """The score of the right answer; a group that was not looked at has at most the lowest score that was."""
    if candidates.true_group is None:
        return parameters.threshold
    return scores.get(candidates.true_group, min(scores.values(), default=parameters.threshold))
