"""An index that lives on a Milvus server, for collections larger than one machine; reader and writer at once.

The server finds candidates; every score that is answered is computed here, from their vectors. What differs from an
index in memory:

- A batch of changes that takes several requests becomes visible in parts. A record's own change is seen whole or not at
  all, and after `apply` has returned, searches see all of it. A writer that dies in between leaves the sequence number
  as it was, and replaying from there mends it.
- Rows that were written since the index was built are searched by an index that Milvus makes of them on its own terms,
  once there are many: their recall is not tuned.
- Searches with a mask find what they would without one, sifted: a mask that leaves less near the query than elsewhere
  costs recall, except where it leaves few enough records to be named.
"""

import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from index.backends.exact import SPARE, TIE
from index.backends.milvus import MOST_FOUND, Milvus, Note
from index.backends.milvus_kinds import MilvusKind, MilvusSpec, efforts_of, search_parameters
from index.backends.milvus_masks import EVERYTHING, Asked, AskedBefore, ask_by_lists
from index.backends.rows import Rows
from index.checks import check_ids, check_rows, check_search, last_of_each
from index.ranking import ids_of, merge, missing, rank, score_rows
from index.types import MISSING_ID, Allowed, Neighbours, Vectors

WIDER: Final = 8
"""Times as many rows are asked for where too few came back."""

MASKED_EFFORT: Final = 2
"""A mask leaves neighbours farther away than the effort was tuned for."""

CODED_CANDIDATES: Final = 4
"""Candidates for each neighbour wanted where the server's own scores are rough."""

BLOCK_FLOATS: Final = 16_000_000
"""Candidate numbers gathered at once (64 MB)."""


