"""Metrics against naive loops and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from model.evaluation.metrics import accuracy, auroc, macro_f1, retrieval_metrics, standard_error, vote
from model.evaluation.neighbours import Nearest, nearest


def unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    vectors = rng.standard_normal(shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.mark.parametrize(("share", "n"), [(0.5, 1000), (0.9, 500), (0.8, 2000)])
def test_two_thirds_of_shares_are_within_a_standard_error(share: float, n: int) -> None:
    drawn = np.random.default_rng(0).binomial(n, share, 20_000) / n
    within = np.mean([abs(each - share) <= standard_error(each, n) for each in drawn])
    assert within == pytest.approx(0.683, abs=0.06)


def test_all_right_in_a_few_is_not_certain() -> None:
    assert standard_error(1.0, 10) == pytest.approx(standard_error(0.0, 10))
    assert standard_error(1.0, 10) > 0.05


def naive_retrieval(vectors: np.ndarray, groups: list[str]) -> dict[str, float]:
    rows = []
    for query in range(len(groups)):
        n_relevant = groups.count(groups[query]) - 1
        if not n_relevant:
            continue
        others = sorted(
            (i for i in range(len(groups)) if i != query), key=lambda i: -float(vectors[query] @ vectors[i])
        )
        relevant = [groups[i] == groups[query] for i in others]
        first = next((rank for rank, hit in enumerate(relevant[:10], 1) if hit), None)
        precisions = [sum(relevant[: rank + 1]) / (rank + 1) for rank in range(n_relevant) if relevant[rank]]
        rows.append(
            [
                first == 1,
                bool(first and first <= 5),
                bool(first),
                1 / first if first else 0,
                sum(precisions) / n_relevant,
            ]
        )
    names = ["hit_rate@1", "hit_rate@5", "hit_rate@10", "mrr@10", "map@r"]
    return dict(zip(names, np.mean(np.array(rows, float), axis=0), strict=True))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_retrieval_metrics_match_the_naive_ones(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = [f"g{number}" for number in rng.integers(0, 25, 80)] + ["alone"]
    vectors = unit(rng, 81, 6)
    ours = retrieval_metrics(vectors, groups)
    assert ours == pytest.approx(naive_retrieval(vectors, groups), abs=1e-9)
    assert 0 < ours["hit_rate@1"] < 1


def test_the_query_is_left_out_by_index_and_not_by_rank() -> None:
    """Two equal vectors of different groups: the twin comes first, so the hit rate is 0, not 1."""
    twins = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    assert retrieval_metrics(twins, ["a", "b", "a", "b"])["hit_rate@1"] == 0


def test_only_singletons_means_no_metric() -> None:
    assert retrieval_metrics(unit(np.random.default_rng(0), 3, 4), ["a", "b", "c"]) == {}


def test_nearest_matches_a_full_sort() -> None:
    rng = np.random.default_rng(3)
    queries, stored = unit(rng, 30, 8), unit(rng, 200, 8)
    found = nearest(queries, stored, 7)
    for row, query in enumerate(queries):
        expected = np.argsort(-(stored @ query), kind="stable")[:7]
        assert found.rows[row].tolist() == expected.tolist()
        np.testing.assert_allclose(found.scores[row], (stored @ query)[expected], atol=1e-6)


def test_vote_breaks_ties_by_score() -> None:
    found = Nearest(np.array([[0, 1, 2, 3]]), np.array([[0.9, 0.8, 0.7, 0.2]], np.float32))
    assert vote(found, ["a", "b", "b", "a"], 1) == ["a"]
    assert vote(found, ["a", "b", "b", "a"], 3) == ["b"]
    assert vote(found, ["a", "b", "b", "a"], 4) == ["b"]  # two each, 1.5 against 1.1


def test_accuracy_and_macro_f1_match_scikit_learn() -> None:
    rng = np.random.default_rng(4)
    true = [f"l{number}" for number in rng.integers(0, 6, 100)]
    predicted = [label if rng.random() < 0.6 else "l1" for label in true]
    assert macro_f1(predicted, true) == pytest.approx(f1_score(true, predicted, average="macro"))
    assert accuracy(predicted, true) == np.mean(np.array(predicted) == np.array(true))


def test_auroc_matches_scikit_learn_with_ties() -> None:
    rng = np.random.default_rng(5)
    inside, outside = rng.integers(0, 8, 60) / 8.0, rng.integers(0, 6, 40) / 8.0
    expected = roc_auc_score([1] * 60 + [0] * 40, np.concatenate([inside, outside]))
    assert auroc(inside, outside) == pytest.approx(expected)
