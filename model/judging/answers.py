"""What a bundle answers to kept-out sentences, by the very rule of serving: neighbours, head and thresholds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from model.contract.bundle import Bundle
from model.contract.dataset import Row
from model.contract.deciding.decision import Decision, Outcome, decide, decide_labels
from model.contract.deciding.evidence import NEIGHBOURS_USED, Neighbour
from model.evaluation.neighbours import Nearest, nearest
from model.judging.rows import JudgedRows

Tell = Callable[[int], None]
"""Hears how many sentences more are done."""

_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one bundle.

    Attributes:
        nearest: Row numbers of the stored neighbours of each sentence asked, best first, and their cosines.
        decisions: On each sentence asked.
        refusals: The decisions on the strangers.
    """

    nearest: Nearest
    decisions: list[Decision]
    refusals: list[Decision]

    def nearest_groups(self, rows: JudgedRows) -> list[str | None]:
        """The group of the nearest stored sentence that has one, of each sentence asked."""
        groups = [row.group for row in rows.stored]
        return [next((groups[at] for at in found if groups[at]), None) for found in self.nearest.rows.tolist()]

    def hits(self, rows: JudgedRows) -> NDArray[np.bool_]:
        """(n_asked,) whether that group is the right one."""
        groups = self.nearest_groups(rows)
        return np.array([group == row.group for group, row in zip(groups, rows.asked, strict=True)], bool)

    def best(self, rows: JudgedRows) -> NDArray[np.bool_]:
        """(n_asked,) whether the group that ranks first is the right one, be it given or not."""
        firsts = [decision.groups[0].group if decision.groups else None for decision in self.decisions]
        return np.array([group == row.group for group, row in zip(firsts, rows.asked, strict=True)], bool)

    def right(self, rows: JudgedRows) -> NDArray[np.bool_]:
        """(n_asked,) whether the group that was decided is the right one; no match is not."""
        given = [given_group(decision) for decision in self.decisions]
        return np.array([group == row.group for group, row in zip(given, rows.asked, strict=True)], bool)

    def refused(self) -> NDArray[np.bool_]:
        """(n_strangers,) whether a sentence out of scope was given no group and no label."""
        return np.array([decision.outcome is Outcome.NO_MATCH for decision in self.refusals], bool)

    def label_f1(self, rows: JudgedRows) -> NDArray[np.float64]:
        """(n_asked,) F1 between the labels given and the true ones of each sentence; none given of none is right."""
        return np.array([_f1(decision, row) for decision, row in zip(self.decisions, rows.asked, strict=True)])

    def confidences(self) -> NDArray[np.float64]:
        """Of the decisions on what was asked, then on the strangers."""
        return np.array([decision.confidence for decision in (*self.decisions, *self.refusals)])


def given_group(decision: Decision) -> str | None:
    """The group that a decision gives, None where it gives none."""
    return None if decision.outcome is Outcome.NO_MATCH or not decision.groups else decision.groups[0].group


def answer(bundle: Bundle, rows: JudgedRows, tell: Tell) -> Answers:
    """Ask a bundle everything; each sentence is encoded once."""
    stored = encode(bundle, [row.text for row in rows.stored], tell)
    asked = encode(bundle, [row.text for row in rows.asked], tell)
    strangers = encode(bundle, [row.text for row in rows.strangers], tell)
    found = nearest(asked, stored, min(NEIGHBOURS_USED, len(stored)))
    of_strangers = nearest(strangers, stored, min(NEIGHBOURS_USED, len(stored)))
    return Answers(
        found,
        _decide(bundle, rows.asked, asked, found, rows.stored),
        _decide(bundle, rows.strangers, strangers, of_strangers, rows.stored),
    )


def encode(bundle: Bundle, texts: Sequence[str], tell: Tell) -> NDArray[np.float32]:
    """(n, dim) embeddings, some at a time."""
    parts = [np.empty((0, bundle.encoder.dim), np.float32)]
    for start in range(0, len(texts), _AT_ONCE):
        part = texts[start : start + _AT_ONCE]
        parts.append(bundle.encoder.encode(part))
        tell(len(part))
    return np.concatenate(parts)


def _decide(
    bundle: Bundle,
    rows: Sequence[Row],
    embeddings: NDArray[np.float32],
    found: Nearest,
    stored: Sequence[Row],
) -> list[Decision]:
    parameters = bundle.manifest.decision
    head = bundle.deciding_head({row.group for row in stored if row.group is not None})
    gatherer = bundle.gatherer(head, parameters)
    shifts = gatherer.shifts(None, parameters.scale, parameters.logit_adjustment_tau)
    cosines = head.cosines_of_each(embeddings) if head is not None else repeat(None)
    decisions = []
    asked = zip(rows, found.rows.tolist(), found.scores.tolist(), cosines, strict=False)
    for row, numbers, scores, of_head in asked:
        near = [
            Neighbour(stored[number].group, stored[number].text, score)
            for number, score in zip(numbers, scores, strict=True)
        ]
        decisions.append(decide(gatherer.gather(row.text, of_head, near, shifts), parameters))
    return decisions if bundle.label_head is None else _with_labels(bundle, rows, embeddings, decisions)


def _with_labels(
    bundle: Bundle, rows: Sequence[Row], embeddings: NDArray[np.float32], decisions: list[Decision]
) -> list[Decision]:
    head = bundle.label_head
    assert head is not None
    thresholds = bundle.manifest.decision.thresholds_of(head.labels)
    given = bundle.label_confidences([row.text for row in rows], embeddings)
    return [
        decide_labels(decision, confidences, head.labels, thresholds)
        for decision, confidences in zip(decisions, given, strict=True)
    ]


def _f1(decision: Decision, row: Row) -> float:
    given, true = {label.label for label in decision.labels}, set(row.likely_labels)
    return 2 * len(given & true) / (len(given) + len(true)) if given or true else 1.0
