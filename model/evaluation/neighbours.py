"""Exact nearest neighbours for evaluation: plain matrix products, block by block."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLOCK_FLOATS = 16_000_000
"""Cosines held at once (64 MB; their order takes as much twice), so that memory does not grow with the rows squared."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The k nearest stored rows of each query.

    Attributes:
        rows: (n, k) int64 row numbers, best first.
        scores: (n, k) float32 cosines.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]


def nearest(
    queries: NDArray[np.float32],
    stored: NDArray[np.float32],
    k: int,
    exclude: NDArray[np.int64] | None = None,
) -> Nearest:
    """Find the k best rows exactly.

    Args:
        queries, stored: (n, dim) and (m, dim), unit rows.
        k: Cut to what is there.
        exclude: (n,) a row of `stored` that is the query itself, left out by index: equal texts elsewhere still count.
    """
    k = min(k, len(stored) - (exclude is not None))
    rows = np.empty((len(queries), k), np.int64)
    scores = np.empty((len(queries), k), np.float32)
    step = max(1, _BLOCK_FLOATS // max(1, len(stored)))
    for start in range(0, len(queries), step):
        block = slice(start, start + step)
        cosines = queries[block] @ stored.T
        if exclude is not None:
            cosines[np.arange(len(cosines)), exclude[block]] = -np.inf
        best = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        values = np.take_along_axis(cosines, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        rows[block] = np.take_along_axis(best, order, axis=1)
        scores[block] = np.take_along_axis(values, order, axis=1)
    return Nearest(rows, scores)
