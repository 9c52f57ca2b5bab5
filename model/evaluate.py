"""How good an encoder is: on known groups, on unseen groups, and on sentences that belong to none."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.calibrate import Candidates, find_nearest, gather_candidates
from model.contract.bundle import Bundle
from model.contract.dataset import read_rows
from model.contract.decision import DecisionParameters, Outcome, decide
from model.held_out import head_metrics
from model.metrics import accuracy, retrieval_metrics, vote


@dataclass(frozen=True, slots=True)
class LabelledSentences:
    """Sentences and their groups, None out of scope."""

    sentences: list[str]
    groups: list[str | None]

    @classmethod
    def read(cls, path: Path) -> "LabelledSentences":
        """Read a file that has a group column."""
        rows = read_rows(path, need=["group"]).rows
        return cls([row.text for row in rows], [row.group for row in rows])

    @staticmethod
    def read_unlabelled(path: Path) -> list[str]:
        """Read a file's sentences whatever groups it gives them."""
        return [row.text for row in read_rows(path).rows]

    def with_strangers(self, sentences: list[str]) -> "LabelledSentences":
        """These and more sentences of no group."""
        return LabelledSentences([*self.sentences, *sentences], [*self.groups, *[None] * len(sentences)])

    def in_scope(self) -> tuple[list[str], list[str]]:
        """Those that have a group."""
        pairs = [(text, group) for text, group in zip(self.sentences, self.groups, strict=True) if group is not None]
        return [text for text, _ in pairs], [group for _, group in pairs]

    def strangers(self) -> list[str]:
        """Those that have none."""
        return [text for text, group in zip(self.sentences, self.groups, strict=True) if group is None]


def evaluate(bundle: Bundle, data: LabelledSentences, against: LabelledSentences | None) -> dict[str, float]:
    """Measure a bundle on held-out sentences.

    Groups that `against` (the training or stored sentences) knows make a closed set: head and k-NN accuracy, and, where
    `data` has sentences without a group, the decision. Without `against`, the sentences are retrieved among themselves.

    Returns:
        The metrics that apply, by name.
    """
    sentences, groups = data.in_scope()
    embeddings = bundle.encoder.encode(sentences)
    metrics: dict[str, float] = {"n": len(sentences)}
    if bundle.head is not None and set(groups) & set(bundle.head.labels):
        metrics |= head_metrics(bundle.head, embeddings, groups)
    if against is None:
        return metrics | retrieval_metrics(embeddings, groups)
    stored, stored_groups = against.in_scope()
    stored_embeddings = bundle.encoder.encode(stored)
    found = find_nearest(embeddings, stored_embeddings, exclude=None)
    metrics |= {f"knn{k}": accuracy(vote(found, stored_groups, k), groups) for k in (1, 5)}
    strangers = data.strangers()
    if strangers:
        stranger_embeddings = bundle.encoder.encode(strangers)
        far = find_nearest(stranger_embeddings, stored_embeddings, exclude=None)
        inside = gather_candidates(embeddings, groups, found, stored_groups, bundle.head)
        outside = gather_candidates(stranger_embeddings, [None] * len(strangers), far, stored_groups, bundle.head)
        metrics |= decision_metrics(inside, outside, bundle.manifest.decision)
    return metrics


def decision_metrics(
    inside: Sequence[Candidates], outside: Sequence[Candidates], parameters: DecisionParameters
) -> dict[str, float]:
    """In-scope sentences answered rightly, out-of-scope ones refused, and how well the score tells them apart."""
    answers = [decide(c.neighbour_scores, c.head_cosines, parameters) for c in [*inside, *outside]]
    right = [
        answer.outcome is not Outcome.NO_MATCH and answer.groups[0].group == candidates.true_group
        for answer, candidates in zip(answers, inside, strict=False)
    ]
    refused = [answer.outcome is Outcome.NO_MATCH for answer in answers[len(inside) :]]
    best = np.array([answer.groups[0].score if answer.groups else -1.0 for answer in answers])
    return {
        "oos_auroc": auroc(best[: len(inside)], best[len(inside) :]),
        "in_scope_accuracy": float(np.mean(right)),
        "oos_recall": float(np.mean(refused)),
    }


def auroc(positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> float:
    """Chance that a positive scores above a negative, ties counting half."""
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, "left")
    up_to = np.searchsorted(ordered, positives, "right")
    return float((below + up_to).mean() / 2 / len(negatives))
