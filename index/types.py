"""The values that cross the index's border."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

MISSING_ID: Final = -1
"""Stands in `Neighbours.record_ids` where a query has fewer than k neighbours."""

Vectors = NDArray[np.float32]
"""(n, dim) unit-length rows."""

Ids = NDArray[np.int64]
"""(n,) record ids, each non-negative."""

Allowed = NDArray[np.bool_]
"""(any length,) mask over record ids: record i may be answered if `allowed[i]`; ids past its end may not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """The k best records of each query, best first.

    Attributes:
        record_ids: (n_queries, k) int64, MISSING_ID where there is none.
        scores: (n_queries, k) float32 cosine in [-1, 1], -inf where there is none.
    """

    record_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
