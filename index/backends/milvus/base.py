"""A base whose vectors are on a Milvus server: what of the collection counts is said here, by the ids of its rows.

The collection may hold more: rows that a compaction has written which has not taken over yet, or never will. Such rows
are not among the ids, or are dead in every view that the compaction started from, so that searches sift them out. And
it may lack rows that are dead. So one collection carries a base and the next, which differs from it by the changes
between them: `renew` writes those, and nothing else.
"""

from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.backends.filters import RowFilter, RowMask
from index.backends.milvus.index import MilvusIndex
from index.backends.milvus.masks import EVERYTHING, MOST_SIFTED, AskedBefore, ask_for_rows, ask_for_rows_by_name
from index.backends.milvus.releases import open_collection
from index.backends.milvus.searching import Keeps, put
from index.backends.milvus.server import MOST_FOUND, Milvus
from index.backends.milvus.told import Note
from index.backends.rows import CheckedIndex, FrozenIndex, RowIds, Rows
from index.errors import CollectionLostError
from index.milvus_kinds import MilvusSpec
from index.ranking import missing
from index.types import MISSING_ID, Ids, Neighbours, Vectors

GROWN: Final = 2
"""A collection of so many times the rows that it was built of is built anew: it has too few lists, and nobody knows
what recall it has."""


class MilvusBase(CheckedIndex):
    """Rows of a collection. Any number of threads search.

    Args:
        index: The collection.
        record_ids: (n,) int64, strictly ascending: the rows that count.
    """

    is_remote = True

    def __init__(self, index: MilvusIndex, record_ids: Ids) -> None:
        self.rows = RowIds(record_ids)
        super().__init__(self.rows)
        self.index = index
        self._asked: AskedBefore[RowFilter] = AskedBefore()
        self._ask, self._ask_by_name = partial(ask_for_rows, record_ids), partial(ask_for_rows_by_name, record_ids)

    @property
    def name(self) -> str:
        """The collection's."""
        return self.index.name

    @property
    def dim(self) -> int:
        return self.index.dim

    @property
    def spec(self) -> MilvusSpec:
        """See FrozenIndex."""
        return self.index.spec

    @property
    def index_recall(self) -> float:
        """See FrozenIndex; measured when the collection was built."""
        return self.index.index_recall

    def carries(self, n: int, wanted: MilvusSpec) -> bool:
        """Whether its collection may carry a base of n rows of this kind, or one had better be built anew."""
        if (self.spec.kind, self.spec.target_recall) != (wanted.kind, wanted.target_recall):
            return False
        return not self.spec.is_tuned or n <= GROWN * self.index.facts.built_rows

    def filter_rows(self, mask: RowMask) -> RowFilter:
        """See FrozenIndex."""
        return RowFilter(mask)

    def search_rows(self, queries: Vectors, k: int, only: RowFilter | None) -> Neighbours:
        """See FrozenIndex. At most MOST_FOUND neighbours are found.

        Raises:
            IndexServerError: The server is away, or refuses.
        """
        n = len(self) if only is None else only.count
        if not n or not len(queries):
            return missing(len(queries), k)
        asked = EVERYTHING if only is None else self._asked.of(only, self._ask)
        best, is_cut_off = self.index.searcher.search(queries, k, asked, self._keeps(only))
        n_found = (best.record_ids != MISSING_ID).sum(axis=1)
        is_cut_off &= n_found < min(k, n, MOST_FOUND // MOST_SIFTED)  # others have what Milvus can find
        if only is not None and is_cut_off.any():
            by_name = self._asked.of(only, self._ask_by_name)
            put(best, is_cut_off, self.index.searcher.search(queries[is_cut_off], k, by_name, self._keeps(only))[0])
        return best

    def vectors_at(self, rows: NDArray[np.int64]) -> Vectors:
        """See FrozenIndex."""
        wanted = self.rows.record_ids[rows]
        found = Rows(*self.index.server.vectors_of(self.name, wanted, self.dim))
        at = found.find(wanted)
        if len(at) and at.min() < 0:
            reason = f"{int((at < 0).sum())} of {len(at)} records are not there, the first is {wanted[at < 0][0]}"
            raise CollectionLostError(self.index.server.address, f"read from collection {self.name}", reason)
        return found.vectors[at]

    def same_at(self, rows: NDArray[np.int64], vectors: Vectors) -> NDArray[np.bool_]:
        """See FrozenIndex."""
        return np.zeros(len(rows), np.bool_)

    def code(self, rows: Rows, before: FrozenIndex | None) -> FrozenIndex | None:
        """See FrozenIndex: the server learned its lists for itself."""
        return None

    def renew(
        self, record_ids: Ids, changed: Rows, deleted_ids: Ids, *, applied_seq: int, known_seq: int, tag: int
    ) -> "MilvusBase":
        """Write the changes since this base into its collection, and make the next base of it.

        Searches of this base, with the changes laid over it, go on as before: see above. One writer at a time.

        Args:
            record_ids: (n,) int64, strictly ascending: the rows of the next base.
            changed: Rows of it that are not in this base as they are now.
            deleted_ids: (m,) int64 records that were deleted since, of this base or not.
            applied_seq: The sequence number up to which every change is in the next base.
            known_seq: The newest change that any of its rows may show.
            tag: What the caller knows that one by.

        Raises:
            IndexServerError: Part of the changes may be written. Do it again.
        """
        index, facts = self.index, self.index.facts
        known_seq, tag = max((known_seq, tag), (facts.known_seq, facts.tag))
        # first, so that no row shows what the notes do not say
        index.server.write_notes(self.name, self.dim, {Note.KNOWN_SEQ: known_seq, Note.TAG: tag})
        index.apply(changed.record_ids, changed.vectors, deleted_ids, applied_seq)
        facts = replace(facts, known_seq=known_seq, tag=tag)
        return MilvusBase(MilvusIndex(index.server, self.name, facts, index.applied_seq), record_ids)

    def _keeps(self, only: RowFilter | None) -> Keeps:
        def keeps(found: NDArray[np.int64]) -> NDArray[np.bool_]:
            rows = self.rows.find(found.ravel()).reshape(found.shape)
            kept: NDArray[np.bool_] = rows >= 0
            return kept if only is None else kept & only.mask[rows]

        return keeps


def open_base(server: Milvus, name: str, record_ids: Ids, *, encoder_checksum: str, dim: int) -> MilvusBase:
    """Open a collection as the base of these rows.

    Args:
        server: Where it is.
        name: Its own.
        record_ids: (n,) int64, strictly ascending.
        encoder_checksum: Of the encoder that it is to be searched with.
        dim: Of that encoder.

    Raises:
        WrongEncoderError, CollectionLostError, IndexServerError: See `open_collection`.
    """
    return MilvusBase(open_collection(server, name, encoder_checksum=encoder_checksum, dim=dim), record_ids)
