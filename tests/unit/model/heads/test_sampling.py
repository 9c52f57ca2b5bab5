"""Random subsets: different, complete, and every one equally likely."""

import numpy as np
import pytest
import torch
from scipy import stats

from model.heads.sampling import draw_others, draw_without_replacement


@pytest.mark.parametrize(("n", "count"), [(10, 0), (10, 3), (10, 9), (10, 10), (10, 12), (1000, 249), (100_000, 50)])
def test_what_is_drawn_is_different_and_in_range(n: int, count: int) -> None:
    drawn = draw_without_replacement(n, count, torch.Generator().manual_seed(0))
    assert len(drawn) == len(drawn.unique()) == min(n, count)
    assert set(drawn.tolist()) <= set(range(n))


@pytest.mark.parametrize("count", [2, 5])  # 2 of 9 is drawn by rejection, 5 of 9 by permutation
def test_every_subset_is_equally_likely(count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    subsets = [tuple(sorted(draw_without_replacement(9, count, generator).tolist())) for _ in range(12_600)]
    _, seen = np.unique(np.array(subsets), axis=0, return_counts=True)
    assert len(seen) == {2: 36, 5: 126}[count]
    assert stats.chisquare(seen).pvalue > 0.01


def test_excluded_numbers_are_never_drawn_and_all_others_may_be() -> None:
    generator = torch.Generator().manual_seed(0)
    excluded = torch.tensor([0, 1, 5, 8, 11])
    allowed = sorted(set(range(12)) - {0, 1, 5, 8, 11})
    assert sorted(draw_others(excluded, 12, 99, generator).tolist()) == allowed
    draws = [draw_others(excluded, 12, 2, generator).tolist() for _ in range(7000)]
    assert all(first != second for first, second in draws)
    seen = np.bincount(np.concatenate(draws), minlength=12)
    assert seen[excluded.numpy()].sum() == 0
    assert stats.chisquare(seen[allowed]).pvalue > 0.01
