"""Queries that recall is measured with, and the exact truth about them, which is kept while rows are only added."""

from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from index.backends.exact import TIE
from index.backends.rows import Rows
from index.types import Vectors

TUNED_K: Final = 10
"""Neighbours of a query that count."""

SAMPLE: Final = 400
"""Queries that tune, and as many others that measure what was reached."""

NOISE: Final = 0.3
"""How far a stored vector is moved to make a query of it, as a share of its length: a cosine of 0.96."""

TRUTH_FLOATS: Final = 2_000_000
"""Scores of the exact search held at once (8 MB): it goes through the rows once, for all queries together."""

FEW_BETTER: Final = 8
"""One score in so many is better than those known, at most: they are gathered before the best are sought."""


class Trial:
    """Queries with the truth about them.

    Args:
        rows: What is searched.
        queries: (n, dim) float32.
        own_rows: (n,) int64, the row each query was made from, which is no answer to it; -1 for a query from outside.
        best: (n, TUNED_K) float32, scores of its nearest among the first rows; None where none were looked at.
        seen: (n,) int64, how many of the first rows those are.
    """

    def __init__(
        self,
        rows: Rows,
        queries: Vectors,
        own_rows: NDArray[np.int64],
        best: NDArray[np.float32] | None = None,
        seen: NDArray[np.int64] | None = None,
    ) -> None:
        self.rows, self.queries, self.own_rows = rows, queries, own_rows
        self.best = np.full((len(queries), TUNED_K), -np.inf, np.float32) if best is None else best
        self.seen = np.zeros(len(queries), np.int64) if seen is None else seen

    @property
    def floors(self) -> NDArray[np.float32]:
        """(n,) score from which a row counts as one of the exact 10 neighbours; reads the rows not seen yet."""
        for start in np.unique(self.seen).tolist():
            self._look(np.flatnonzero(self.seen == start), start)
        self.seen[:] = len(self.rows)
        floors: NDArray[np.float32] = self.best.min(axis=1) - np.float32(TIE)
        return floors

    def grown(self, rows: Rows, random: np.random.Generator) -> "Trial":
        """The trial over more rows.

        As many queries as the added rows' share are made anew, of these: the sample is one of all rows, as before.

        Args:
            rows: They begin with the rows of this.
            random: Draws them.
        """
        n_old, n = len(self.rows), len(rows)
        anew = np.flatnonzero(random.random(len(self.queries)) * n >= n_old)
        grown = Trial(rows, self.queries.copy(), self.own_rows.copy(), self.best.copy(), self.seen.copy())
        if len(anew):
            grown.own_rows[anew] = random.integers(n_old, n, len(anew))
            grown.queries[anew] = moved(rows.vectors, grown.own_rows[anew], random)
            grown.best[anew], grown.seen[anew] = -np.inf, 0
        return grown

    def _look(self, asked: NDArray[np.intp], start: int) -> None:
        """Let some queries see the rows from `start` on."""
        queries, own_rows, best = self.queries[asked], self.own_rows[asked], self.best[asked]
        step = max(TUNED_K, TRUTH_FLOATS // len(asked))
        for first in range(start, len(self.rows), step):
            scores = queries @ self.rows.vectors[first : first + step].T
            own = own_rows - first
            is_here = (own >= 0) & (own < scores.shape[1])
            scores[is_here, own[is_here]] = -np.inf
            best = _best_of(best, scores)
        self.best[asked] = best


Trials = tuple[Trial, Trial]
"""One to tune with, one to measure with."""


def make_trials(rows: Rows, queries: Vectors | None) -> Trials:
    """Two trials of different queries: the caller's, else stored vectors moved towards where others lie.

    Args:
        rows: The rows, more than TUNED_K + 1.
        queries: (n, dim) float32 typical queries; fewer than 2 are none.
    """
    random = np.random.default_rng(0)
    if queries is not None and len(queries) > 1:
        chosen = queries[random.permutation(len(queries))[: 2 * SAMPLE]]
        own_rows = np.full(len(chosen), -1, dtype=np.int64)
    else:
        own_rows = random.permutation(len(rows))[: 2 * SAMPLE]
        chosen = moved(rows.vectors, own_rows, random)
    half = len(chosen) // 2
    return Trial(rows, chosen[:half], own_rows[:half]), Trial(rows, chosen[half:], own_rows[half:])


def grow_trials(trials: Trials, rows: Rows) -> Trials:
    """Both trials over more rows, which begin with theirs."""
    random = np.random.default_rng(len(rows))
    return trials[0].grown(rows, random), trials[1].grown(rows, random)


def moved(vectors: Vectors, own_rows: NDArray[np.int64], random: np.random.Generator) -> Vectors:
    """Queries made of stored vectors: (len(own_rows), dim) float32."""
    # The difference of two stored vectors is noise that looks like the data; round noise would change no neighbour.
    pairs = random.integers(0, len(vectors), (2, len(own_rows)))
    noise = vectors[pairs[0]] - vectors[pairs[1]]
    noise /= np.maximum(np.linalg.norm(noise, axis=1, keepdims=True), 1e-6)
    queries = vectors[own_rows] + NOISE * noise
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    return np.ascontiguousarray(queries, dtype=np.float32)


def save_trials(path: Path, trials: Trials) -> None:
    """Write what is not in the rows; not down to the disk."""
    np.savez(
        path,
        queries=np.concatenate([trial.queries for trial in trials]),
        own_rows=np.concatenate([trial.own_rows for trial in trials]),
        best=np.concatenate([trial.best for trial in trials]),
        seen=np.concatenate([trial.seen for trial in trials]),
    )


def load_trials(path: Path, rows: Rows) -> Trials:
    """Read what `save_trials` wrote of trials over these rows.

    Raises:
        ValueError: It did not.
    """
    try:
        with np.load(path, allow_pickle=False) as saved:
            queries, own_rows, best, seen = (saved[name] for name in ("queries", "own_rows", "best", "seen"))
    except (KeyError, BadZipFile) as error:
        raise ValueError(f"no trials: {error}") from error
    if queries.shape != (len(own_rows), rows.dim) or max(own_rows.max() + 1, seen.max()) > len(rows):
        raise ValueError(f"trials of {queries.shape} queries, not of {len(rows)} rows of dim {rows.dim}")
    half = len(queries) // 2
    first, second = slice(half), slice(half, None)
    return (
        Trial(rows, queries[first], own_rows[first], best[first], seen[first]),
        Trial(rows, queries[second], own_rows[second], best[second], seen[second]),
    )


def _best_of(best: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, TUNED_K) best of those known and (n, m) others."""
    is_better = scores > best.min(axis=1)[:, None]
    if np.count_nonzero(is_better) < scores.size // FEW_BETTER:
        scores = _gathered(scores, is_better)
    return np.partition(np.concatenate([best, scores], axis=1), -TUNED_K, axis=1)[:, -TUNED_K:]


def _gathered(scores: NDArray[np.float32], wanted: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The wanted scores of each row, moved to its front; -inf behind them."""
    rows, columns = np.nonzero(wanted)
    counts = np.bincount(rows, minlength=len(scores))
    gathered = np.full((len(scores), counts.max()), -np.inf, np.float32)
    gathered[rows, np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]] = scores[rows, columns]
    return gathered
