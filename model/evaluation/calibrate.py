"""Default decision parameters: chosen on held-out sentences and on sentences that belong to no group."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from model.config import ThresholdRule
from model.contract.deciding.decision import DecisionParameters, match_score, score_groups
from model.contract.deciding.evidence import NEIGHBOURS_USED, Evidence, EvidenceGatherer, Neighbour, OutOfScopeScore
from model.errors import ConfigError
from model.evaluation.margins import choose_margin
from model.evaluation.neighbours import Nearest, nearest
from model.evaluation.thresholds import balanced_threshold, choose_threshold

_HEAD_WEIGHTS = (0.0, 0.5, 1.0)
_WORD_WEIGHTS = (0.0, 0.3, 0.5)

_NEWCOMER_WORD_WEIGHT = 0.5
"""Beside a head no held-out group is a newcomer to choose it by; what measured best on five sets (docs/log.md)."""

_NEWCOMER_SHARE = 0.85
"""Of the balanced threshold on the likeness of learnt groups' records, to which training has drawn their sentences
nearer than to those of newcomers; measured likewise.
"""

_SCALES = np.geomspace(2.0, 200.0, 60)


@dataclass(frozen=True, slots=True)
class Sentences:
    """Sentences that are asked or stored.

    Attributes:
        texts: n of them.
        embeddings: (n, dim) unit rows.
        groups: Of each, None where it belongs to none.
    """

    texts: Sequence[str]
    embeddings: NDArray[np.float32]
    groups: Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Candidates:
    """A held-out sentence: its group, None out of scope, and the evidence on it."""

    true_group: str | None
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class _Scored:
    """All held-out sentences under one choice of scores."""

    rightly: NDArray[np.float64]  # out-of-scope scores of in-scope sentences whose best group is the true one
    n_in_scope: int
    strangers: NDArray[np.float64]

    def value(self, threshold: float, rule: ThresholdRule) -> float:
        """Share of in-scope sentences answered rightly; for the balanced rule, plus the share of strangers refused."""
        answered = float((self.rightly >= threshold).sum() / max(1, self.n_in_scope))
        if rule is ThresholdRule.FALSE_ACCEPT_RATE or not len(self.strangers):
            return answered
        return answered + float((self.strangers < threshold).mean())


def gather_candidates(
    asked: Sentences,
    stored: Sentences,
    gatherer: EvidenceGatherer,
    exclude: NDArray[np.int64] | None = None,
) -> list[Candidates]:
    """The evidence on each sentence that is asked, as serving gathers it.

    Args:
        asked, stored: The sentences, and those among which they are looked up.
        gatherer: Of the encoder.
        exclude: As for `find_nearest`.
    """
    head = gatherer.head
    shifts = gatherer.shifts(None, 1.0, tau=1.0)
    cosines = head.cosines_of_each(asked.embeddings) if head else repeat(None)
    found = find_nearest(asked.embeddings, stored.embeddings, exclude)
    candidates = []
    for row, (text, true_group, of_head) in enumerate(zip(asked.texts, asked.groups, cosines, strict=False)):
        near = zip(found.rows[row].tolist(), found.scores[row].tolist(), strict=True)
        neighbours = [Neighbour(stored.groups[other], stored.texts[other], score) for other, score in near]
        candidates.append(Candidates(true_group, gatherer.gather(text, of_head, neighbours, shifts)))
    return candidates


def find_nearest(
    embeddings: NDArray[np.float32], stored: NDArray[np.float32], exclude: NDArray[np.int64] | None
) -> Nearest:
    """The neighbours that a decision looks at."""
    return nearest(embeddings, stored, NEIGHBOURS_USED, exclude)


def calibrate(
    in_scope: Sequence[Candidates],
    strangers: Sequence[Candidates],
    *,
    are_made: bool = False,
    is_refit: bool = False,
    threshold_rule: ThresholdRule = ThresholdRule.BALANCED,
    false_accept_target: float = 0.05,
    out_of_scope_score: OutOfScopeScore | None = None,
    logit_adjustment_tau: float = 0.0,
    precision_target: float | None = None,
) -> DecisionParameters:
    """Choose how groups are ranked, which score says what is in scope, its threshold, and the scale of the confidence.

    Groups are ranked by the share of head and neighbours that puts the right one first most often. The out-of-scope
    score is the one that then serves the rule best: `balanced`, the in-scope sentences answered rightly and the
    out-of-scope ones refused, as shares added up; `false_accept_rate`, the in-scope ones answered rightly while no more
    of the others are answered than the target allows. Earlier ones win ties.

    The balanced threshold answers as large a share of the in-scope sentences rightly as it refuses of the others.
    Whatever the rule, it is the break-even of the confidence.

    Out-of-scope sentences that were made are no ground to choose a score by, since they were made of what training
    saw, nor are none. Unless one is named, `both` is used then, or without a head `knn`.

    Args:
        in_scope: Held-out sentences with a group, at least one.
        strangers: Sentences of no group; where there are none, the balanced rule answers nine in ten of what it can.
        are_made: Whether some of them are made.
        is_refit: The encoder that will answer learns from the held-out sentences too, and more of its best groups will
            be right than can be measured: the share answered is taken of those that are right already. Not beside
            made strangers, which come nearer than real ones and make up for it.
        threshold_rule: By which the threshold is chosen.
        false_accept_target: Largest share of out-of-scope sentences that may be answered, for that rule.
        out_of_scope_score: The score to use; None tries all that there is evidence for.
        precision_target: Least share of the matched answers that shall be right; a margin is chosen for it, below which
            answers are ambiguous. None leaves none ambiguous.
        logit_adjustment_tau: Post-hoc logit adjustment: share of the training prior taken out of the head's cosines.

    Raises:
        ConfigError: The target is no share, or the score needs a head that is not there.
    """
    ranking = _choose_ranking(in_scope, DecisionParameters(logit_adjustment_tau=logit_adjustment_tau))
    best_value, chosen = -1.0, ranking
    for score in _scores_to_try(in_scope, out_of_scope_score, are_given=bool(strangers) and not are_made):
        parameters = ranking.model_copy(update={"score": score})
        scored = _score(in_scope, strangers, parameters)
        n_in_scope = len(scored.rightly) if is_refit and not are_made else scored.n_in_scope
        threshold = choose_threshold(
            threshold_rule,
            scored.rightly,
            scored.strangers,
            n_in_scope=n_in_scope,
            false_accept_target=false_accept_target,
        )
        value = scored.value(threshold, threshold_rule)
        if value > best_value:
            even = balanced_threshold(scored.rightly, scored.strangers, n_in_scope)
            best_value = value
            chosen = parameters.model_copy(
                update={"threshold": threshold, "break_even": even if even != threshold else None}
            )
    if chosen.word_weight and _has_head(in_scope):
        threshold = _choose_newcomer_threshold(in_scope, strangers, chosen, threshold_rule, false_accept_target)
        chosen = chosen.model_copy(update={"newcomer_threshold": threshold})
    margin = 0.0 if precision_target is None else _choose_margin(in_scope, strangers, chosen, precision_target)
    return chosen.model_copy(update={"scale": _fit_scale(in_scope, strangers, chosen), "margin": margin})


def _has_head(in_scope: Sequence[Candidates]) -> bool:
    return any(candidates.evidence.head_cosines for candidates in in_scope)


def _choose_ranking(in_scope: Sequence[Candidates], start: DecisionParameters) -> DecisionParameters:
    """The weight of the head, or without one that of the words, under which the right group comes first most often."""
    has_words = any(candidates.evidence.likenesses for candidates in in_scope)
    if _has_head(in_scope):
        word_weight = _NEWCOMER_WORD_WEIGHT if has_words else 0.0
        tried = [{"head_weight": weight, "word_weight": word_weight} for weight in _HEAD_WEIGHTS]
    else:
        tried = [{"word_weight": weight} for weight in (_WORD_WEIGHTS if has_words else (0.0,))]
    best_right, chosen = -1, start
    for weights in tried:
        parameters = start.model_copy(update=weights)
        right = sum(_best(candidates, parameters) == candidates.true_group for candidates in in_scope)
        if right > best_right:
            best_right, chosen = right, parameters
    return chosen


def _scores_to_try(
    in_scope: Sequence[Candidates], wanted: OutOfScopeScore | None, *, are_given: bool
) -> list[OutOfScopeScore]:
    has_energy = any(candidates.evidence.head_scale is not None for candidates in in_scope)
    available = [OutOfScopeScore.KNN]
    if _has_head(in_scope):
        available = [OutOfScopeScore.BOTH, OutOfScopeScore.KNN, OutOfScopeScore.MAX_COSINE]
    if has_energy:
        available.append(OutOfScopeScore.ENERGY)
    if wanted is None:
        return available if are_given else available[:1]
    if wanted not in available:
        raise ConfigError(f"out_of_scope_score {wanted} needs class vectors, here there is {', '.join(available)}")
    return [wanted]


def _best(candidates: Candidates, parameters: DecisionParameters) -> str | None:
    """The group that `decide` would put first."""
    scores = score_groups(candidates.evidence, parameters)
    return min(scores, key=lambda group: (-scores[group], group), default=None)


def _match(candidates: Candidates, best: str | None, parameters: DecisionParameters) -> float:
    return -1.0 if best is None else match_score(candidates.evidence, best, parameters)


def _score(in_scope: Sequence[Candidates], strangers: Sequence[Candidates], parameters: DecisionParameters) -> _Scored:
    winners = [(candidates, _best(candidates, parameters)) for candidates in in_scope]
    rightly = [_match(one, best, parameters) for one, best in winners if best == one.true_group]
    refusable = [_match(one, _best(one, parameters), parameters) for one in strangers]
    return _Scored(np.array(rightly), len(winners), np.array(refusable))


def _choose_newcomer_threshold(
    in_scope: Sequence[Candidates],
    strangers: Sequence[Candidates],
    parameters: DecisionParameters,
    rule: ThresholdRule,
    false_accept_target: float,
) -> float:
    """Least likeness of a newcomer's record, from that of the records of learnt groups and of strangers."""

    def likest(candidates: Candidates) -> float:
        return max(candidates.evidence.likeness_by_group(parameters.word_weight).values(), default=-1.0)

    rightly = np.array([likest(one) for one in in_scope if _best(one, parameters) == one.true_group])
    threshold = choose_threshold(
        rule,
        rightly,
        np.array([likest(one) for one in strangers]),
        n_in_scope=len(in_scope),
        false_accept_target=false_accept_target,
    )
    return threshold if rule is ThresholdRule.FALSE_ACCEPT_RATE else _NEWCOMER_SHARE * threshold


