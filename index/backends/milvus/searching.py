"""Searching a collection on a Milvus server: it finds candidates; each score is computed here, from their vectors."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.backends.exact import SPARE, TIE
from index.backends.milvus.masks import Asked
from index.backends.milvus.server import MOST_FOUND, Milvus
from index.backends.milvus.told import Note
from index.backends.rows import Rows
from index.milvus_kinds import MilvusKind, MilvusSpec, efforts_of, search_parameters
from index.ranking import ids_of, merge, missing, rank, score_rows
from index.types import MISSING_ID, Neighbours, Vectors

WIDER: Final = 8
"""Times as many rows are asked for where too few came back."""

MASKED_EFFORT: Final = 2
"""A mask leaves neighbours farther away than the effort was tuned for."""

CODED_CANDIDATES: Final = 4
"""Candidates for each neighbour wanted where the server's own scores are rough."""

BLOCK_FLOATS: Final = 16_000_000
"""Candidate numbers gathered at once (64 MB)."""

Keeps = Callable[[NDArray[np.int64]], NDArray[np.bool_]]
"""Which of the record ids that were found, (n_queries, m) with MISSING_ID among them, may be answered."""


@dataclass(frozen=True, slots=True)
class Searcher:
    """Searches one collection. Any number of threads may.

    Attributes:
        server: Where it is.
        name: Its own, not an alias.
        dim: Of its vectors.
        spec: What it is, all parameters chosen.
    """

    server: Milvus
    name: str
    dim: int
    spec: MilvusSpec

    def search(
        self, queries: Vectors, k: int, asked: Asked, keeps: Keeps | None
    ) -> tuple[Neighbours, NDArray[np.bool_]]:
        """Find the k best of what is asked for.

        Args:
            queries: (n_queries, dim) float32, checked.
            k: At least 1.
            asked: The expressions, and what share of the rows they leave is kept.
            keeps: Sifts the answers; None where the expressions say it all.

        Returns:
            The neighbours; (n_queries,) bool, which of them may be short because Milvus finds no more than MOST_FOUND
            rows to sift.

        Raises:
            IndexServerError: The server is away, or refuses.
        """
        best, is_cut_off = missing(len(queries), k), np.zeros(len(queries), np.bool_)
        for where in asked.where:
            found, cut_off = self._widening(queries, k, where, asked.share, keeps)
            best, is_cut_off = merge((best, found), k), is_cut_off | cut_off
        return best, is_cut_off & (keeps is not None)

    def _widening(
        self, queries: Vectors, k: int, where: str, share: float, keeps: Keeps | None
    ) -> tuple[Neighbours, NDArray[np.bool_]]:
        """Ask for more rows, or for a harder search, until the answers cannot get better by it."""
        best, is_cut_off = missing(len(queries), k), np.zeros(len(queries), np.bool_)
        candidates = CODED_CANDIDATES * k if self.spec.kind is MilvusKind.IVF_SQ8 else k
        # The notes may be among what is found.
        limit = min(MOST_FOUND, math.ceil((candidates + SPARE) / share) + len(Note))
        effort, hardest = self.spec.effort * (1 if where == "" else MASKED_EFFORT), efforts_of(self.spec)[-1]
        left = np.arange(len(queries))
        while len(left):
            wider, harder = np.zeros(len(left), np.bool_), np.zeros(len(left), np.bool_)
            parameters = search_parameters(self.spec, limit, effort)
            for part in _blocks(len(left), limit * self.dim):
                asking = queries[left[part]]
                found = self.server.search(self.name, asking, limit, where, parameters)
                is_full = (found != MISSING_ID).sum(axis=1) >= limit - len(Note)  # what is missing may be notes
                if keeps is not None:
                    found = _sifted(found, keeps(found), math.ceil(limit * share) + SPARE)
                scored, is_doubtful = self._score(asking, found, k)
                put(best, left[part], scored)
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
        rows = Rows(*self.server.vectors_of(self.name, ids[ids != MISSING_ID], self.dim))
        if not len(rows):
            return missing(len(queries), k), np.zeros(len(queries), np.bool_)
        at = rows.find(found.ravel()).reshape(found.shape)
        scores = score_rows(queries, rows.vectors, at)
        best = rank(ids_of(rows.record_ids, at), scores, k)
        worst = np.where(at >= 0, scores, np.inf).min(axis=1)
        doubtful: NDArray[np.bool_] = (self.spec.kind is MilvusKind.FLAT) & (worst >= best.scores[:, -1] - TIE)
        return best, doubtful


def put(answer: Neighbours, where: slice | NDArray[np.bool_] | NDArray[np.int64], part: Neighbours) -> None:
    """Replace the answers to some of the queries."""
    answer.record_ids[where] = part.record_ids
    answer.scores[where] = part.scores


def _sifted(found: NDArray[np.int64], kept: NDArray[np.bool_], most: int) -> NDArray[np.int64]:
    """The first of each query's rows that are kept."""
    found = np.where(kept, found, MISSING_ID)
    order = np.argsort(found < 0, axis=1, kind="stable")[:, :most]
    return np.take_along_axis(found, order, axis=1)


def _blocks(n: int, floats_each: int) -> Iterator[slice]:
    step = max(1, BLOCK_FLOATS // floats_each)
    for start in range(0, n, step):
        yield slice(start, start + step)
