"""How good a bundle is: on known groups, on unseen groups, on labels, and on sentences that belong to no group."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.contract.bundle import Bundle
from model.contract.dataset import Row, read_rows
from model.contract.errors import DatasetError
from model.evaluation.calibrate import Candidates, find_nearest, gather_candidates
from model.evaluation.decision_metrics import decision_metrics
from model.evaluation.held_out import head_metrics
from model.evaluation.label_metrics import label_head_metrics
from model.evaluation.metrics import accuracy, retrieval_metrics, vote

_MOST_BAD: Final = 10


@dataclass(frozen=True, slots=True)
class LabelledSentences:
    """Sentences, their groups, None out of scope, and the rows with their labels where the file has such a column.

    Attributes:
        findings: What the user should know of the file.
    """

    sentences: list[str]
    groups: list[str | None]
    rows: Sequence[Row] = ()
    findings: Sequence[str] = ()

    @classmethod
    def read(cls, path: Path) -> "LabelledSentences":
        """Read a file that has a group column, or a labels column."""
        file = read_rows(path)
        has_labels = "labels" in file.columns
        if not has_labels:
            file = read_rows(path, need=["group"])
        sentences, groups = [row.text for row in file.rows], [row.group for row in file.rows]
        findings = [f"{path}: line {bad.line} left out: {bad.reason}" for bad in file.bad_rows[:_MOST_BAD]]
        return cls(sentences, groups, file.rows if has_labels else (), findings)

    @staticmethod
    def read_unlabelled(path: Path) -> list[str]:
        """Read a file's sentences whatever groups it gives them."""
        return [row.text for row in read_rows(path).rows]

    def with_strangers(self, sentences: list[str]) -> "LabelledSentences":
        """These and more sentences of no group."""
        groups = [*self.groups, *[None] * len(sentences)]
        return replace(self, sentences=[*self.sentences, *sentences], groups=groups)

    def unknown_groups(self, against: "LabelledSentences") -> list[str]:
        """Groups that `against` does not have, whose sentences are answered wrongly whatever is answered."""
        return sorted(set(self.in_scope()[1]) - set(against.in_scope()[1]))

    def in_scope(self) -> tuple[list[str], list[str]]:
        """Those that have a group."""
        pairs = [(text, group) for text, group in zip(self.sentences, self.groups, strict=True) if group is not None]
        return [text for text, _ in pairs], [group for _, group in pairs]

    def strangers(self) -> list[str]:
        """Those that have none."""
        return [text for text, group in zip(self.sentences, self.groups, strict=True) if group is None]


def evaluate(bundle: Bundle, data: LabelledSentences, against: LabelledSentences | None) -> dict[str, float]:
    """Measure a bundle on held-out sentences.

    Groups that `against` (the training or stored sentences) knows make a closed set: head and k-NN accuracy, and the
    decision. Without `against`, the sentences are retrieved among themselves. A bundle with a label head is measured on
    the labels, if the file has some.

    Returns:
        The metrics that apply, by name.

    Raises:
        DatasetError: None does.
    """
    metrics: dict[str, float] = {}
    if bundle.label_head is not None and data.rows:
        texts = [row.text for row in data.rows]
        embeddings = bundle.encoder.encode(texts)
        thresholds = bundle.manifest.decision.thresholds_of(bundle.label_head.labels)
        given = bundle.label_confidences(texts, embeddings)
        of_labels = label_head_metrics(bundle.label_head.labels, given, data.rows, thresholds)
        metrics = {"n": len(data.rows)} | of_labels
    sentences, groups = data.in_scope()
    if not sentences and not metrics:
        raise DatasetError("nothing to measure: no sentence has a group, and labels need a bundle that learned labels")
    if not sentences:
        return metrics
    embeddings = bundle.encoder.encode(sentences)
    metrics = {"n": len(sentences)} | metrics
    if bundle.head is not None and set(groups) & set(bundle.head.labels):
        metrics |= head_metrics(bundle.head, embeddings, groups)
    if against is None or not against.in_scope()[0]:
        return metrics | retrieval_metrics(embeddings, groups)
    return metrics | _closed_set(bundle, sentences, embeddings, groups, data.strangers(), against)


def _closed_set(
    bundle: Bundle,
    sentences: Sequence[str],
    embeddings: NDArray[np.float32],
    groups: Sequence[str],
    strangers: Sequence[str],
    against: LabelledSentences,
) -> dict[str, float]:
    stored, stored_groups = against.in_scope()
    stored_embeddings = bundle.encoder.encode(stored)

    def candidates(
        texts: Sequence[str], vectors: NDArray[np.float32], true_groups: Sequence[str | None]
    ) -> list[Candidates]:
        near = find_nearest(vectors, stored_embeddings, exclude=None)
        familiar = [bundle.knows(text) for text in texts]
        return gather_candidates(vectors, true_groups, near, stored_groups, bundle.head, familiar)

    found = find_nearest(embeddings, stored_embeddings, exclude=None)
    metrics = {f"knn{k}": accuracy(vote(found, stored_groups, k), groups) for k in (1, 5)}
    if bundle.label_head is not None:
        return metrics  # there the labels decide
    outside = candidates(strangers, bundle.encoder.encode(strangers), [None] * len(strangers)) if strangers else []
    return metrics | decision_metrics(candidates(sentences, embeddings, groups), outside, bundle.manifest.decision)
