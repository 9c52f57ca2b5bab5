"""What an exact search answers, written out in float64, and what every answer must be beside it."""

import numpy as np
from numpy.typing import NDArray

from index.types import MISSING_ID, Allowed, Ids, Neighbours, Vectors

Oracle = list[list[tuple[int, float]]]

# float32 sums of up to 256 products of numbers below 1: a few 1e-7. The product promises 1e-5.
SCORE_TOLERANCE = 2e-6


def make_vectors(n: int, dim: int, seed: int = 0, n_groups: int | None = None) -> Vectors:
    """Groups of unit vectors around topics, the first numbers larger than the last, as embeddings are."""
    random = np.random.default_rng(seed)
    scale = (1.0 + np.arange(dim)) ** -0.5
    centres = random.standard_normal((n_groups or max(2, n // 12), dim)) * scale
    vectors = centres[random.integers(0, len(centres), n)] + 0.5 * random.standard_normal((n, dim)) * scale
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def exact_scores(vectors: Vectors, query: NDArray[np.float32]) -> NDArray[np.float64]:
    products: NDArray[np.float64] = vectors.astype(np.float64) * query.astype(np.float64)
    total: NDArray[np.float64] = products.sum(axis=1)
    return total


def oracle(ids: Ids, vectors: Vectors, queries: Vectors, k: int, allowed: Allowed | None = None) -> Oracle:
    """The k best (id, score) of each query: by score, highest first, then by id, lowest first."""
    answers = []
    for query in queries:
        scored = zip(ids.tolist(), exact_scores(vectors, query).tolist(), strict=True)
        kept = [(i, s) for i, s in scored if allowed is None or (i < len(allowed) and allowed[i])]
        answers.append(sorted(kept, key=lambda pair: (-pair[1], pair[0]))[:k])
    return answers


def assert_true_answers(found: Neighbours, ids: Ids, vectors: Vectors, queries: Vectors) -> None:
    """What every answer must be, approximate or not: live records, once each, with their own scores, best first."""
    row_of = {record_id: row for row, record_id in enumerate(ids.tolist())}
    for query, found_ids, found_scores in zip(queries, found.record_ids, found.scores, strict=True):
        there = found_ids != MISSING_ID
        assert (np.diff(there.astype(int)) <= 0).all(), "missing ids come last"
        assert (found_scores[~there] == -np.inf).all()
        assert len(set(found_ids[there].tolist())) == there.sum(), "no record twice"
        rows = [row_of[i] for i in found_ids[there].tolist()]
        np.testing.assert_allclose(found_scores[there], exact_scores(vectors[rows], query), atol=SCORE_TOLERANCE)
        assert (np.diff(found_scores[there]) <= 0).all()
        assert (np.abs(found_scores[there]) <= 1).all()


def assert_exact_answers(found: Neighbours, expected: Oracle, k: int) -> None:
    """Ids and scores are the oracle's; ids may differ only where the oracle's scores are within float32's error."""
    assert found.record_ids.shape == found.scores.shape == (len(expected), k)
    assert found.record_ids.dtype == np.dtype(np.int64)
    assert found.scores.dtype == np.dtype(np.float32)
    for found_ids, found_scores, pairs in zip(found.record_ids, found.scores, expected, strict=True):
        assert (found_ids[len(pairs) :] == MISSING_ID).all()
        assert (found_ids[: len(pairs)] != MISSING_ID).all()
        scores = np.array([score for _, score in pairs])
        np.testing.assert_allclose(found_scores[: len(pairs)], scores, atol=SCORE_TOLERANCE)
        same = found_ids[: len(pairs)] == np.array([i for i, _ in pairs])
        gaps = np.abs(np.diff(scores, prepend=2.0, append=-2.0 if len(pairs) < k else scores[-1:]))
        near_tie = np.minimum(gaps[:-1], gaps[1:]) < SCORE_TOLERANCE
        assert (same | near_tie).all(), (found_ids, pairs)


def index_recall(found: Neighbours, expected: Oracle) -> float:
    shares = []
    for scores, pairs in zip(found.scores, expected, strict=True):
        shares.append(min(len(pairs), int((scores >= pairs[-1][1] - 1e-6).sum())) / len(pairs))
    return float(np.mean(shares))
