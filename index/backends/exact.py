"""Exact search by matrix products in NumPy: the oracle of every test, and the fastest up to some ten thousand rows."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.backends.filters import RowFilter, RowMask
from index.backends.rows import RowIndex
from index.ranking import ids_of, missing, rank, score_rows
from index.spec import IndexKind, IndexSpec
from index.types import Ids, Neighbours, Vectors

BLOCK_FLOATS: Final = 8_000_000
"""Numbers held at once (32 MB), so that memory does not grow with the number of queries."""

TIE: Final = 1e-6
"""Scores of a matrix product nearer than this may be equal in truth: both are candidates."""

DENSE: Final = 4
"""A mask that allows fewer than one row in so many is searched by copying those rows together first."""

SPARE: Final = 16
"""Candidates kept past k, so that ties at the k-th are seen."""


class ExactIndex(RowIndex):
    """Every row is scored; equal scores come in order of record id. Safe to search from many threads."""

    spec = IndexSpec(kind=IndexKind.EXACT)
    index_recall = 1.0

    def search_rows(self, queries: Vectors, k: int, only: RowFilter | None) -> Neighbours:
        """See FrozenIndex."""
        return search_exact(queries, self.rows.record_ids, self.rows.vectors, k, None if only is None else only.mask)


def search_exact(queries: Vectors, record_ids: Ids, vectors: Vectors, k: int, mask: RowMask | None) -> Neighbours:
    """Find the k best of the rows that the mask allows.

    Args:
        queries: (n_queries, dim) float32, checked.
        record_ids: (n,) int64, in any order.
        vectors: (n, dim) float32.
        k: At least 1; may exceed n.
        mask: (n,) bool; None allows all.

    Returns:
        (n_queries, k).
    """
    if mask is not None and np.count_nonzero(mask) * DENSE < len(mask):
        few = np.flatnonzero(mask)
        record_ids, vectors, mask = record_ids[few], vectors[few], None
    n_queries, n = len(queries), len(record_ids)
    answer = missing(n_queries, k)
    if n == 0:
        return answer
    step = max(1, BLOCK_FLOATS // max(n, min(n, k + SPARE) * vectors.shape[1]))
    for start in range(0, n_queries, step):
        block = _search_block(queries[start : start + step], record_ids, vectors, k, mask)
        answer.record_ids[start : start + step] = block.record_ids
        answer.scores[start : start + step] = block.scores
    return answer


def _search_block(queries: Vectors, record_ids: Ids, vectors: Vectors, k: int, mask: RowMask | None) -> Neighbours:
    products: NDArray[np.float32] = queries @ vectors.T
    if mask is not None:
        products[:, ~mask] = -np.inf
    n = len(record_ids)
    kept = min(n, k + SPARE)
    rows = np.argpartition(products, n - kept, axis=1)[:, n - kept :]
    if mask is not None:
        rows[~mask[rows]] = -1
    best = rank(ids_of(record_ids, rows), score_rows(queries, vectors, rows), k)
    if kept < n:
        worst = np.take_along_axis(products, rows, axis=1).min(axis=1)
        _settle_ties(best, worst, products, queries, record_ids, vectors)
    return best


def _settle_ties(
    best: Neighbours,
    worst: NDArray[np.float32],
    products: NDArray[np.float32],
    queries: Vectors,
    record_ids: Ids,
    vectors: Vectors,
) -> None:
    """Answer again, in place, the queries whose worst kept row is as good as the k-th: there may be more like it."""
    k = best.scores.shape[1]
    floor = best.scores[:, -1] - TIE
    for query in np.flatnonzero((worst >= floor) & np.isfinite(floor)):
        tied = np.flatnonzero(products[query] >= floor[query])[None, :]
        again = rank(ids_of(record_ids, tied), score_rows(queries[query : query + 1], vectors, tied), k)
        best.record_ids[query] = again.record_ids[0]
        best.scores[query] = again.scores[0]
