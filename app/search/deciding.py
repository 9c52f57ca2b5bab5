"""Which groups a sentence may belong to, and the decision among them by the release's thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from app.serving.release import ServingRelease
from model.contract.decision import Decision, best_by_group, decide, head_candidates


@dataclass(frozen=True, slots=True)
class _Head:
    """The part of a head whose labels are groups of the collection."""

    groups_version: int
    labels: tuple[str, ...]
    weights: NDArray[np.float32]
    positions: dict[str, int]


class Decider:
    """Decides by neighbours and head; remembers, for each release, which labels of its head are groups."""

    def __init__(self) -> None:
        self._heads: WeakKeyDictionary[ServingRelease, _Head] = WeakKeyDictionary()

    def decide(
        self,
        release: ServingRelease,
        embedding: NDArray[np.float32],
        record_ids: Sequence[int],
        scores: Sequence[float],
    ) -> Decision:
        """Decide on one sentence.

        Args:
            release: Whose catalogue, head and thresholds to use.
            embedding: (dim,) float32.
            record_ids: Its neighbours, best first.
            scores: Their cosines.
        """
        groups: list[str | None] = []
        known: list[float] = []
        for record_id, score in zip(record_ids, scores, strict=True):
            entry = release.catalogue.find(record_id)
            if entry is not None:
                groups.append(entry.group)
                known.append(score)
        by_group = best_by_group(groups, known)
        return decide(by_group, self._head_cosines(release, embedding, by_group), release.parameters)

    def _head_cosines(
        self, release: ServingRelease, embedding: NDArray[np.float32], by_group: dict[str, float]
    ) -> dict[str, float]:
        if release.bundle.head is None or release.parameters.head_weight == 0:
            return {}
        head = self._head(release)
        return head_candidates(head.weights @ embedding, head.labels, head.positions, by_group)

    def _head(self, release: ServingRelease) -> _Head:
        head, version = self._heads.get(release), release.catalogue.groups_version
        if head is None or head.groups_version != version:
            head = self._heads[release] = _head_of(release, version)
        return head


def _head_of(release: ServingRelease, version: int) -> _Head:
    whole = release.bundle.head
    assert whole is not None
    kept = [row for row, label in enumerate(whole.labels) if release.catalogue.has_group(label)]
    labels = tuple(whole.labels[row] for row in kept)
    return _Head(version, labels, whole.weights[kept], {label: position for position, label in enumerate(labels)})
