"""Random subsets whose cost follows the subset, not the whole."""

import torch
from torch import Tensor


def draw_others(excluded: Tensor, n: int, count: int, generator: torch.Generator) -> Tensor:
    """Draw `count` different numbers of range(n) that are none of `excluded`; all of them if there are no more.

    Args:
        excluded: (P,) int64, sorted, different.
        n: Numbers to choose from.
        count: Numbers to draw.
        generator: On the CPU.

    Returns:
        (min(count, n - P),) int64, every subset equally likely, on the device of `excluded`.
    """
    ranks = draw_without_replacement(n - len(excluded), count, generator).to(excluded.device)
    # the number of rank r among those not excluded is r plus the excluded ones before it
    gaps = excluded - torch.arange(len(excluded), device=excluded.device)
    return ranks + torch.searchsorted(gaps, ranks, right=True)


def draw_without_replacement(n: int, count: int, generator: torch.Generator) -> Tensor:
    """Draw `count` different numbers of range(n) in O(count log count); all of them, in order, if count >= n.

    Returns:
        (min(count, n),) int64.
    """
    if count >= n:
        return torch.arange(n)
    if 4 * count >= n:
        return torch.randperm(n, generator=generator)[:count]
    # the distinct ones of many draws are a random subset; twice as many draws are nearly always enough
    drawn = torch.randint(n, (2 * count,), generator=generator)
    while len(distinct := torch.unique(drawn)) < count:
        drawn = torch.cat([drawn, torch.randint(n, (count,), generator=generator)])
    chosen: Tensor = distinct[torch.randperm(len(distinct), generator=generator)[:count]]
    return chosen