def _choose_margin(
    in_scope: Sequence[Candidates], strangers: Sequence[Candidates], parameters: DecisionParameters, target: float
) -> float:
    """The margin for the answers that the threshold lets through, of strangers too: these are never right."""
    gaps: list[float] = []
    right: list[bool] = []
    for candidates in [*in_scope, *strangers]:
        best = _best(candidates, parameters)
        if best is None or _match(candidates, best, parameters) < parameters.threshold:
            continue
        scores = sorted(score_groups(candidates.evidence, parameters).values(), reverse=True)
        gaps.append(scores[0] - scores[1] if len(scores) > 1 else math.inf)
        right.append(best == candidates.true_group)
    return choose_margin(np.array(gaps), np.array(right, np.bool_), target)


def _fit_scale(
    in_scope: Sequence[Candidates], strangers: Sequence[Candidates], parameters: DecisionParameters
) -> float:
    """The scale of least cross-entropy, "no match" being a class whose score is the break-even.

    Of n sentences nobody may be surer than (n + 1) / (n + 2), the rule of succession: each leaves 1 / (n + 2) of its
    weight to the other candidates. Without that a few sentences, all right, would make every confidence 1.
    """
    doubt = 1 / (len(in_scope) + len(strangers) + 2)
    gaps: list[float] = []
    offsets: list[int] = []
    # every candidate's logit minus the true one's, unscaled, and where each sentence begins
    for candidates in [*in_scope, *strangers]:
        scores = _moved_scores(candidates, parameters)
        true = _true_score(candidates, scores, parameters)
        offsets.append(len(gaps))
        gaps += [parameters.no_match_score - true, *(score - true for score in scores.values())]
    differences = np.array(gaps)
    mean_gap = np.add.reduceat(differences, offsets) / np.maximum(1, np.diff([*offsets, len(gaps)]))
    losses = [
        (
            np.log(np.add.reduceat(np.exp(np.clip(scale * differences, -50, 50)), offsets)) - doubt * scale * mean_gap
        ).mean()
        for scale in _SCALES
    ]
    return float(_SCALES[int(np.argmin(losses))])


def _moved_scores(candidates: Candidates, parameters: DecisionParameters) -> dict[str, float]:
    """The groups' scores as they compete with no match: the best one's is the out-of-scope score."""
    scores = score_groups(candidates.evidence, parameters)
    if not scores:
        return {}
    best = _best(candidates, parameters)
    move = _match(candidates, best, parameters) - max(scores.values())
    return {group: score + move for group, score in scores.items()}


def _true_score(candidates: Candidates, scores: dict[str, float], parameters: DecisionParameters) -> float:
    """The score of the right answer; a group that was not looked at has at most the lowest score that was."""
    if candidates.true_group is None:
        return parameters.no_match_score
    return scores.get(candidates.true_group, min(scores.values(), default=parameters.no_match_score))
