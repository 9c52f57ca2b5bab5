"""Whether confidences are what they say, and how the scores lie about the threshold."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.contract.deciding.decision import Decision, Outcome
from model.report.data import Bin, Calibration, Near, ScoreHistogram, ScoreSpread
from model.report.wording import shorten, shorten_name

N_BINS = 15
_SCORE_BINS = 48
_MOST_STRANGERS = 10

RIGHT, WRONG, STRANGER = "in scope, best group right", "in scope, best group wrong", "out of scope"
STAND_IN = "stand-ins for out of scope"


def calibrate_report(
    decisions: Sequence[Decision], groups: Sequence[str | None], strangers: Sequence[Decision]
) -> Calibration | None:
    """Count how often decisions are right, by confidence.

    A match is right if its best group is the true one, a refusal if the sentence belongs to no group.

    Args:
        decisions: Of the held-out sentences.
        groups: Group of each.
        strangers: Decisions of out-of-scope sentences, or of their stand-ins.
    """
    right = [
        decision.outcome is not Outcome.NO_MATCH and _best_group(decision) == group
        for decision, group in zip(decisions, groups, strict=True)
    ]
    right += [decision.outcome is Outcome.NO_MATCH for decision in strangers]
    confidences = [decision.confidence for decision in [*decisions, *strangers]]
    return reliability(np.array(confidences), np.array(right)) if confidences else None


def reliability(confidences: NDArray[np.float64], right: NDArray[np.bool_]) -> Calibration:
    """Bins of equal mass, the expected calibration error, and how much of it chance alone would make.

    Args:
        confidences: (n,) in [0, 1], n at least 1.
        right: (n,) whether the decision was right.

    Source: Guo et al. 2017, arXiv:1706.04599, for the error; equal-mass bins after Nguyen and O'Connor 2015.
    """
    order = np.argsort(confidences, kind="stable")
    parts = [part for part in np.array_split(order, N_BINS) if len(part)]
    bins = tuple(
        Bin(n=len(part), confidence=float(confidences[part].mean()), accuracy=float(right[part].mean()))
        for part in parts
    )
    shares = [bin.n / len(order) for bin in bins]
    ece = sum(share * abs(bin.accuracy - bin.confidence) for share, bin in zip(shares, bins, strict=True))
    # the mean distance of a normal variable from its mean is sqrt(2 / pi) standard deviations
    chance = math.sqrt(2 / math.pi) * sum(
        share * math.sqrt(bin.confidence * (1 - bin.confidence) / bin.n)
        for share, bin in zip(shares, bins, strict=True)
    )
    return Calibration(bins=bins, ece=ece, chance=chance)


def spread_scores(
    decisions: Sequence[Decision],
    groups: Sequence[str | None],
    strangers: Sequence[Decision],
    stranger_texts: Sequence[str],
    threshold: float,
) -> ScoreSpread | None:
    """Histograms of the best score: in scope with the best group right and wrong, and out of scope.

    Args:
        decisions, groups: Of the held-out sentences.
        strangers: Decisions of out-of-scope sentences, or of their stand-ins.
        stranger_texts: The out-of-scope sentences; empty where there are made ones only.
        threshold: From this score on a sentence is answered.
    """
    others = STRANGER if stranger_texts else STAND_IN
    kinds: dict[str, list[Decision]] = {RIGHT: [], WRONG: [], others: list(strangers)}
    for decision, group in zip(decisions, groups, strict=True):
        kinds[RIGHT if _best_group(decision) == group else WRONG].append(decision)
    everything = [decision.score for same in kinds.values() for decision in same]
    if not everything:
        return None
    low, high = min(*everything, threshold), max(*everything, threshold)
    edges = np.linspace(low, high if high > low else low + 0.01, _SCORE_BINS + 1)
    histograms = tuple(
        ScoreHistogram(
            kind=kind,
            counts=tuple(np.histogram([decision.score for decision in same], edges)[0].tolist()),
            n_answered=sum(decision.outcome is not Outcome.NO_MATCH for decision in same),
        )
        for kind, same in kinds.items()
        if same
    )
    return ScoreSpread(
        edges=tuple(edges.tolist()),
        threshold=threshold,
        histograms=histograms,
        answered_strangers=_answered(strangers, stranger_texts) if stranger_texts else (),
        n_made=0 if stranger_texts else len(strangers),
    )


def _answered(strangers: Sequence[Decision], texts: Sequence[str]) -> tuple[tuple[Near, str], ...]:
    answered = [
        (Near(sentence=shorten(text), score=decision.score), shorten_name(_best_group(decision) or ""))
        for decision, text in zip(strangers, texts, strict=True)
        if decision.outcome is not Outcome.NO_MATCH
    ]
    return tuple(sorted(answered, key=lambda pair: -pair[0].score)[:_MOST_STRANGERS])


def _best_group(decision: Decision) -> str | None:
    return decision.groups[0].group if decision.groups else None
