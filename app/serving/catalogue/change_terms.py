"""Which changes since a snapshot pass a filter: their terms are collected once, for whatever filters come."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.serving.catalogue.catalogue import CatalogueView
from app.serving.catalogue.entry import Entry
from app.serving.catalogue.posting_table import collect
from app.serving.catalogue.postings import Postings
from app.serving.catalogue.terms import Filter, terms_of
from index.types import Ids

BLOCK: Final = 2_000
"""Changes whose terms are collected together. Fewer are looked at one by one, by each filter."""


class Passing(NamedTuple):
    """(n,) int64 records that changed, each once, and (n,) bool: whether a filter lets them through now."""

    record_ids: Ids
    passes: NDArray[np.bool_]


class _Block(NamedTuple):
    """The records of some changes, whether they are there after these, and the rows of their terms."""

    record_ids: Ids
    is_there: NDArray[np.bool_]
    postings: Postings


class ChangeTerms:
    """The terms of the changes since one snapshot. For one thread at a time."""

    def __init__(self) -> None:
        self._blocks: list[_Block] = []

    def passing(self, view: CatalogueView, start: int, wanted: Filter) -> Iterator[Passing]:
        """What a filter makes of the changes, in parts: what a later one says of a record counts.

        Args:
            view: The moment up to which.
            start: The number of the first change. Some before it may be there too.
            wanted: The filter.
        """
        if view.n_changes - start >= BLOCK:
            for number in range(start // BLOCK, view.n_changes // BLOCK):
                block = self._block(view, number)
                mask = block.postings.mask(wanted, len(block.record_ids))
                yield Passing(block.record_ids, mask & block.is_there)
            start = max(start, view.n_changes // BLOCK * BLOCK)
        record_ids, entries = _records(view, start, view.n_changes)
        yield Passing(record_ids, np.array([_matches(entry, wanted) for entry in entries], np.bool_))

    def _block(self, view: CatalogueView, number: int) -> _Block:
        while len(self._blocks) <= number:
            start = len(self._blocks) * BLOCK
            record_ids, entries = _records(view, start, start + BLOCK)
            table = collect([] if entry is None else _terms(entry) for entry in entries)
            is_there = np.array([entry is not None for entry in entries], np.bool_)
            self._blocks.append(_Block(record_ids, is_there, Postings(table)))
        return self._blocks[number]


def _records(view: CatalogueView, start: int, end: int) -> tuple[Ids, list[Entry | None]]:
    changes = list(view.changes(start, end))
    return np.array([record_id for record_id, _ in changes], np.int64), [entry for _, entry in changes]


def _matches(entry: Entry | None, wanted: Filter) -> bool:
    return entry is not None and wanted.matches(_terms(entry))


def _terms(entry: Entry) -> list[bytes]:
    return terms_of(entry.group, entry.read_metadata())
