"""FAISS inverted lists with 4-bit product codes, scanned fast; the best candidates scored again in float."""

import math
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.backends.faiss_cpu import FaissIndex, load_faiss
from index.backends.filters import Lists, RowFilter, RowMask
from index.backends.rows import FrozenIndex, Rows
from index.backends.trial import TUNED_K, Trials
from index.ranking import missing
from index.spec import IndexSpec, choose_pq_m
from index.types import Neighbours, Vectors

MOST_AS_TUNED: Final = 40
"""So many neighbours are found with the lists tuned for TUNED_K; more need more, as the root of their number."""

ROWS_A_NEIGHBOUR: Final = 28
"""Rows that are looked at for each neighbour, at least, of more than MOST_AS_TUNED. Measured with 12,000 to 100,000
records: without both, of 160 and 640 neighbours a tenth and four tenths were missing, now a hundredth at most.
"""

TRAINING_ROWS_PER_LIST: Final = 64
"""Measured at 100,000 x 256: 256 rows a list train three times longer and gain nothing."""

EXACT_ROWS: Final = 2_000
"""No more rows than this are searched exactly: it costs less."""

FILTERED_ROWS: Final = 5_000
"""The same for a filter, whose rows lie in many lists; and where it leaves no more than one in FILTERED_SHARE."""

FILTERED_SHARE: Final = 20

RARE_SHARE: Final = 0.1
RARE_POWER: Final = 2 / 3
"""A filter that leaves all lists about the same share needs more lists only below RARE_SHARE, since the neighbours left
are those farther away. Measured at 100,000 and a million: one row in 20 then gives a recall of .991 or more.
"""

UNEVEN_LISTS: Final = 2.0
UNEVEN_SHARE: Final = 0.5
UNEVEN_POWER: Final = 1 / 3
UNEVEN_CANDIDATES: Final = 2
"""A filter that leaves more of some regions than of others (a language, a product) needs UNEVEN_LISTS times the lists
where it leaves UNEVEN_SHARE, more where it leaves less, and so many times the candidates: neighbours are farther than
the order of the lists says. Measured with regions at random: .93 to .98 becomes .99 or more.
"""

ENOUGH_LEFT: Final = 0.75
"""Of the candidates of a light filter: with fewer, it leaves less near the query than elsewhere."""

MOST_UNEVEN: Final = 1.5
"""Lists are learned anew when their sizes became so many times as uneven: the time of a search grows likewise."""

ADDED_AT_ONCE: Final = 8_192
"""Rows that are coded together: FAISS holds them once more meanwhile, up to 65,536 of them."""

BLOCK_FLOATS: Final = 16_000_000
"""Candidate numbers gathered at once (64 MB)."""