class MilvusIndex:
    """Reader and writer at once. Any number of threads search; changes come from one.

    Args:
        server: Where it is.
        name: Its collection, loaded; not an alias, so that a search never changes over to another half-way.
        dim: Of its vectors.
        spec: What it is, all parameters chosen.
        index_recall: index_recall@10 measured when it was built; 1 when exact.
        applied_seq: The sequence number up to which every change is in it.
    """

    def __init__(
        self, server: Milvus, name: str, *, dim: int, spec: MilvusSpec, index_recall: float, applied_seq: int
    ) -> None:
        self._server, self.name, self._dim = server, name, dim
        self.spec, self.index_recall = spec, index_recall
        self._applied_seq = applied_seq
        self._asked = AskedBefore()
        self._writing = threading.Lock()  # there is one writer by contract; a second one waits

    @property
    def dim(self) -> int:
        """See IndexReader."""
        return self._dim

    def __len__(self) -> int:
        """Counted by the server."""
        return self._server.count(self.name)

    @property
    def applied_seq(self) -> int:
        """See IndexWriter; kept on the server with the records."""
        return self._applied_seq

    def search(self, queries: Vectors, k: int, allowed: Allowed | None = None) -> Neighbours:
        """See IndexReader. At most MOST_FOUND neighbours are found.

        Raises:
            InvalidInputError: Naming the argument that is wrong.
            IndexServerError: The server is away, or refuses.
        """
        queries = check_search(queries, k, allowed, self._dim)
        asked = EVERYTHING if allowed is None else self._asked.of(allowed)
        best, is_cut_off = self._search(queries, k, asked, allowed)
        if allowed is not None and is_cut_off.any():
            by_lists = self._asked.of(allowed, ask_by_lists)
            again, _ = self._search(queries[is_cut_off], k, by_lists, allowed)
            _put(best, is_cut_off, again)
        return best

    def upsert(self, record_ids: ArrayLike, vectors: Vectors, seq: int) -> None:
        """See IndexWriter. Of an id that is there twice, the last vector counts."""
        self.apply(record_ids, vectors, (), seq)

    def delete(self, record_ids: ArrayLike, seq: int) -> None:
        """See IndexWriter."""
        self.apply((), np.empty((0, self._dim), np.float32), record_ids, seq)

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
        ids, rows = check_rows(record_ids, vectors, self._dim)
        kept = last_of_each(ids)
        deleted = np.setdiff1d(check_ids(deleted_ids), ids)
        with self._writing:
            applied = max(seq, self._applied_seq)
            self._server.upsert(self.name, ids[kept], rows[kept], seq)
            self._server.delete(self.name, deleted)
            self._server.write_note(self.name, self._dim, Note.APPLIED_SEQ, applied)
            self._applied_seq = applied

    def _search(
        self, queries: Vectors, k: int, asked: Asked, allowed: Allowed | None
    ) -> tuple[Neighbours, NDArray[np.bool_]]:
        """As `search`; and which queries came out short because Milvus finds no more than MOST_FOUND rows to sift."""
        sift = allowed if asked.share < 1 else None
        best, is_cut_off = missing(len(queries), k), np.zeros(len(queries), np.bool_)
        for where in asked.where:
            found, cut_off = self._widening(queries, k, where, asked, sift)
            best, is_cut_off = merge((best, found), k), is_cut_off | cut_off
        return best, is_cut_off & (sift is not None)

    def _widening(
        self, queries: Vectors, k: int, where: str, asked: Asked, sift: Allowed | None
    ) -> tuple[Neighbours, NDArray[np.bool_]]:
        """Ask for more rows, or for a harder search, until the answers cannot get better by it."""
        best, is_cut_off = missing(len(queries), k), np.zeros(len(queries), np.bool_)
        candidates = CODED_CANDIDATES * k if self.spec.kind is MilvusKind.IVF_SQ8 else k
        # The notes may be among what is found.
        limit = min(MOST_FOUND, math.ceil((candidates + SPARE) / asked.share) + len(Note))
        effort, hardest = self.spec.effort * (1 if where == "" else MASKED_EFFORT), efforts_of(self.spec)[-1]
        left = np.arange(len(queries))
        while len(left):
            wider, harder = np.zeros(len(left), np.bool_), np.zeros(len(left), np.bool_)
            parameters = search_parameters(self.spec, limit, effort)
            for part in _blocks(len(left), limit * self._dim):
                asking = queries[left[part]]
                found = self._server.search(self.name, asking, limit, where, parameters)
                is_full = found[:, -1] != MISSING_ID
                if sift is not None:
                    found = _sifted(found, sift, math.ceil(limit * asked.share) + SPARE)
                scored, is_doubtful = self._score(asking, found, k)
                _put(best, left[part], scored)
                is_short = scored.record_ids[:, -1] == MISSING_ID
                wider[part], harder[part] = is_full & (is_short | is_doubtful), ~is_full & is_short
            if limit == MOST_FOUND:
                is_cut_off[left[wider]] = True
                wider[:] = False
            harder &= effort < hardest
            effort = hardest if harder.any() else effort
            limit = min(MOST_FOUND, WIDER * limit) if wider.any() else limit
            left = left[wider | harder]
        return best, is_cut_off

    def _score(self, queries: Vectors, found: NDArray[np.int64], k: int) -> tuple[Neighbours, NDArray[np.bool_]]:
        """The k best candidates by their vectors; and where an exact search left out rows that may be as good."""
        ids = np.unique(found)
        rows = Rows(*self._server.vectors_of(self.name, ids[ids != MISSING_ID], self._dim))
        if not len(rows):
            return missing(len(queries), k), np.zeros(len(queries), np.bool_)
        at = rows.find(found.ravel()).reshape(found.shape)
        scores = score_rows(queries, rows.vectors, at)
        best = rank(ids_of(rows.record_ids, at), scores, k)
        worst = np.where(at >= 0, scores, np.inf).min(axis=1)
        doubtful: NDArray[np.bool_] = (self.spec.kind is MilvusKind.FLAT) & (worst >= best.scores[:, -1] - TIE)
        return best, doubtful


def with_effort(index: MilvusIndex, effort: int) -> MilvusIndex:
    """The same index, searched with another effort."""
    spec = replace(index.spec, effort=effort)
    return MilvusIndex(
        index._server,
        index.name,
        dim=index.dim,
        spec=spec,
        index_recall=index.index_recall,
        applied_seq=index.applied_seq,
    )


def _sifted(found: NDArray[np.int64], allowed: Allowed, most: int) -> NDArray[np.int64]:
    """The first of each query's rows that the mask allows."""
    inside = (found >= 0) & (found < len(allowed))
    found = np.where(inside & allowed[np.where(inside, found, 0)], found, MISSING_ID)
    order = np.argsort(found < 0, axis=1, kind="stable")[:, :most]
    return np.take_along_axis(found, order, axis=1)


def _put(answer: Neighbours, where: slice | NDArray[np.bool_] | NDArray[np.int64], part: Neighbours) -> None:
    answer.record_ids[where] = part.record_ids
    answer.scores[where] = part.scores


def _blocks(n: int, floats_each: int) -> Iterator[slice]:
    step = max(1, BLOCK_FLOATS // floats_each)
    for start in range(0, n, step):
        yield slice(start, start + step)
