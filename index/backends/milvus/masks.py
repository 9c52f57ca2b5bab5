"""How a mask is asked of a server: as a list of record ids where that is short, else by sifting answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from weakref import ref

import numpy as np

from index.backends.filters import RowFilter
from index.backends.milvus.expressions import ANY_RECORD, ids_below, ids_in, ids_not_in
from index.types import Allowed, Ids

LISTED_IDS: Final = 2_000
"""Ids that an expression may name for a single search: 4 us each, measured."""

MOST_SIFTED: Final = 16
"""Rows asked for each one wanted, at most: where the mask allows fewer than one record in so many, lists cost less."""

IDS_AT_ONCE: Final = 50_000
"""Ids in one expression (some 500 kB), where there is no better way."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What to ask for, and what to keep of the answers.

    Attributes:
        where: Expressions; the answers to each are merged. None: nothing is allowed.
        share: Of the rows found, about so many pass the mask; 1 where the expressions say it all.
    """

    where: tuple[str, ...]
    share: float = 1.0


EVERYTHING: Final = Asked(("",))


def ask_for(allowed: Allowed) -> Asked:
    """The cheapest way to ask for the records that a mask allows.

    Args:
        allowed: (any length,) bool; ids past its end are not allowed.
    """
    count = int(np.count_nonzero(allowed))
    if count <= LISTED_IDS:
        return ask_by_lists(allowed)
    if len(allowed) - count <= LISTED_IDS:
        return Asked((ids_below(len(allowed), np.flatnonzero(~allowed)),))
    if count * MOST_SIFTED < len(allowed):
        return ask_by_lists(allowed)
    nothing_else = np.empty(0, np.int64)
    return Asked((ids_below(len(allowed), nothing_else),), count / len(allowed))


def ask_by_lists(allowed: Allowed) -> Asked:
    """Name every id: always right, and dear where there are many."""
    return _named(np.flatnonzero(allowed))


def ask_for_rows(record_ids: Ids, only: RowFilter) -> Asked:
    """The cheapest way to ask for some rows of a base, out of all that the server has.

    Args:
        record_ids: (n,) int64, of all rows.
        only: The rows.
    """
    if only.is_light:  # tombstones, above all: another filter with every write, so that nothing is spelt out for it
        return Asked(("",), only.count / len(record_ids))
    if only.count <= LISTED_IDS or only.count * MOST_SIFTED < len(record_ids):
        return _named(record_ids[only.rows])
    return Asked((ANY_RECORD,), only.count / len(record_ids))


def ask_for_rows_by_name(record_ids: Ids, only: RowFilter) -> Asked:
    """Name the rows, or those that are not wanted if they are few: always right, and dear where there are many."""
    if len(record_ids) - only.count <= IDS_AT_ONCE:
        return Asked((ids_not_in(record_ids[~only.mask]),))
    return _named(record_ids[only.rows])


def _named(ids: Ids) -> Asked:
    parts = range(0, len(ids), IDS_AT_ONCE)
    return Asked(tuple(ids_in(ids[start : start + IDS_AT_ONCE]) for start in parts))


T = TypeVar("T", Allowed, RowFilter)


class AskedBefore(Generic[T]):
    """What was asked for the masks that callers keep: worked out once for the very same object."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, Callable[[T], Asked]], tuple[ref[T], Asked]] = {}

    def of(self, mask: T, how: Callable[[T], Asked]) -> Asked:
        """As `how` says, but kept as long as the mask is; threads may share this."""
        key = (id(mask), how)
        before = self._kept.get(key)
        if before is not None and before[0]() is mask:
            return before[1]
        asked, kept = how(mask), self._kept

        def forget(_: object) -> None:
            kept.pop(key, None)

        kept[key] = (ref(mask, forget), asked)
        return asked