class IvfPqIndex(FaissIndex):
    """Looks into the lists nearest to the query, and scores their best candidates again in float.

    Among more equal vectors than it has candidates, which of them it answers is left to FAISS. Safe to search from
    many threads.

    Args:
        rows: The rows.
        codes: Their FAISS index, trained, row r added as r-th.
        spec: nlist, nprobe and rerank, all chosen.
        index_recall: As measured.
        threads: OpenMP threads of one search.
        trials: What it was tuned and measured with, for the next that is built from it; None keeps nothing.
    """

    def __init__(
        self,
        rows: Rows,
        codes: Any,
        *,
        spec: IndexSpec,
        index_recall: float,
        threads: int = 1,
        trials: Trials | None = None,
    ) -> None:
        super().__init__(rows, threads)
        self.spec = spec
        self.index_recall = index_recall
        self.trials = trials
        self._codes = codes
        self._lists = Lists(self._read_lists(), spec.nlist)
        self._has_selector = self._try_selector()

    def filter_rows(self, mask: RowMask) -> RowFilter:
        """See FrozenIndex."""
        return RowFilter(mask, self._lists)

    def search_rows(self, queries: Vectors, k: int, only: RowFilter | None) -> Neighbours:
        """See FrozenIndex."""
        wanted = self.spec.rerank * max(k, TUNED_K) * (1 if only is None or _is_even(only) else UNEVEN_CANDIDATES)
        if self._is_cheaper_exactly(only, wanted):
            return self.exact(queries, k, only)
        nprobe = lists_for(self.spec, len(self), k, only)
        step = max(1, BLOCK_FLOATS // (wanted * self.dim))
        if len(queries) <= step:
            return self._search_block(queries, k, wanted, nprobe, only)
        answer = missing(len(queries), k)
        for start in range(0, len(queries), step):
            block = self._search_block(queries[start : start + step], k, wanted, nprobe, only)
            answer.record_ids[start : start + step] = block.record_ids
            answer.scores[start : start + step] = block.scores
        return answer

    def candidates(
        self, queries: Vectors, wanted: int, nprobe: int, only: RowFilter | None = None
    ) -> NDArray[np.int64]:
        """The rows that look best by their codes.

        Args:
            queries: (n_queries, dim) float32.
            wanted: Candidates for each query, at most the number of rows.
            nprobe: Lists looked into, at least.
            only: The filter; None allows all.

        Returns:
            (n_queries, wanted or more) int64, -1 where there is none.
        """
        self.limit_threads()
        if only is None:
            return self._scan(queries, wanted, nprobe, None)
        if only.is_light:
            return self._left_of_all(queries, wanted, nprobe, only)
        return self._filtered(queries, wanted, nprobe, only)

    def _left_of_all(self, queries: Vectors, wanted: int, nprobe: int, only: RowFilter) -> NDArray[np.int64]:
        """Scan without the filter, which costs half, and drop what it does not leave: tombstones, above all."""
        found = self._scan(queries, math.ceil(wanted * len(self) / only.count), nprobe, None)
        found[~only.mask[found]] = -1
        few = (found >= 0).sum(axis=1) < ENOUGH_LEFT * wanted
        if few.any():
            found[few] = -1
            found[few, :wanted] = self._filtered(queries[few], wanted, nprobe, only)
        return found

    def _filtered(self, queries: Vectors, wanted: int, nprobe: int, only: RowFilter) -> NDArray[np.int64]:
        nprobe = min(self.spec.nlist, math.ceil(nprobe * _more_lists(only)))
        far = self._none_near(queries, only)
        if far is None or not far.any():
            return self._scan(queries, wanted, nprobe, only)
        found = np.empty((len(queries), wanted), dtype=np.int64)
        for part, lists in ((~far, nprobe), (far, self.spec.nlist)):
            if part.any():
                found[part] = self._scan(queries[part], wanted, lists, only)
        return found

    def refill(self, rows: Rows, *, are_added: bool, threads: int) -> Any | None:
        """Codes of other rows, by the lists and codes that were learned for these.

        Args:
            rows: The other rows.
            are_added: They begin with these, as they do while records are only added: what comes after is the work.
            threads: OpenMP threads of the work.

        Returns:
            A FAISS index of codes; row r was added as r-th. None where the vectors fall into few of the lists: they are
            of another kind than those the lists were learned from.
        """
        self.faiss.omp_set_num_threads(threads)
        codes = self.faiss.clone_index(self._codes)
        if not are_added:
            codes.reset()
        add_rows(codes, rows.vectors)
        is_uneven = codes.invlists.imbalance_factor() > MOST_UNEVEN * self._codes.invlists.imbalance_factor()
        return None if is_uneven else codes

    def code(self, rows: Rows, before: FrozenIndex | None) -> "IvfPqIndex":
        """See FrozenIndex."""
        self.limit_threads()
        if isinstance(before, IvfPqIndex):
            codes = self.faiss.clone_index(before._codes)
        else:
            codes = self.faiss.clone_index(self._codes)
            codes.reset()
            codes = self.faiss.clone_index(codes)  # what was reset keeps the room of its ids
        add_rows(codes, rows.vectors)
        return IvfPqIndex(rows, codes, spec=self.spec, index_recall=math.nan, threads=self.threads)

    def fill_lists(self) -> Any:
        """A FAISS index of the same lists that hold the vectors themselves; row r was added as r-th."""
        quantizer = self.faiss.clone_index(self._codes.quantizer)
        lists = self.faiss.IndexIVFFlat(quantizer, self.dim, self.spec.nlist, self.faiss.METRIC_INNER_PRODUCT)
        lists.train(self.rows.vectors[:1])  # the lists are learned already: this says so
        lists.add(self.rows.vectors)
        return lists

    def save_codes(self, path: Path) -> None:
        """Write the FAISS index, without the vectors."""
        self.faiss.write_index(self._codes, str(path))

    def _is_cheaper_exactly(self, only: RowFilter | None, wanted: int) -> bool:
        if only is None or only.is_light:
            return len(self) <= max(EXACT_ROWS, 2 * wanted)
        return only.count <= max(FILTERED_ROWS, len(self) // FILTERED_SHARE, 2 * wanted)

    def _search_block(self, queries: Vectors, k: int, wanted: int, nprobe: int, only: RowFilter | None) -> Neighbours:
        found = self.candidates(queries, wanted, nprobe, only)
        best = self.best_of(queries, found, k)
        # Lists may be empty or filtered away, but there are k rows: `search_rows` has seen to that.
        return self.settle(best, best.record_ids[:, -1] < 0, queries, only)

    def _scan(self, queries: Vectors, wanted: int, nprobe: int, only: RowFilter | None) -> NDArray[np.int64]:
        if only is None:
            return self._search_codes(queries, wanted, self.faiss.SearchParametersIVF(nprobe=nprobe))
        if self._has_selector:
            selector = self.faiss.IDSelectorBitmap(only.bits)
            return self._search_codes(queries, wanted, self.faiss.SearchParametersIVF(nprobe=nprobe, sel=selector))
        # Twice the candidates that would do if the filter did not care where rows lie.
        more = min(len(self), 2 * wanted * len(self) // only.count)
        found = self._search_codes(queries, more, self.faiss.SearchParametersIVF(nprobe=nprobe))
        found[~only.mask[found]] = -1
        order = np.argsort(found < 0, axis=1, kind="stable")[:, :wanted]
        return np.take_along_axis(found, order, axis=1)

    def _search_codes(self, queries: Vectors, wanted: int, parameters: Any) -> NDArray[np.int64]:
        _, found = self._codes.search(queries, wanted, params=parameters)
        rows: NDArray[np.int64] = found
        return rows

    def _none_near(self, queries: Vectors, only: RowFilter) -> NDArray[np.bool_] | None:
        """Whether the filter leaves less near a query than elsewhere: another product's sentences, a deleted group.

        The order of the lists says little about rows that far away, so all lists are looked into for such a query:
        looking into enough of them to see as many rows as without a filter found 3 neighbours of 10.
        """
        if only.is_scattered:
            return None
        _, lists = self._codes.quantizer.search(queries, self.spec.nprobe)
        left, rows = only.rows_per_list[lists].sum(axis=1), self._lists.sizes[lists].sum(axis=1)
        few: NDArray[np.bool_] = 2 * left * len(self) < rows * only.count
        return few

    def _read_lists(self) -> NDArray[np.int32]:
        row_lists = np.empty(len(self), dtype=np.int32)
        lists = self._codes.invlists
        for number in range(self.spec.nlist):
            size = lists.list_size(number)
            if size:
                row_lists[self.faiss.rev_swig_ptr(lists.get_ids(number), size)] = number
        return row_lists

    def _try_selector(self) -> bool:
        """Whether this FAISS filters a fast scan: some versions refuse to."""
        mask = np.arange(len(self)) % 2 == 0
        selector = self.faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
        try:
            found = self._search_codes(
                self.rows.vectors[:1], 1, self.faiss.SearchParametersIVF(nprobe=self.spec.nlist, sel=selector)
            )
        except RuntimeError:
            return False
        return bool(found[0, 0] % 2 == 0)


def lists_for(spec: IndexSpec, n_rows: int, k: int, only: RowFilter | None) -> int:
    """Lists to look into for k neighbours: many of them lie farther out than the few that were tuned for.

    Args:
        spec: Of the index.
        n_rows: How many it has.
        k: Neighbours wanted, of those that the filter leaves.
        only: The filter; None leaves all.
    """
    among_all = k if only is None or k <= TUNED_K else k * n_rows / only.count  # as many as all of them are near
    if among_all <= MOST_AS_TUNED:
        return spec.nprobe
    by_rank = spec.nprobe * math.sqrt(among_all / MOST_AS_TUNED)
    by_rows = ROWS_A_NEIGHBOUR * among_all * spec.nlist / n_rows
    return min(spec.nlist, math.ceil(max(by_rank, by_rows)))


def _is_even(only: RowFilter) -> bool:
    return only.is_light or only.is_scattered


def _more_lists(only: RowFilter) -> float:
    """By what to multiply the lists looked into."""
    share = only.count / len(only.mask)
    if only.is_light:
        return 1.0
    if only.is_scattered:
        return float(max(1.0, RARE_SHARE / share) ** RARE_POWER)
    return more_uneven_lists(share)


def more_uneven_lists(share: float) -> float:
    """By what to multiply them for a filter that leaves this share of the rows, more of some regions than of others."""
    return float(UNEVEN_LISTS * max(1.0, UNEVEN_SHARE / share) ** UNEVEN_POWER)


def load_codes(path: Path) -> Any:
    """Read what `save_codes` wrote.

    Raises:
        RuntimeError: FAISS cannot read the file.
    """
    return load_faiss().read_index(str(path))


def train_codes(vectors: Vectors, nlist: int, *, threads: int) -> Any:
    """Learn the lists and the codes of the vectors, and add them all.

    Args:
        vectors: (n, dim) float32, n at least MIN_IVF_ROWS.
        nlist: Lists, at most n.
        threads: OpenMP threads of the training.

    Returns:
        A FAISS index of codes; row r was added as r-th.
    """
    faiss = load_faiss()
    faiss.omp_set_num_threads(threads)
    dim = vectors.shape[1]
    # "r": codes of what is left once the list's centre is taken away. Else five times the candidates are needed.
    codes = faiss.index_factory(dim, f"IVF{nlist},PQ{choose_pq_m(dim)}x4fsr", faiss.METRIC_INNER_PRODUCT)
    codes.cp.max_points_per_centroid = TRAINING_ROWS_PER_LIST
    # FAISS writes warnings to the terminal below 39 rows a centroid.
    codes.cp.min_points_per_centroid = 1
    codes.pq.cp.min_points_per_centroid = 1
    codes.train(vectors)
    add_rows(codes, vectors)
    return codes


def add_rows(codes: Any, vectors: Vectors) -> None:
    """Code the rows that a FAISS index has not yet; those that it has are the first."""
    for start in range(codes.ntotal, len(vectors), ADDED_AT_ONCE):
        codes.add(vectors[start : start + ADDED_AT_ONCE])
