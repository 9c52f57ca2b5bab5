"""What the held-out rows can tell: known groups are classified, unseen ones are retrieved among themselves."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.config import Monitor, Objective
from model.config.kinds import OF_HEAD, OF_LABELS, OF_NEIGHBOURS, OF_RANKS
from model.contract.deciding.decision import Decision, DecisionParameters
from model.contract.deciding.head import Head, LabelHead
from model.data.training_data import TrainingData
from model.errors import ConfigError
from model.evaluation.label_metrics import label_head_metrics
from model.evaluation.metrics import accuracy, macro_f1, retrieval_metrics, vote
from model.evaluation.neighbours import nearest

_MOST_VOTES = 5


@dataclass(frozen=True, slots=True)
class LabelAnswers:
    """Confidence of every label in every held-out sentence, of a run with several labels a sentence.

    Attributes:
        names: The labels.
        confidences: (n_valid, n_labels) in [0, 1].
        thresholds: (n_labels,) or (1,): a label is given from it on.
    """

    names: tuple[str, ...]
    confidences: NDArray[np.float32]
    thresholds: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutAnswers:
    """What the encoder answered to sentences it did not learn from.

    Attributes:
        monitor: The metric that chose the checkpoint.
        embeddings: (n, dim) float32 unit rows of the training rows that are looked up and of the held-out ones.
        decisions: Of the held-out rows that are `answerable`, looked up among all the others; empty where rows have no
            groups.
        strangers: Of each out-of-scope sentence; where none was given, of the made ones.
        n_made: Made ones that took part in choosing the threshold.
        head_labels, head_given: The head's groups, and the one nearest to each held-out row; empty without a head.
        labels: Of a run with several labels a sentence.
    """

    monitor: str
    embeddings: NDArray[np.float32]
    decisions: tuple[Decision, ...] = ()
    strangers: tuple[Decision, ...] = ()
    n_made: int = 0
    head_labels: tuple[str, ...] = ()
    head_given: tuple[str, ...] = ()
    labels: LabelAnswers | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """Thresholds and figures from the held-out rows, and the answers behind them."""

    decision: DecisionParameters
    metrics: dict[str, float]
    answers: HeldOutAnswers | None = None


def answerable(groups: Sequence[str], n_looked_up: int) -> list[int]:
    """The held-out rows whose group has another row: whatever the others were answered, it would be wrong.

    Args:
        groups: Of the rows that are looked up, then of the held-out ones.
        n_looked_up: How many the former are.
    """
    sizes = Counter(groups)
    return [row for row in range(n_looked_up, len(groups)) if sizes[groups[row]] > 1]


class HeldOut:
    """The held-out rows of a run, the metric that chooses its checkpoint, and how many sentences that is a mean of.

    Args:
        data: The run's data. If most held-out groups occur in training they are a closed set: the head's accuracy is
            watched, or without a head that of the nearest training sentence. Otherwise it is hit_rate@1; with several
            labels a sentence, micro_f1.
        has_head: Whether the objective trains class vectors.
    """

    def __init__(self, data: TrainingData, *, has_head: bool) -> None:
        self.groups = [row.group or "" for row in data.valid]
        self._train_groups = [row.group or "" for row in data.train]
        self._multi_label = data.config.objective is Objective.MULTI_LABEL
        self._rows = data.valid
        known = set(data.labels)
        self._closed = sum(group in known for group in self.groups) > len(self.groups) / 2
        self.monitor = self._choose_monitor(data.config.monitor, has_head=has_head) if data.valid else ""
        unseen = not (self._multi_label or self._closed)  # of these only sentences with another of their group count
        self.n_measured = len(answerable(self.groups, 0) if unseen else self.groups)

    def _choose_monitor(self, wanted: Monitor, *, has_head: bool) -> str:
        if self._multi_label:
            names = [*OF_LABELS]
        elif not self._closed:
            names = [*OF_RANKS]
        else:
            names = [*(OF_HEAD if has_head else ()), *OF_NEIGHBOURS]
        names.append(Monitor.LOSS)
        if wanted not in (Monitor.AUTO, *names):
            raise ConfigError(f"monitor={wanted}: this run can watch {', '.join(names)}")
        return (names[0] if wanted is Monitor.AUTO else wanted).value

    def watch(
        self,
        valid: NDArray[np.float32],
        head: Head | None,
        label_head: LabelHead | None,
        encode_training: Callable[[], NDArray[np.float32]],
    ) -> Mapping[str, float]:
        """Metrics of an epoch: all that cost little, and the monitor.

        Args:
            valid: (n_valid, dim) embeddings.
            head, label_head: The class vectors as they are now, if any.
            encode_training: Embeds the training rows; called only where needed.
        """
        if self._multi_label or not self._closed:
            return self.measure(valid, valid[:0], head, label_head)
        of_head = head_metrics(head, valid, self.groups) if head else {}
        return of_head | (self._knn_metrics(valid, encode_training()) if self.monitor in OF_NEIGHBOURS else {})

    def measure(
        self,
        valid: NDArray[np.float32],
        train: NDArray[np.float32],
        head: Head | None,
        label_head: LabelHead | None = None,
    ) -> dict[str, float]:
        """All metrics that apply."""
        if label_head is not None:
            thresholds = np.full(len(label_head.labels), 0.5)
            return label_head_metrics(label_head.labels, label_head.confidences(valid), self._rows, thresholds)
        if not self._closed:
            return retrieval_metrics(valid, self.groups)
        of_head = head_metrics(head, valid, self.groups) if head else {}
        return of_head | self._knn_metrics(valid, train)

    def _knn_metrics(self, valid: NDArray[np.float32], train: NDArray[np.float32]) -> dict[str, float]:
        found = nearest(valid, train, _MOST_VOTES)
        return {f"knn{k}": accuracy(vote(found, self._train_groups, k), self.groups) for k in (1, _MOST_VOTES)}


def head_metrics(head: Head, embeddings: NDArray[np.float32], groups: list[str]) -> dict[str, float]:
    """Accuracy and macro-F1 of the head's argmax."""
    predicted = best_labels(head, embeddings)
    return {"head_accuracy": accuracy(predicted, groups), "head_macro_f1": macro_f1(predicted, groups)}


def best_labels(head: Head, embeddings: NDArray[np.float32]) -> list[str]:
    """The group whose class vector is nearest to each embedding."""
    return [head.labels[int(cosines.argmax())] for cosines in head.cosines_of_each(embeddings)]
