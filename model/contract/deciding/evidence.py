"""What a decision about one sentence is made from, gathered the same way in calibration, evaluation and serving."""

import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.contract.deciding.head import Head
from model.contract.deciding.prior import Prior
from model.contract.deciding.word_overlap import WordOverlap
from model.contract.normalise import same_text_key

NEIGHBOURS_USED: Final = 10
"""Neighbours that calibration and serving both look at."""

SAME_TEXT: Final = 0.9999
"""A cosine that only the same text reaches, where the encoder knows nothing of it."""

HEAD_CANDIDATES: Final = 10
"""Groups that the head alone can put forward."""


class OutOfScopeScore(StrEnum):
    """What says whether a sentence belongs to any group; higher is surer.

    Source: Hendrycks and Gimpel 2017, arXiv:1610.02136, for the head's best; Liu et al. 2020, arXiv:2010.03759, for the
    energy; Sun et al. 2022, arXiv:2204.06507, for the nearest record.
    """

    MAX_COSINE = "max_cosine"
    """The head's best cosine."""
    KNN = "knn"
    """The cosine of the nearest record."""
    BOTH = "both"
    """The mean of these two."""
    ENERGY = "energy"
    """log sum exp(s cosine) / s over all labels of the head: the soft form of its best cosine, which it may exceed."""


class Neighbour(NamedTuple):
    """A record near a sentence: its group, its text, and its cosine."""

    group: str | None
    text: str
    score: float


