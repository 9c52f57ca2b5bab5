"""A release in memory: encoder, index, catalogue and thresholds that belong together, behind one reference."""

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.feedback.keeping import FeedbackSettings
from app.serving.catalogue.catalogue import Catalogue, CatalogueView
from app.serving.catalogue.masks import FilterMasks
from app.serving.release_key import ReleaseKey
from app.serving.repository import ChangedRecords
from app.serving.snapshots.base import Base
from index.live import LiveIndex
from index.state import LiveState
from model.contract.bundle import Bundle
from model.contract.deciding.decision import DecisionParameters


@dataclass(frozen=True, slots=True)
class View:
    """One moment of a release: index and catalogue complete up to the same change.

    Attributes:
        known_seq: The newest change that any of its records may show: they are read as they are, not as they were.
        tag: What the change log knows that one by.
        base: The snapshot under the index.
    """

    index: LiveState
    catalogue: CatalogueView
    known_seq: int
    tag: int
    base: Base

    @property
    def applied_seq(self) -> int:
        """The sequence number up to which every change is in here."""
        return self.index.applied_seq

    @property
    def n_changes(self) -> int:
        """Changes that searches have to work around, or that a restart has to apply again."""
        return max(self.index.changes, self.catalogue.n_changes)


class ServingRelease:
    """All that a request needs. It takes one `view` and answers from that.

    One thread applies changes, another may put a new base under them; readers take no lock. Another load of the same
    release is another object, equal to itself alone.

    Args:
        key: Which one.
        bundle: The encoder, with its head.
        parameters: The thresholds.
        base: The snapshot to start from.
        target_recall: index_recall@10 that the next snapshot is tuned for.
        keeping: Which queries to keep; None for none.
    """

    def __init__(
        self,
        key: ReleaseKey,
        bundle: Bundle,
        parameters: DecisionParameters,
        base: Base,
        target_recall: float,
        keeping: FeedbackSettings | None = None,
    ) -> None:
        self.key, self.bundle, self.parameters = key, bundle, parameters
        self.target_recall, self.keeping = target_recall, keeping
        self.shadow_share = 0.0
        """Share of the queries that it is asked beside the one that answers."""
        self.erasures = 0
        """How often texts of its collection had been erased at the last look; see `Collection.erasures`."""
        self.is_stale = False
        """Set where the snapshot under it turned out damaged or replaced: it answers, and is to be loaded again."""
        self.masks = FilterMasks()
        self._changing = threading.Lock()  # guards the three below: index and catalogue change together
        self._index = LiveIndex(base.index, applied_seq=base.applied_seq)
        self._catalogue = Catalogue(base.sidecar)
        self.view = View(self._index.state, self._catalogue.view, base.known_seq, base.tag, base)
        """The newest moment; replaced as a whole."""

    @property
    def applied_seq(self) -> int:
        """The sequence number up to which searches find every change."""
        return self.view.applied_seq

    def apply(self, changes: ChangedRecords, encoded: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Apply a batch of the change log; searches see all of it or nothing.

        Args:
            changes: The batch.
            encoded: (n,) int64 record_ids of those whose vector is new.
            vectors: (n, dim) float32, theirs.
        """
        with self._changing:
            catalogue = self._catalogue.apply(changes.entries, changes.gone)
            self._index.apply(encoded, vectors, np.array(changes.gone, np.int64), changes.last_seq)
            self.view = View(self._index.state, catalogue, changes.known_seq, changes.tag, self.view.base)

    def rebase(self, base: Base, built_from: View) -> None:
        """Put another snapshot under the changes that came since it was built.

        Args:
            base: Holds the records of `built_from`, and nothing else.
            built_from: An earlier view of this release.
        """
        with self._changing:
            catalogue = self._catalogue.rebased(base.sidecar, built_from.catalogue)
            self._index.rebase(base.index, built_from.index)
            self._catalogue = catalogue
            self.view = View(self._index.state, catalogue.view, self.view.known_seq, self.view.tag, base)
