"""Texts that are near each other, by leaders: small, exact, and the same for the same texts in the same order.

A leader is a text that no earlier leader is near; every other text goes to the nearest leader. Unlike the connected
parts of the graph of near pairs, a cluster has no chains: each text of it is near the first one, which stands for all.
"""

import numpy as np
from numpy.typing import NDArray


def cluster(embeddings: NDArray[np.float32], threshold: float) -> list[list[int]]:
    """Cluster unit vectors.

    Args:
        embeddings: (n, dim) float32 of unit length; earlier ones become leaders first.
        threshold: Least cosine to be near, in [-1, 1].

    Returns:
        The rows of each cluster: its leader, then the others in their order; clusters in the order of their leaders.
    """
    if not len(embeddings):
        return []
    leaders = _leaders(embeddings, threshold)
    nearest = np.argmax(embeddings @ embeddings[leaders].T, axis=1)  # of equally near ones the first
    clusters: list[list[int]] = [[leader] for leader in leaders]
    is_leader = set(leaders)
    for row, position in enumerate(nearest.tolist()):
        if row not in is_leader:
            clusters[position].append(row)
    return clusters


def _leaders(embeddings: NDArray[np.float32], threshold: float) -> list[int]:
    leaders: list[int] = []
    is_near = np.zeros(len(embeddings), bool)  # to a leader so far
    for row in range(len(embeddings)):
        if not is_near[row]:
            leaders.append(row)
            is_near |= embeddings @ embeddings[row] >= threshold
    return leaders
