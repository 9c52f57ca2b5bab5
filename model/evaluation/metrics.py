"""Metrics of a closed set (known groups) and of an open set (unseen groups), from predictions and neighbours."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.evaluation.neighbours import Nearest, nearest


def accuracy(predicted: Sequence[str], true: Sequence[str]) -> float:
    """Share of equal entries."""
    return float(np.mean([p == t for p, t in zip(predicted, true, strict=True)]))


def standard_error(share: float, n: int) -> float:
    """Of a share of n sentences, for a mean of values in [0, 1] an upper bound.

    Two more of each outcome are counted, or none wrong (or right) in a few would pass for certain.

    Source: Agresti and Coull 1998, "Approximate is better than exact".
    """
    likely = (share * n + 2) / (n + 4)
    return math.sqrt(likely * (1 - likely) / (n + 4))


def macro_f1(predicted: Sequence[str], true: Sequence[str]) -> float:
    """F1 of each label that occurs on either side, averaged without weights."""
    hits = Counter(t for p, t in zip(predicted, true, strict=True) if p == t)
    n_predicted, n_true = Counter(predicted), Counter(true)
    scores = [2 * hits[label] / (n_predicted[label] + n_true[label]) for label in n_predicted | n_true]
    return float(np.mean(scores))


def vote(found: Nearest, groups: Sequence[str], k: int) -> list[str]:
    """The group most frequent among the k nearest; a tie goes to the larger sum of scores."""
    winners = []
    for rows, scores in zip(found.rows[:, :k], found.scores[:, :k], strict=True):
        ballots: dict[str, tuple[int, float]] = {}
        for row, score in zip(rows, scores, strict=True):
            count, total = ballots.get(groups[row], (0, 0.0))
            ballots[groups[row]] = (count + 1, total + float(score))
        winners.append(max(ballots, key=ballots.__getitem__))
    return winners


def retrieval_metrics(embeddings: NDArray[np.float32], groups: Sequence[str]) -> dict[str, float]:
    """hit_rate@1/5/10, mrr@10 and map@r among the sentences themselves, each one a query.

    The query is excluded by its index. Sentences alone in their group are no queries but stay as distractors.

    Args:
        embeddings: (n, dim) unit rows.
        groups: Group of each.

    Source: Musgrave et al. 2020, arXiv:2003.08505, for map@r.
    """
    n_relevant = group_sizes(groups) - 1
    queries = np.flatnonzero(n_relevant)
    if not len(queries):
        return {}
    found = nearest(embeddings[queries], embeddings, max(10, int(n_relevant.max())), exclude=queries)
    return ranking_metrics(found.rows, queries, groups)


def ranking_metrics(ranked: NDArray[np.int64], queries: NDArray[np.int64], groups: Sequence[str]) -> dict[str, float]:
    """The metrics of `retrieval_metrics` from a ranking.

    Args:
        ranked: (n_queries, k) rows, best first, without the query; k at least the largest group less one.
        queries: (n_queries,) row of each query; each has another sentence in its group.
        groups: Group of every row.
    """
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    n_relevant = group_sizes(groups)[queries] - 1
    relevant = codes[ranked] == codes[queries][:, None]  # (n_queries, k)
    rank = np.arange(1, relevant.shape[1] + 1)
    first = np.where(relevant[:, :10].any(axis=1), relevant[:, :10].argmax(axis=1) + 1, np.inf)
    within_r = relevant & (rank <= n_relevant[:, None])
    precision = np.cumsum(within_r, axis=1) / rank
    return {
        "hit_rate@1": float((first <= 1).mean()),
        "hit_rate@5": float((first <= 5).mean()),
        "hit_rate@10": float((first <= 10).mean()),
        "mrr@10": float((1 / first).mean()),
        "map@r": float(((precision * within_r).sum(axis=1) / n_relevant).mean()),
    }


def group_sizes(groups: Sequence[str]) -> NDArray[np.int64]:
    """(n,) size of each row's group."""
    _, codes, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    return np.asarray(sizes[codes], np.int64)


def auroc(positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> float:
    """Chance that a positive scores above a negative, ties counting half."""
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, "left")
    up_to = np.searchsorted(ordered, positives, "right")
    return float((below + up_to).mean() / 2 / len(negatives))


def expected_calibration_error(confidences: NDArray[np.floating], right: NDArray[np.bool_], n_bins: int = 15) -> float:
    """How far confidence is from the share that is right, on average over bins of equally many entries.

    Args:
        confidences: (n,) in [0, 1]; equal ones are binned in the order given.
        right: (n,) whether each answer was right.
        n_bins: Of equal mass, as equal as n allows.

    Source: Nguyen and O'Connor 2015, arXiv:1508.05154, for bins of equal mass.
    """
    order = np.argsort(confidences, kind="stable")
    bins = [rows for rows in np.array_split(order, n_bins) if len(rows)]
    gaps = [abs(float(confidences[rows].mean()) - float(right[rows].mean())) * len(rows) for rows in bins]
    return sum(gaps) / max(1, len(confidences))
