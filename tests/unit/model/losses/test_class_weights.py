"""Class weights against scikit-learn and the formula."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from model.losses.class_weights import balanced_weights, effective_number_weights

COUNTS = st.lists(st.integers(0, 1000), min_size=1, max_size=30).filter(any)


@given(COUNTS)
def test_balanced_weights_are_those_of_scikit_learn(counts: list[int]) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    present = np.unique(labels)
    expected = np.zeros(len(counts))
    expected[present] = compute_class_weight("balanced", classes=present, y=labels)
    np.testing.assert_allclose(balanced_weights(np.array(counts)), expected, rtol=1e-6)


@given(COUNTS, st.sampled_from([0.0, 0.5, 0.99, 0.999, 0.9999]))
def test_effective_number_weights_match_the_sum_of_a_series(counts: list[int], beta: float) -> None:
    """The effective number is 1 + beta + beta^2 + ... with n_k terms."""
    raw = np.array([1 / sum(beta**i for i in range(n)) if n else 0.0 for n in counts])
    expected = raw * sum(counts) / (raw @ counts)
    np.testing.assert_allclose(effective_number_weights(torch.tensor(counts), beta), expected, rtol=1e-5)


@given(COUNTS, st.floats(0, 0.99999))
def test_the_mean_over_sentences_is_1(counts: list[int], beta: float) -> None:
    sizes = np.array(counts)
    for weights in (balanced_weights(sizes), effective_number_weights(sizes, beta)):
        assert weights.dtype == torch.float32
        assert weights.numpy() @ sizes / sizes.sum() == pytest.approx(1, rel=1e-5)


def test_beta_runs_from_no_weights_to_balanced_ones() -> None:
    counts = np.array([1, 5, 50, 0])
    np.testing.assert_allclose(effective_number_weights(counts, 0.0), [1, 1, 1, 0])
    np.testing.assert_allclose(effective_number_weights(counts, 1 - 1e-9), balanced_weights(counts), rtol=1e-5)


@pytest.mark.parametrize("counts", [[0, 0], [3, -1]])
def test_counts_that_make_no_sense_are_refused(counts: list[int]) -> None:
    with pytest.raises(ValueError, match=r"are \["):
        balanced_weights(np.array(counts))


@pytest.mark.parametrize("beta", [-0.1, 1.0])
def test_beta_outside_its_range_is_refused(beta: float) -> None:
    with pytest.raises(ValueError, match=str(beta)):
        effective_number_weights(np.array([1, 2]), beta)
