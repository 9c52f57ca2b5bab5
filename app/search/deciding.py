"""What a release decides on sentences: by the groups of their neighbours and its head, or by the labels of its head."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from app.search.head_groups import HeadGroups
from app.search.lookup import Found
from app.serving.catalogue.catalogue import CatalogueView, GroupSizes
from app.serving.release import ServingRelease
from model.contract.deciding.decision import Decision, decide, decide_labels
from model.contract.deciding.evidence import EvidenceGatherer, Neighbour
from model.contract.deciding.prior import Prior


@dataclass(slots=True)
class _Gatherer:
    """Gathers for the part of a head whose labels are groups of the collection; None where no head counts."""

    labels: HeadGroups | None
    gatherer: EvidenceGatherer
    groups: GroupSizes | None = None
    version: int = -1
    rows: NDArray[np.int64] | None = None

    def bring_up(self, release: ServingRelease, groups: GroupSizes, version: int) -> None:
        """Know which groups there are; the part of the head is copied only where it is another one then."""
        self.groups, self.version, head = groups, version, release.bundle.head
        if self.labels is None or head is None:
            return
        rows = self.labels.rows(groups)
        if self.rows is None or not np.array_equal(rows, self.rows):
            self.gatherer = release.bundle.gatherer(head.keep(rows.tolist()), release.parameters)
            self.rows = rows


class Decider:
    """Decides by neighbours and head; remembers, for each release, which labels of its head are groups."""

    def __init__(self) -> None:
        self._gatherers: WeakKeyDictionary[ServingRelease, _Gatherer] = WeakKeyDictionary()

    def decide(
        self, release: ServingRelease, sentences: Sequence[str], found: Found, prior: Prior | None = None
    ) -> Iterator[Decision]:
        """Decide on sentences, each by products of its own: a product over many at once may round differently.

        Each decision is made when it is asked for: with ten thousand groups one takes milliseconds.

        Args:
            release: Whose catalogue, head and thresholds to use.
            sentences: What was asked.
            found: Their embeddings and neighbours.
            prior: How often each group is asked for, if the client knows.

        Returns:
            One a sentence.
        """
        decisions = self._by_groups(release, sentences, found, prior)
        head = release.bundle.label_head
        if head is None:
            yield from decisions
            return
        thresholds = release.parameters.thresholds_of(head.labels)
        for decision, text, row in zip(decisions, sentences, found.embeddings[:, None], strict=True):
            confidences = release.bundle.label_confidences([text], row)[0]
            yield decide_labels(decision, confidences, head.labels, thresholds)

    def _by_groups(
        self, release: ServingRelease, sentences: Sequence[str], found: Found, prior: Prior | None
    ) -> Iterator[Decision]:
        parameters, gatherer = release.parameters, self._gatherer(release, found.catalogue.groups)
        head = gatherer.head
        tau = parameters.logit_adjustment_tau if prior is None else 1.0
        shifts = gatherer.shifts(prior, parameters.scale, tau)
        for row, (text, embedding) in enumerate(zip(sentences, found.embeddings, strict=True)):
            neighbours = _neighbours(found.catalogue, found.record_ids[row], found.scores[row])
            cosines: NDArray[np.float32] | None = None if head is None else head.weights @ embedding
            yield decide(gatherer.gather(text, cosines, neighbours, shifts), parameters, prior)

    def _gatherer(self, release: ServingRelease, groups: GroupSizes) -> EvidenceGatherer:
        known = self._gatherers.get(release)
        if known is None:
            head = release.bundle.head if release.parameters.uses_head else None
            without_head = release.bundle.gatherer(None, release.parameters)
            known = _Gatherer(None if head is None else HeadGroups(head.labels), without_head)
            self._gatherers[release] = known
        version = groups.version
        if (known.groups, known.version) != (groups, version):
            known.bring_up(release, groups, version)
        return known.gatherer


def _neighbours(catalogue: CatalogueView, record_ids: list[int], scores: list[float]) -> list[Neighbour]:
    """The neighbours that there are."""
    entries = zip(catalogue.find(record_ids), scores, strict=True)
    return [Neighbour(entry.group, entry.text, score) for entry, score in entries if entry is not None]
