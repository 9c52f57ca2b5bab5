"""The map: near sentences stay near, and it is the same map for the same data."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

from model.report.projection import MOST_GROUPS, MOST_POINTS, draw_map, principal_components, to_plane
from tests.fakes.finished_run import make_embeddings


def test_principal_components_are_those_of_scikit_learn_up_to_sign() -> None:
    points = make_embeddings(["a", "b", "c"] * 20, np.random.default_rng(0))
    ours, theirs = principal_components(points), PCA(2, svd_solver="full").fit_transform(points.astype(np.float64))
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-6)  # float32 rows, float64 inside
    assert all(column[np.abs(column).argmax()] > 0 for column in ours.T)


def test_near_embeddings_are_near_on_the_map_and_twice_the_same() -> None:
    points = make_embeddings([f"g{number % 12}" for number in range(240)], np.random.default_rng(1), spread=0.5)
    plane = to_plane(points)
    np.testing.assert_array_equal(plane, to_plane(points))
    assert trustworthiness(points, plane, n_neighbors=5) > max(
        0.9, trustworthiness(points, principal_components(points), n_neighbors=5)
    )


@pytest.mark.parametrize("n", [3, 31, 60])
def test_equal_sentences_do_not_break_it(n: int) -> None:
    same = np.tile(np.eye(1, 8, dtype=np.float32), (n, 1))
    chart = draw_map(["t"] * n, ["a", "b", "c"] * (n // 3) + ["a"] * (n % 3), n // 2, same)
    assert chart is not None
    assert all(np.isfinite([point.x, point.y]).all() for point in chart.points)


def test_named_groups_are_the_given_ones_then_the_largest_and_points_are_bounded() -> None:
    groups = [f"g{int(number**0.5)}" for number in range(3000)]
    texts = [f"t{number}" for number in range(3000)]
    chart = draw_map(texts, groups, 2500, make_embeddings(groups, np.random.default_rng(2)), first_groups=["g3"])
    assert chart is not None
    assert chart.groups == ("g3", "g53", "g52", "g51", "g50", "g49", "g48")  # g54 is cut off at 3000
    assert len(chart.groups) == MOST_GROUPS
    assert MOST_POINTS / 2 < len(chart.points) <= MOST_POINTS
    for point in chart.points:
        row = int(point.sentence[1:])
        assert point.group == groups[row]
        assert point.held_out == (row >= 2500)
        assert point.slot == (chart.groups.index(point.group) if point.group in chart.groups else None)
        assert 0 <= point.x <= 1
        assert 0 <= point.y <= 1


def test_too_few_sentences_have_no_map() -> None:
    assert draw_map(["a", "b"], ["x", "y"], 1, np.eye(2, dtype=np.float32)) is None
