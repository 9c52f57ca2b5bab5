"""Which records a filter lets through, as a mask over record ids; kept, since clients ask with the same filters."""

import math
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass
from itertools import count
from typing import Final
from weakref import WeakSet

import numpy as np

from app.serving.catalogue.catalogue import CatalogueView
from app.serving.catalogue.change_terms import ChangeTerms, Passing
from app.serving.catalogue.sidecar import Sidecar
from app.serving.catalogue.terms import AnyOf, Condition, Filter
from index.types import Allowed

MOST_BYTES: Final = 64 << 20
"""Of all masks that a release keeps, with their filters; the last one asked for is kept even if it is larger."""

MOST_BYTES_OF_ALL: Final = 256 << 20
"""Of all releases together, of which there may be hundreds: a mask is as long as record ids go, however few records."""

MOST_MASKS: Final = 1_000
"""Of a release, however small they are: each is some objects, which the garbage collector looks through."""


_ALL: Final[WeakSet["FilterMasks"]] = WeakSet()
_LOCK: Final = threading.Lock()  # guards that and what each of them keeps
_TURNS: Final = count()


@dataclass(slots=True)
class _Kept:
    """A mask, the moment it is of, the bytes of its filter, and when it was asked for last."""

    n_changes: int
    allowed: Allowed
    n_filter_bytes: int
    turn: int = 0

    @property
    def n_bytes(self) -> int:
        return self.n_filter_bytes + self.allowed.nbytes


class FilterMasks:
    """Masks of one release. The same moment gets the very same array, which nobody may change."""

    def __init__(self) -> None:
        self._sidecar: Sidecar | None = None
        self._changes = ChangeTerms()
        self._kept: OrderedDict[Filter, _Kept] = OrderedDict()
        self._n_bytes = 0  # of all that is kept
        with _LOCK:
            _ALL.add(self)

    def of(self, view: CatalogueView, wanted: Filter) -> Allowed:
        """The mask of a filter at one moment.

        Returns:
            (any length,) bool over record ids; ids past its end are not allowed.
        """
        with _LOCK:
            return self._of(view, wanted)

    def _of(self, view: CatalogueView, wanted: Filter) -> Allowed:
        if view.sidecar is not self._sidecar:  # the masks of a snapshot go with it, and let its files go
            self._kept.clear()
            self._n_bytes = 0
            self._sidecar, self._changes = view.sidecar, ChangeTerms()
        before = self._kept.get(wanted)
        if before is not None and before.n_changes == view.n_changes:
            self._kept.move_to_end(wanted)
            before.turn = next(_TURNS)
            return before.allowed
        kept = before
        if kept is None or kept.n_changes > view.n_changes:
            kept = _Kept(0, _of_sidecar(view.sidecar, wanted), _filter_bytes(wanted))
        if kept.n_changes < view.n_changes:
            parts = list(self._changes.passing(view, kept.n_changes, wanted))
            kept = _Kept(view.n_changes, _changed(kept.allowed, parts), kept.n_filter_bytes)
        self._keep(wanted, kept, before)
        return kept.allowed

    def _keep(self, wanted: Filter, kept: _Kept, before: _Kept | None) -> None:
        self._n_bytes += kept.n_bytes - (0 if before is None else before.n_bytes)
        self._kept[wanted] = kept
        self._kept.move_to_end(wanted)
        kept.turn = next(_TURNS)
        while len(self._kept) > 1 and (self._n_bytes > MOST_BYTES or len(self._kept) > MOST_MASKS):
            self._forget_oldest()
        while sum(masks._n_bytes for masks in _ALL) > MOST_BYTES_OF_ALL:
            first = min(_ALL, key=FilterMasks._oldest_turn)
            if first is self and len(self._kept) == 1:
                break
            first._forget_oldest()

    def _oldest_turn(self) -> float:
        return next((kept.turn for kept in self._kept.values()), math.inf)

    def _forget_oldest(self) -> None:
        _, oldest = self._kept.popitem(last=False)
        self._n_bytes -= oldest.n_bytes


def _filter_bytes(wanted: Filter) -> int:
    """About the memory that a filter takes, nearly all of which is its terms."""
    return sum(map(_condition_bytes, wanted.conditions))


def _condition_bytes(condition: Condition) -> int:
    if isinstance(condition, AnyOf):
        return sys.getsizeof(condition.terms) + sum(map(sys.getsizeof, condition.terms))
    return sys.getsizeof(condition.low) + sys.getsizeof(condition.high)


def _of_sidecar(sidecar: Sidecar | None, wanted: Filter) -> Allowed:
    if sidecar is None or not len(sidecar):
        return np.zeros(0, np.bool_)
    allowed = np.zeros(int(sidecar.record_ids[-1]) + 1, np.bool_)
    allowed[sidecar.record_ids[sidecar.mask(wanted)]] = True
    return allowed


def _changed(allowed: Allowed, parts: list[Passing]) -> Allowed:
    """The mask after some changes, as another array."""
    length = max(len(allowed), *(int(part.record_ids.max(initial=-1)) + 1 for part in parts))
    after = np.zeros(length, np.bool_)
    after[: len(allowed)] = allowed
    for part in parts:
        after[part.record_ids] = part.passes
    return after
