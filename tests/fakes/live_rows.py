"""What is live in an index, all of it: what tests compare with what they expect."""

import numpy as np

from index.backends.filters import RowMask
from index.state import LiveState
from index.types import Ids, Vectors


def live_rows(state: LiveState) -> tuple[Ids, Vectors]:
    """Copies of the live records: ids ascending (count,) int64, and their vectors (count, dim) float32."""
    of_base = np.arange(len(state.base)) if state.base_live is None else state.base_live.rows
    of_delta: slice | RowMask = slice(None) if state.delta_live is None else state.delta_live
    ids = np.concatenate([state.base.rows.record_ids[of_base], state.delta_ids[of_delta]])
    vectors = np.concatenate([state.base.vectors_at(of_base), state.delta_vectors[of_delta]])
    order = np.argsort(ids)
    return ids[order], vectors[order]
