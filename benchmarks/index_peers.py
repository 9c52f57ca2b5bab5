"""The indexes that ours is measured against, in one process, on one thread each; what is not installed is skipped."""

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.types import Vectors

Search = Callable[[Vectors, int], NDArray[np.int64]]
"""(n, dim) queries and ef, how many candidates a search keeps, to (n, k) rows, -1 where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """An index with one choice of its build parameters.

    Attributes:
        package: To install.
        name: In the table, the build parameters included.
        build: From vectors (n, dim) and k to its search.
    """

    package: str
    name: str
    build: Callable[[Vectors, int], Search]


def installed_peers() -> Iterator[Peer]:
    """Every peer that can be measured here; says which version it is, or that it is not installed."""
    for package, module, peers in _ALL:
        if importlib.util.find_spec(module) is None:
            print(f"{package} is not installed: not measured")
            continue
        print(f"{package} {importlib.metadata.version(package)}")
        yield from peers


def _hnswlib(m: int) -> Peer:
    def build(vectors: Vectors, k: int) -> Search:
        index: Any = importlib.import_module("hnswlib").Index(space="ip", dim=vectors.shape[1])
        index.init_index(max_elements=len(vectors), ef_construction=200, M=m)
        index.set_num_threads(1)
        index.add_items(vectors, np.arange(len(vectors)))

        def search(queries: Vectors, ef: int) -> NDArray[np.int64]:
            index.set_ef(ef)
            labels: NDArray[np.int64] = index.knn_query(queries, k=k)[0].astype(np.int64)
            return labels

        return search

    return Peer(package="hnswlib", name=f"hnswlib M {m}", build=build)


def _usearch(m: int) -> Peer:
    def build(vectors: Vectors, k: int) -> Search:
        make: Any = importlib.import_module("usearch.index").Index
        index = make(ndim=vectors.shape[1], metric="ip", connectivity=m, dtype="f32")
        index.add(np.arange(len(vectors)), vectors, threads=1)

        def search(queries: Vectors, ef: int) -> NDArray[np.int64]:
            index.expansion_search = ef
            keys: NDArray[np.int64] = np.atleast_2d(index.search(queries, k, threads=1).keys).astype(np.int64)
            return keys

        return search

    return Peer(package="usearch", name=f"usearch M {m}", build=build)


def _faiss_hnsw(m: int) -> Peer:
    def build(vectors: Vectors, k: int) -> Search:
        faiss: Any = importlib.import_module("faiss")
        faiss.omp_set_num_threads(1)
        index = faiss.IndexHNSWFlat(vectors.shape[1], m, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 100
        index.add(vectors)

        def search(queries: Vectors, ef: int) -> NDArray[np.int64]:
            index.hnsw.efSearch = ef
            rows: NDArray[np.int64] = index.search(queries, k)[1]
            return rows

        return search

    return Peer(package="faiss-cpu", name=f"faiss HNSW M {m}", build=build)


_ALL = (
    ("hnswlib", "hnswlib", (_hnswlib(16), _hnswlib(24))),
    ("usearch", "usearch", (_usearch(16),)),
    ("faiss-cpu", "faiss", (_faiss_hnsw(16), _faiss_hnsw(32))),
)