class Likeness(NamedTuple):
    """What a neighbour with a group has in common with a sentence: its cosine, and the overlap of their words."""

    group: str
    cosine: float
    overlap: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What speaks for the groups that a sentence may belong to.

    Attributes:
        neighbour_scores: Best cosine of each group among the sentence's nearest records.
        head_cosines: Cosine to the class vector of each candidate group that the head knows; empty without a head.
        head_leans: What the training prior added to these, a cosine difference; empty where it added nothing.
        head_rest: The energy of the labels that are no candidates, in cosine units.
        head_scale: s of the energy; None where there is no energy.
        newcomers: Groups among the neighbours that training had no class vector for: all, if it had none at all.
        likenesses: Of the neighbours that have a group, one by one; empty where their words do not count.
    """

    neighbour_scores: Mapping[str, float] = field(default_factory=dict)
    head_cosines: Mapping[str, float] = field(default_factory=dict)
    head_leans: Mapping[str, float] = field(default_factory=dict)
    head_rest: float = -math.inf
    head_scale: float | None = None
    newcomers: frozenset[str] = frozenset()
    likenesses: tuple[Likeness, ...] = ()

    def only(self, allows: Callable[[str], bool]) -> "Evidence":
        """The evidence for some of the groups."""
        return replace(
            self,
            neighbour_scores={group: score for group, score in self.neighbour_scores.items() if allows(group)},
            head_cosines={group: cosine for group, cosine in self.head_cosines.items() if allows(group)},
            newcomers=frozenset(group for group in self.newcomers if allows(group)),
            likenesses=tuple(likeness for likeness in self.likenesses if allows(likeness.group)),
        )

    def likeness_by_group(self, word_weight: float) -> dict[str, float]:
        """The best of each group: its cosine, and as much of the overlap of words as the weight says."""
        if not self.likenesses:
            return dict(self.neighbour_scores)
        values = [(1 - word_weight) * each.cosine + word_weight * each.overlap for each in self.likenesses]
        return best_by_group([each.group for each in self.likenesses], values)

    def energy(self) -> float:
        """log sum exp(s cosine) / s over the candidates and the rest."""
        if self.head_scale is None:
            raise ValueError("the energy score needs the head's scale")
        values = self.head_scale * np.array([*self.head_cosines.values(), self.head_rest])
        return _log_sum_exp(values) / self.head_scale


class EvidenceGatherer:
    """Gathers evidence for the groups of one head and of the neighbours.

    Args:
        head: Its labels are the groups that it can put forward; None without a head.
        learnt: All groups that training had class vectors for; without, those of the head.
        knows: Whether the encoder knows anything of a text.
        words: Tells how much of their words texts share; without, words do not count.
        with_energy: Whether to sum up the labels that are no candidates, which looks at every label.
        with_likenesses: Whether to look at the words though no neighbour is a newcomer.
    """

    def __init__(
        self,
        head: Head | None,
        *,
        learnt: Container[str] | None = None,
        knows: Callable[[str], bool] = lambda text: True,
        words: WordOverlap | None = None,
        with_energy: bool = False,
        with_likenesses: bool = False,
    ) -> None:
        self.head = head
        self._positions = {label: position for position, label in enumerate(head.labels)} if head else {}
        self._learnt = self._positions if learnt is None else learnt
        self._knows, self._words, self._with_likenesses = knows, words, with_likenesses
        self._leans = head.leans() if head else None
        self._energy_scale = head.scale if head and with_energy else None

    def shifts(self, prior: Prior | None, scale: float, tau: float) -> NDArray[np.float64] | None:
        """What is added to the head's cosines before it puts groups forward.

        Args:
            prior: How often each group is asked for.
            scale: Of the decision: the logarithm of the prior is divided by it.
            tau: Share of the training prior's lean that is taken away, in [0, 1].

        Returns:
            (n_labels,) in cosine units, -inf for a group that never occurs; None where nothing is to be added.
        """
        if self.head is None or (prior is None and (self._leans is None or tau == 0)):
            return None
        shifts = np.full(len(self.head.labels), prior.log_unnamed if prior else 0.0)
        for group, log_weight in prior.log_weights.items() if prior else ():
            if group in self._positions:
                shifts[self._positions[group]] = log_weight
        shifts /= scale
        return shifts if self._leans is None else shifts - tau * self._leans

    def gather(
        self,
        text: str,
        cosines: NDArray[np.float32] | None,
        neighbours: Sequence[Neighbour],
        shifts: NDArray[np.float64] | None = None,
    ) -> Evidence:
        """The evidence on one sentence. Where the encoder knows nothing of it, only the same text says anything.

        Args:
            text: The sentence.
            cosines: (n_labels,) of the head; None without a head.
            neighbours: The nearest records.
            shifts: Added to the cosines for choosing candidates only; -inf keeps a label out altogether.
        """
        if not self._knows(text):
            key = same_text_key(text)
            same = [each for each in neighbours if each.score >= SAME_TEXT and same_text_key(each.text) == key]
            return self._of_neighbours(same)
        of_neighbours = self._of_neighbours(neighbours)
        if of_neighbours.newcomers or self._with_likenesses:
            of_neighbours = replace(of_neighbours, likenesses=self._likenesses(text, neighbours))
        if self.head is None or cosines is None:
            return of_neighbours
        wanted = self._candidates(cosines, of_neighbours.neighbour_scores, shifts)
        labels = self.head.labels
        leans = {} if self._leans is None else {labels[row]: float(self._leans[row]) for row in wanted}
        return replace(
            of_neighbours,
            head_cosines={labels[row]: float(cosines[row]) for row in wanted},
            head_leans=leans,
            head_rest=self._rest(cosines, wanted, shifts),
            head_scale=self._energy_scale,
        )

    def _of_neighbours(self, neighbours: Sequence[Neighbour]) -> Evidence:
        by_group = best_by_group([each.group for each in neighbours], [each.score for each in neighbours])
        newcomers = frozenset(group for group in by_group if group not in self._learnt)
        return Evidence(neighbour_scores=by_group, newcomers=newcomers)

    def _likenesses(self, text: str, neighbours: Sequence[Neighbour]) -> tuple[Likeness, ...]:
        if self._words is None:
            return ()
        counting = [(group, other, score) for group, other, score in neighbours if group is not None]
        overlaps = self._words.cosines(text, [other for _, other, _ in counting])
        return tuple(
            Likeness(group, score, overlap) for (group, _, score), overlap in zip(counting, overlaps, strict=True)
        )

    def _candidates(
        self, cosines: NDArray[np.float32], by_group: Iterable[str], shifts: NDArray[np.float64] | None
    ) -> list[int]:
        """The head's best with and without the shifts, and the neighbours' groups."""
        wanted = {self._positions[group] for group in by_group if group in self._positions}
        if shifts is None:
            return sorted(wanted | _best(cosines))
        allowed = np.where(np.isneginf(shifts), -np.inf, cosines)
        wanted |= _best(allowed) | _best(cosines + shifts)
        return sorted(row for row in wanted if not np.isneginf(shifts[row]))

    def _rest(self, cosines: NDArray[np.float32], candidates: list[int], shifts: NDArray[np.float64] | None) -> float:
        if self._energy_scale is None:
            return -math.inf
        values = self._energy_scale * cosines.astype(np.float64)
        values[candidates] = -np.inf
        if shifts is not None:
            values[np.isneginf(shifts)] = -np.inf
        return _log_sum_exp(values) / self._energy_scale


def best_by_group(groups: Sequence[str | None], scores: Sequence[float]) -> dict[str, float]:
    """The best score of each group among the neighbours; records without a group count for none."""
    best: dict[str, float] = {}
    for group, score in zip(groups, scores, strict=True):
        if group is not None and score > best.get(group, -math.inf):
            best[group] = score
    return best


def _log_sum_exp(values: NDArray[np.float64]) -> float:
    most = float(values.max(initial=-np.inf))
    return most + math.log(np.exp(values - most).sum()) if most > -math.inf else -math.inf


def _best(values: NDArray[np.floating]) -> set[int]:
    n_best = min(HEAD_CANDIDATES, len(values))
    return set(np.argpartition(-values, n_best - 1)[:n_best].tolist()) if n_best else set()
