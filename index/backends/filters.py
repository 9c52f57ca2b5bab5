"""Which rows a search may answer: masks over the rows of one index, and what back ends derive from them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from index.types import Allowed, Ids

RowMask = NDArray[np.bool_]
"""(n_rows,) mask over the rows of one index: row r may be answered if `mask[r]`."""

SCATTERED: Final = 4.0
"""Up to so many times the unevenness that chance would give, a filter does not care where rows lie."""


LIGHT_SHARE: Final = 0.8
"""A filter that leaves this share of all rows hardly changes where neighbours are: tombstones, above all."""


class Lists:
    """How the rows of an index are divided into lists.

    Attributes:
        of_rows: (n_rows,) int32, the list of each row.
        sizes: (nlist,) int64, the rows of each list.
    """

    def __init__(self, of_rows: NDArray[np.int32], nlist: int) -> None:
        self.of_rows = of_rows
        self.sizes = np.bincount(of_rows, minlength=nlist)


class RowFilter:
    """The rows that a search may answer; what is derived from them is computed once, when first needed.

    Threads may share one: each derived value is the same whichever thread computes it.

    Args:
        mask: (n_rows,), not changed afterwards.
        lists: Of back ends that divide their rows into lists.
        like: A filter that leaves about the same rows: what is said about the lists is taken from it.
    """

    def __init__(self, mask: RowMask, lists: Lists | None = None, like: "RowFilter | None" = None) -> None:
        self.mask = mask
        self._lists = lists
        self._like = like

    def among(self, live: "RowFilter") -> "RowFilter":
        """The rows that both filters leave."""
        return RowFilter(self.mask & live.mask, self._lists, self if live.is_light else None)

    @cached_property
    def count(self) -> int:
        return int(np.count_nonzero(self.mask))

    @property
    def is_light(self) -> bool:
        """Whether it leaves most of the rows."""
        return self.count >= LIGHT_SHARE * len(self.mask)

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """(count,) positions, ascending."""
        return np.flatnonzero(self.mask)

    @cached_property
    def bits(self) -> NDArray[np.uint8]:
        """The mask as FAISS reads it: eight rows to a byte, lowest first."""
        return np.packbits(self.mask, bitorder="little")

    @cached_property
    def rows_per_list(self) -> NDArray[np.int64]:
        """(nlist,) allowed rows of each list."""
        assert self._lists is not None
        if self._like is not None:
            return self._like.rows_per_list
        of_rows, sizes = self._lists.of_rows, self._lists.sizes
        if self.is_light:  # tombstones, anew with every delete: the few rows that are not left are counted
            return sizes - np.bincount(of_rows[~self.mask], minlength=len(sizes))
        return np.bincount(of_rows[self.mask], minlength=len(sizes))

    @cached_property
    def is_scattered(self) -> bool:
        """Whether all lists are left about the same share of their rows, as if chance had chosen."""
        assert self._lists is not None
        if self._like is not None:
            return self._like.is_scattered
        sizes, left = self._lists.sizes, self.rows_per_list
        share = left.sum() / max(1, sizes.sum())
        # Pearson's chi-squared, which is about the number of lists if chance has chosen.
        unevenness = ((left - share * sizes) ** 2 / np.maximum(sizes * share * (1 - share), 1e-9)).sum()
        return bool(unevenness <= SCATTERED * len(sizes))


@dataclass(slots=True)
class _Prepared:
    """A filter with the mask it was made from, and the live rows it was last combined with."""

    allowed: "ref[Allowed]"
    filter: RowFilter
    among: tuple[RowFilter, RowFilter] | None = None


class PreparedFilters:
    """Filters of the masks over record ids that callers search with: made once, kept while the caller keeps the mask.

    Threads may share it: two that ask at once for a new mask both make its filter, and one of the two is kept.
    """

    def __init__(self) -> None:
        self._prepared: dict[int, _Prepared] = {}

    def of(self, allowed: Allowed, live: RowFilter | None, make: Callable[[Allowed], RowFilter]) -> RowFilter:
        """The filter of a mask.

        Args:
            allowed: (any length,) bool, the same array as before if it is the same mask; never changed afterwards.
            live: Rows that are not dead; None means all.
            make: From a mask over record ids to a filter; the same every time.
        """
        prepared = self._prepared.get(id(allowed))
        if prepared is None or prepared.allowed() is not allowed:
            prepared = self._keep(allowed, make(allowed))
        if live is None:
            return prepared.filter
        among = prepared.among
        if among is None or among[0] is not live:
            among = prepared.among = (live, prepared.filter.among(live))
        return among[1]

    def _keep(self, allowed: Allowed, made: RowFilter) -> _Prepared:
        key, kept = id(allowed), self._prepared

        def forget(_: object) -> None:
            kept.pop(key, None)

        # Python calls `forget` before the number can be given to another object.
        prepared = kept[key] = _Prepared(ref(allowed, forget), made)
        return prepared


def allowed_rows(record_ids: Ids, allowed: Allowed) -> RowMask:
    """A mask over record ids, as a mask over rows.

    Args:
        record_ids: (n,) int64, in any order.
        allowed: (any length,) bool; ids past its end are not allowed.

    Returns:
        (n,) bool.
    """
    inside = record_ids < len(allowed)
    if inside.all():
        return allowed[record_ids]
    mask = np.zeros(len(record_ids), dtype=np.bool_)
    mask[inside] = allowed[record_ids[inside]]
    return mask
