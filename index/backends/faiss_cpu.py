"""FAISS on the CPU: what its back ends share, and the search of all rows.

The vectors stay in `Rows`, where they may be memory-mapped: FAISS reads them there or holds short codes of them, and
every score that is answered is computed from them by `score_rows`. Nothing changes an index once it is built: FAISS
crashes when one thread searches while another adds or removes.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.backends.exact import SPARE, TIE, search_exact
from index.backends.filters import RowFilter
from index.backends.rows import RowIndex, Rows
from index.errors import BackendMissingError
from index.ranking import ids_of, rank, score_rows
from index.spec import IndexKind, IndexSpec
from index.types import Neighbours, Vectors

COPY_QUERIES: Final = 4
"""From so many queries on, copying the allowed rows together pays: one matrix product scores them for all."""


def load_faiss() -> Any:
    """Import FAISS where it is needed, so that an exact index needs none.

    Raises:
        BackendMissingError: With the command that installs it.
    """
    try:
        import faiss
    except ImportError as error:
        raise BackendMissingError(
            f"faiss cannot be imported ({error}): pip install 'samesay[cpu]', or [gpu] on a GPU machine"
        ) from error
    return faiss


class FaissIndex(RowIndex):
    """What both kinds share: FAISS, the number of threads of a search, and answers without it."""

    def __init__(self, rows: Rows, threads: int) -> None:
        super().__init__(rows)
        self.threads = threads
        self.faiss = load_faiss()

    def exact(self, queries: Vectors, k: int, only: RowFilter | None) -> Neighbours:
        """Answer with every allowed row scored."""
        if only is not None and len(queries) < COPY_QUERIES and only.count >= k:
            return self.best_of(queries, np.tile(only.rows, (len(queries), 1)), k)
        mask = None if only is None else only.mask
        return search_exact(queries, self.rows.record_ids, self.rows.vectors, k, mask)

    def settle(
        self, best: Neighbours, doubtful: NDArray[np.bool_], queries: Vectors, only: RowFilter | None
    ) -> Neighbours:
        """Answer some queries again, without FAISS.

        Args:
            best: (n_queries, k) answers, changed in place.
            doubtful: (n_queries,) bool, the queries to answer again.
            queries: (n_queries, dim) float32.
            only: The filter; None allows all.
        """
        if doubtful.any():
            exact = self.exact(queries[doubtful], best.scores.shape[1], only)
            best.record_ids[doubtful] = exact.record_ids
            best.scores[doubtful] = exact.scores
        return best

    def best_of(self, queries: Vectors, candidates: NDArray[np.int64], k: int) -> Neighbours:
        """The k best of each query's candidates.

        FAISS scores them where they lie, without a copy. `score_rows`, whose scores answers hold, is left with those
        that may be among the k best, ties with the k-th included.

        Args:
            queries: (n_queries, dim) float32, contiguous.
            candidates: (n_queries, m) int64 rows, contiguous, m at least k; -1 where there is none.
            k: At least 1.
        """
        near = self.score_in_place(queries, candidates)
        floor = np.partition(near, near.shape[1] - k, axis=1)[:, -k] - np.float32(TIE)
        kept = int((near >= floor[:, None]).sum(axis=1).max(initial=k))
        if kept < near.shape[1]:
            order = np.argpartition(near, near.shape[1] - kept, axis=1)[:, -kept:]
            candidates = candidates[np.arange(len(order))[:, None], order]
        scores = score_rows(queries, self.rows.vectors, candidates)
        return rank(ids_of(self.rows.record_ids, candidates), scores, k)

    def score_in_place(self, queries: Vectors, candidates: NDArray[np.int64]) -> NDArray[np.float32]:
        """Cosines of each query with its candidates, as FAISS sums them: the last bits may differ from `score_rows`.

        Args:
            queries: (n_queries, dim) float32, contiguous.
            candidates: (n_queries, m) int64 rows, contiguous, -1 where there is none.

        Returns:
            (n_queries, m) float32, -inf where there is no candidate.
        """
        scores = np.full(candidates.shape, -np.inf, dtype=np.float32)
        pointers = map(self.faiss.swig_ptr, (scores, queries, self.rows.vectors, candidates))
        self.limit_threads()
        self.faiss.fvec_inner_products_by_idx(*pointers, self.dim, *candidates.shape)
        return scores

    def limit_threads(self) -> None:
        """Before every call of FAISS: how many threads it may use."""
        # OpenMP keeps this number for each calling thread, so setting it once for the process would not do.
        self.faiss.omp_set_num_threads(self.threads)


class FlatIndex(FaissIndex):
    """Every row is scored by FAISS, straight from `rows`: nothing is held twice. Safe to search from many threads."""

    spec = IndexSpec(kind=IndexKind.FLAT)
    index_recall = 1.0

    def __init__(self, rows: Rows, *, threads: int = 1) -> None:
        super().__init__(rows, threads)

    def search_rows(self, queries: Vectors, k: int, only: RowFilter | None) -> Neighbours:
        """See FrozenIndex."""
        if only is not None or len(self) <= k + SPARE:
            return self.exact(queries, k, only)
        self.limit_threads()
        _, candidates = self.faiss.knn(queries, self.rows.vectors, k + SPARE, self.faiss.METRIC_INNER_PRODUCT)
        scores = score_rows(queries, self.rows.vectors, candidates)
        best = rank(self.rows.record_ids[candidates], scores, k)
        return self.settle(best, scores.min(axis=1) >= best.scores[:, -1] - TIE, queries, only)
