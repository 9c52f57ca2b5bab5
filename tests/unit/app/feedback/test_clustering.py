"""Clusters by leaders: against the definition written out in loops, and against SciPy's connected components."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from app.feedback.clustering import cluster

DIM = 6


def unit_rows(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def by_definition(cosines: NDArray[np.float32], threshold: float) -> list[list[int]]:
    """First the leaders, then each other one to the nearest of them."""
    leaders: list[int] = []
    for row in range(len(cosines)):
        if all(cosines[row][leader] < threshold for leader in leaders):
            leaders.append(row)
    clusters = {leader: [leader] for leader in leaders}
    for row in range(len(cosines)):
        if row not in clusters:
            clusters[max(leaders, key=lambda leader: (cosines[row][leader], -leader))].append(row)
    return [clusters[leader] for leader in leaders]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.floats(-0.5, 0.95))
def test_clusters_are_those_of_the_definition(seed: int, n: int, threshold: float) -> None:
    rows = unit_rows(np.random.default_rng(seed).normal(size=(n, DIM)))
    cosines = rows @ rows.T
    apart = np.abs(cosines - threshold)[~np.eye(n, dtype=bool)]
    if apart.size and apart.min() < 1e-5:
        return  # rounding may decide, and does so differently in another order of sums
    found = cluster(rows, threshold)
    assert found == by_definition(cosines, threshold)
    assert sorted(row for rows_of in found for row in rows_of) == list(range(n))
    leaders = [rows_of[0] for rows_of in found]
    assert all(cosines[row][rows_of[0]] >= threshold - 1e-6 for rows_of in found for row in rows_of)
    assert all(cosines[a][b] < threshold for a in leaders for b in leaders if a != b)


@pytest.mark.parametrize("seed", range(5))
def test_texts_in_heaps_apart_are_the_connected_components(seed: int) -> None:
    """Where no two heaps have a near pair, and each is tight, leaders and components are the same."""
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(rng.normal(size=(16, 16)))[0][: rng.integers(2, 9)]
    heap = rng.integers(0, len(centres), 200)
    rows = unit_rows(centres[heap] + rng.normal(0, 0.03, (200, 16)))
    near = csr_array(rows @ rows.T >= 0.8)
    n_components, component = connected_components(near, directed=False)
    expected = {tuple(np.flatnonzero(component == number).tolist()) for number in range(n_components)}
    found = cluster(rows, 0.8)
    assert {tuple(sorted(rows_of)) for rows_of in found} == expected
    assert len(found) == len(set(heap.tolist())) >= 2


def test_a_chain_is_not_one_cluster() -> None:
    """Each of these is near the next: components would put the first and the last together."""
    angles = np.arange(0, 90, 20) * np.pi / 180
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert cluster(rows, float(np.cos(25 * np.pi / 180))) == [[0, 1], [2, 3], [4]]


def test_no_texts_have_no_clusters() -> None:
    assert cluster(np.empty((0, DIM), np.float32), 0.5) == []
