"""Which records a filter lets through, as a mask over record ids; kept, since clients ask with the same filters."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.serving.catalogue import CatalogueView
from app.serving.entry import Entry
from app.serving.sidecar import Sidecar
from app.serving.terms import Filter, terms_of
from index.types import Allowed

MOST_BYTES: Final = 64 << 20
"""Of all masks that a release keeps; the last one asked for is kept even if it is larger."""


@dataclass(slots=True)
class _Kept:
    """A mask and the moment it is of."""

    n_changes: int
    allowed: Allowed


class FilterMasks:
    """Masks of one release. The same moment gets the very same array, which nobody may change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards what is kept: a base that moves to a server changes the thread too
        self._sidecar: Sidecar | None = None
        self._kept: OrderedDict[Filter, _Kept] = OrderedDict()

    def of(self, view: CatalogueView, wanted: Filter) -> Allowed:
        """The mask of a filter at one moment.

        Returns:
            (any length,) bool over record ids; ids past its end are not allowed.
        """
        with self._lock:
            return self._of(view, wanted)

    def _of(self, view: CatalogueView, wanted: Filter) -> Allowed:
        if view.sidecar is not self._sidecar:  # the masks of a snapshot go with it, and let its files go
            self._kept.clear()
            self._sidecar = view.sidecar
        kept = self._kept.get(wanted)
        if kept is None or kept.n_changes > view.n_changes:
            kept = _Kept(0, _of_sidecar(view.sidecar, wanted))
        if kept.n_changes < view.n_changes:
            changes = view.changes(kept.n_changes)
            kept = _Kept(view.n_changes, _changed(kept.allowed, dict(changes), wanted))
        self._kept[wanted] = kept
        self._kept.move_to_end(wanted)
        self._bound()
        return kept.allowed

    def _bound(self) -> None:
        while len(self._kept) > 1 and sum(kept.allowed.nbytes for kept in self._kept.values()) > MOST_BYTES:
            self._kept.popitem(last=False)


def _of_sidecar(sidecar: Sidecar | None, wanted: Filter) -> Allowed:
    if sidecar is None or not len(sidecar):
        return np.zeros(0, np.bool_)
    allowed = np.zeros(int(sidecar.record_ids[-1]) + 1, np.bool_)
    allowed[sidecar.record_ids[sidecar.mask(wanted)]] = True
    return allowed


def _changed(allowed: Allowed, changes: dict[int, Entry | None], wanted: Filter) -> Allowed:
    """The mask after some changes, as another array."""
    length = max(len(allowed), max(changes) + 1)
    after = np.zeros(length, np.bool_)
    after[: len(allowed)] = allowed
    for record_id, entry in changes.items():
        after[record_id] = entry is not None and wanted.matches(terms_of(entry.group, entry.read_metadata()))
    return after
