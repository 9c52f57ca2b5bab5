"""An index that lives on a Milvus server, for collections larger than one machine; reader and writer at once.

What differs from an index in memory:

- A batch of changes that takes several requests becomes visible in parts. A record's own change is seen whole or not at
  all, and after `apply` has returned, searches see all of it. A writer that dies in between leaves the sequence number
  as it was, and replaying from there mends it.
- Rows that were written since the index was built are searched by an index that Milvus makes of them on its own terms,
  once there are many: their recall is not tuned.
- Searches with a mask find what they would without one, sifted: a mask that leaves less near the query than elsewhere
  costs recall, except where it leaves few enough records to be named.

The service puts a base over it (`base.py`), which says at every moment what of it counts.
"""

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from index.backends.milvus.masks import EVERYTHING, AskedBefore, ask_by_lists, ask_for
from index.backends.milvus.searching import Keeps, Searcher, put
from index.backends.milvus.server import Milvus
from index.backends.milvus.told import Note
from index.checks import check_ids, check_rows, check_search, last_of_each
from index.milvus_kinds import MilvusSpec
from index.types import Allowed, Neighbours, Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a collection.

    Attributes:
        dim: Of its vectors.
        spec: What it is, all parameters chosen.
        index_recall: index_recall@10 measured when it was built; 1 when exact.
        built_rows: Records that it was built of and tuned for.
        known_seq: The newest change that any of its rows may show.
        tag: What the caller knows that one by.
    """

    dim: int
    spec: MilvusSpec
    index_recall: float
    built_rows: int
    known_seq: int
    tag: int


class MilvusIndex:
    """Reader and writer at once. Any number of threads search; changes come from one.

    Args:
        server: Where it is.
        name: Its collection, loaded; not an alias, so that a search never changes over to another half-way.
        facts: About it.
        applied_seq: The sequence number up to which every change is in it.
    """

    def __init__(self, server: Milvus, name: str, facts: Facts, applied_seq: int) -> None:
        self.server, self.name, self.facts = server, name, facts
        self.searcher = Searcher(server, name, facts.dim, facts.spec)
        self._applied_seq = applied_seq
        self._asked: AskedBefore[Allowed] = AskedBefore()
        self._writing = threading.Lock()  # there is one writer by contract; a second one waits
        server.hold(self, name)

    @property
    def spec(self) -> MilvusSpec:
        """What it is, all parameters chosen."""
        return self.facts.spec

    @property
    def index_recall(self) -> float:
        """index_recall@10 measured when it was built."""
        return self.facts.index_recall

    @property
    def dim(self) -> int:
        """See IndexReader."""
        return self.facts.dim

    def __len__(self) -> int:
        """Counted by the server."""
        return self.server.count(self.name)

    @property
    def applied_seq(self) -> int:
        """The sequence number up to which every change has been applied; kept on the server with the records."""
        return self._applied_seq

    def search(self, queries: Vectors, k: int, allowed: Allowed | None = None) -> Neighbours:
        """See IndexReader. At most MOST_FOUND neighbours are found.

        Raises:
            InvalidInputError: Naming the argument that is wrong.
            IndexServerError: The server is away, or refuses.
        """
        queries = check_search(queries, k, allowed, self.dim)
        if allowed is None:
            return self.searcher.search(queries, k, EVERYTHING, None)[0]
        asked = self._asked.of(allowed, ask_for)
        best, is_cut_off = self.searcher.search(queries, k, asked, _keeps(allowed) if asked.share < 1 else None)
        if is_cut_off.any():
            by_lists = self._asked.of(allowed, ask_by_lists)
            put(best, is_cut_off, self.searcher.search(queries[is_cut_off], k, by_lists, None)[0])
        return best

    def upsert(self, record_ids: ArrayLike, vectors: Vectors, seq: int) -> None:
        """`apply` of a batch that removes nothing."""
        self.apply(record_ids, vectors, (), seq)

    def delete(self, record_ids: ArrayLike, seq: int) -> None:
        """`apply` of a batch that only removes."""
        self.apply((), np.empty((0, self.dim), np.float32), record_ids, seq)

    def apply(self, record_ids: ArrayLike, vectors: Vectors, deleted_ids: ArrayLike, seq: int) -> None:
        """Apply a batch of the change log; when this returns, searches see it.

        Args:
            record_ids: (n,) int64 records to add or replace; of an id that is there twice, the last vector counts.
            vectors: (n, dim) float32, unit rows, theirs.
            deleted_ids: (m,) int64 records to remove; absent ones, and those in `record_ids`, are ignored.
            seq: The last change of the batch; everything up to it has been applied after this call.

        Raises:
            InvalidInputError: Naming the wrong vector or id; nothing was changed.
            IndexServerError: The server is away, or refuses: part of the batch may be there. Apply it again.
        """
        ids, rows = check_rows(record_ids, vectors, self.dim)
        kept = last_of_each(ids)
        deleted = np.setdiff1d(check_ids(deleted_ids), ids)
        with self._writing:
            applied = max(seq, self._applied_seq)
            self.server.upsert(self.name, ids[kept], rows[kept], seq)
            self.server.delete(self.name, deleted)
            self.server.write_notes(self.name, self.dim, {Note.APPLIED_SEQ: applied})
            self._applied_seq = applied


def _keeps(allowed: Allowed) -> Keeps:
    def keeps(found: NDArray[np.int64]) -> NDArray[np.bool_]:
        inside = (found >= 0) & (found < len(allowed))
        return inside & allowed[np.where(inside, found, 0)]

    return keeps
