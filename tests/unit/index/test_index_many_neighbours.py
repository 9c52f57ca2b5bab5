"""Many neighbours at once, of all rows or of those a filter leaves: about as complete as the ten that are tuned."""

import numpy as np
import pytest

from index.factory import build
from index.spec import IndexKind, IndexSpec
from index.types import Vectors

N, DIM, QUERIES = 12_000, 32, 60


def clustered(n: int, random: np.random.Generator) -> Vectors:
    """Small groups of near rows, as sentences come."""
    centres = random.standard_normal((n // 20, DIM))
    vectors = np.repeat(centres, 20, axis=0) + 0.6 * random.standard_normal((n, DIM))
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@pytest.mark.parametrize("share", [1.0, 0.67, 0.5])
@pytest.mark.parametrize("k", [10, 50, 160, 640])
def test_recall_of_many_neighbours(k: int, share: float) -> None:
    random = np.random.default_rng(3)
    vectors = clustered(N, random)
    index = build(np.arange(N), vectors, IndexSpec(kind=IndexKind.IVF_PQ, target_recall=0.99))
    assert index.spec.nprobe < index.spec.nlist / 2, "else there is nothing to be missed"
    queries = vectors[random.permutation(N)[:QUERIES]]
    allowed = None if share == 1 else random.random(N) < share
    scores = queries @ vectors.T
    if allowed is not None:
        scores[:, ~allowed] = -1
    floors = -np.partition(-scores, k - 1, axis=1)[:, k - 1] - 1e-5
    found = index.search(queries, k, allowed)
    assert (found.record_ids >= 0).all()
    recalls = (np.take_along_axis(scores, found.record_ids, axis=1) >= floors[:, None]).mean(axis=1)
    assert recalls.mean() > 0.975
