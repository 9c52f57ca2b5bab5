"""How good a bundle is: on known groups, on unseen groups, on labels, and on sentences that belong to no group."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.contract.bundle import Bundle
from model.contract.dataset import Row, describe_bad_rows, read_rows, text_key
from model.contract.errors import DatasetError
from model.evaluation.calibrate import Sentences, find_nearest, gather_candidates
from model.evaluation.decision_metrics import decision_metrics
from model.evaluation.held_out import head_metrics
from model.evaluation.label_metrics import label_head_metrics
from model.evaluation.metrics import accuracy, retrieval_metrics, vote

_MOST_SHOWN: Final = 60
"""Characters of a sentence that a message shows."""


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
        return cls(sentences, groups, file.rows if has_labels else (), describe_bad_rows(file))

    def with_strangers(self, path: Path) -> "LabelledSentences":
        """These and the sentences of a file, whatever groups it gives them, as ones of no group."""
        file = read_rows(path)
        groups = [*self.groups, *[None] * len(file.rows)]
        sentences = [*self.sentences, *(row.text for row in file.rows)]
        findings = [*self.findings, *describe_bad_rows(file)]
        return replace(self, sentences=sentences, groups=groups, findings=findings)

    def describe_against(self, against: "LabelledSentences") -> list[str]:
        """What makes figures worse, or better, than they are: groups that nothing stored has, and stored sentences."""
        found = []
        if left_out := against.strangers():
            some = f"{len(left_out)} sentences of --against (such as {left_out[0][:_MOST_SHOWN]!r})"
            found.append(f"{some} have no group and are left out: nothing is compared with them")
        unknown = sorted(set(self.in_scope()[1]) - set(against.in_scope()[1]))
        if unknown:
            some = f"{len(unknown)} groups that --against does not have, such as {unknown[0]!r}"
            found.append(f"{some}, count as wrong answers")
        keys = {text_key(text) for text in against.sentences}
        both = [text for text in self.sentences if text_key(text) in keys]
        if both:
            some = f"{len(both)} of {len(self.sentences)} sentences (such as {both[0][:_MOST_SHOWN]!r})"
            found.append(f"{some} stand in --against too and are known by heart: the figures flatter")
        return found

    def describe_unmeasured(self, metrics: Mapping[str, float], learnt: Collection[str]) -> list[str]:
        """What the metrics say nothing of, and what would; `learnt` are the groups that the bundle has vectors of."""
        found = []
        unlearnt = sorted(set(self.in_scope()[1]) - set(learnt)) if "head_accuracy" in metrics else []
        if unlearnt:
            some = f"{len(unlearnt)} groups that the bundle did not learn, such as {unlearnt[0]!r}"
            found.append(f"{some}, count as wrong in head_accuracy and head_macro_f1")
        of_labels = "micro_f1" in metrics
        n_strangers = len(self.sentences) - len(self.rows) if of_labels else len(self.strangers())
        if n_strangers and "oos_recall" not in metrics:
            how = "put them into the file with labels none" if of_labels else "--against FILE, what is stored, would"
            found.append(f"{n_strangers} out-of-scope sentences are not measured: {how}")
        if metrics.keys() <= {"n"}:
            found.append("nothing is measured: no group has two sentences; --against FILE, what is stored, would")
        return found

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
    texts, stored_groups = against.in_scope()
    stored = Sentences(texts, bundle.encoder.encode(texts), stored_groups)
    found = find_nearest(embeddings, stored.embeddings, exclude=None)
    metrics = {f"knn{k}": accuracy(vote(found, stored_groups, k), groups) for k in (1, 5)}
    if bundle.label_head is not None:
        return metrics  # there the labels decide
    parameters = bundle.manifest.decision
    gatherer = bundle.gatherer(bundle.deciding_head(set(stored_groups)), parameters)
    inside, outside = (
        gather_candidates(asked, stored, gatherer)
        for asked in (
            Sentences(sentences, embeddings, groups),
            Sentences(strangers, bundle.encoder.encode(strangers), [None] * len(strangers)),
        )
    )
    return metrics | decision_metrics(inside, outside, parameters)
