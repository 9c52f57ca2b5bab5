"""What every peer is measured on: the same records and queries, as sentences and as embeddings."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import data_folder
from benchmarks.real_texts import real_texts
from index.types import Vectors
from model.contract.bundle import load_bundle

K = 10
"""Neighbours of a query."""

BLOCK = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Records, queries that are not among them, and what an exact search would find.

    Attributes:
        texts: n sentences; a record's id is its place here.
        vectors: (n, dim) float32, unit rows.
        queries: m sentences.
        query_vectors: (m, dim) float32, unit rows.
        floors: (m,) float32, score of each query's exact K-th neighbour.
    """

    texts: list[str]
    vectors: Vectors
    queries: list[str]
    query_vectors: Vectors
    floors: NDArray[np.float32]

    @property
    def dim(self) -> int:
        return int(self.vectors.shape[1])

    def index_recall(self, record_ids: NDArray[np.int64]) -> float:
        """Share of the exact neighbours that were found.

        Args:
            record_ids: (q, K) what a peer found for the first q queries, -1 where it found less.
        """
        queries = self.query_vectors[: len(record_ids)]
        scores = np.einsum("qkd,qd->qk", self.vectors[record_ids], queries)
        scores[record_ids < 0] = -np.inf
        return float((scores >= self.floors[: len(record_ids), None] - 1e-6).mean())


def load_corpus(bundle: Path, n_records: int, n_queries: int) -> Corpus:
    """Real sentences, encoded; the queries are drawn from all data sets, and so are the records."""
    texts = real_texts(data_folder(), n_records + n_queries)
    vectors = load_bundle(bundle).encoder.encode(texts)
    queries, records = vectors[:n_queries], vectors[n_queries:]
    blocks = [queries[start : start + BLOCK] @ records.T for start in range(0, n_queries, BLOCK)]
    return Corpus(
        texts=texts[n_queries:],
        vectors=records,
        queries=texts[:n_queries],
        query_vectors=queries,
        floors=np.concatenate([np.partition(block, -K, axis=1)[:, -K] for block in blocks]),
    )
