"""How sure a difference is: paired tests of a candidate against what answers now, and intervals of single figures."""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

_Z: Final = 1.959963984540054
"""Of a normal variable, for 95 %."""

_RESAMPLES: Final = 2000
LEAST_DRAWN: Final = 1 / (_RESAMPLES + 1)
"""The least p-value that `better_than_chance` and `bootstrap_worse` can come to, however clear the case."""

_SIGNS: Final = 10_000
_BLOCK_SIGNS: Final = 1_000_000
_SEED: Final = 20181013


def mcnemar_worse(active: NDArray[np.bool_], candidate: NDArray[np.bool_]) -> float:
    """The exact one-sided p-value of the candidate being worse.

    Only sentences that one of the two answers rightly say anything: were they equally good, each of these n would be
    as likely the candidate's loss as its gain, so that losses are binomial(n, 1/2).

    Args:
        active, candidate: (n,) whether each answered rightly.

    Returns:
        The probability of so many losses, or more.

    Source: McNemar 1947, Psychometrika 12, in its exact form.
    """
    losses, gains = int((active & ~candidate).sum()), int((candidate & ~active).sum())
    return binomial_tail(losses, losses + gains, 0.5)


def worse_by_more(active: NDArray[np.bool_], candidate: NDArray[np.bool_], margin: float) -> float:
    """The one-sided p-value of the candidate being worse by more than a margin.

    The normal law of the mean difference, with one change more than there were so that it is not too narrow for few;
    never below McNemar's, since what is worse by more is worse.

    Args:
        active, candidate: (n,) whether each answered rightly.
        margin: Share of the sentences, in [0, 1].

    Source: Liu et al. 2002, Statistics in Medicine 21, tests for non-inferiority of paired shares.
    """
    exact = mcnemar_worse(active, candidate)
    n = len(active)
    if not margin or not n:
        return exact
    differences = candidate.astype(np.float64) - active
    error = math.sqrt(n * float(differences.var()) + 1) / n
    return max(exact, 0.5 * math.erfc(-(float(differences.mean()) + margin) / error / math.sqrt(2)))


def bundled_losses(active: NDArray[np.bool_], candidate: NDArray[np.bool_], groups: NDArray[np.int64]) -> float:
    """The one-sided p-value of the candidate being worse in some of the groups, which the mean over all may hide.

    Were they equally good, each sentence that one of the two answers rightly would be as likely a loss as a gain. So
    the sum over groups of squared net losses, gains of other groups making up for none, is compared with the same sum
    after signs are drawn anew.

    Args:
        active, candidate: (n,) whether each answered rightly.
        groups: (n,) number of each sentence's group, from 0 on.

    Source: Good 2005, Permutation, Parametric and Bootstrap Tests of Hypotheses, with one added to either count.
    """
    changed = np.flatnonzero(active != candidate)
    if not len(changed):
        return 1.0
    losses = np.where(candidate[changed], -1, 1)
    _, numbers = np.unique(groups[changed], return_inverse=True)
    seen = _squared_losses(losses[np.newaxis], numbers)
    rng = np.random.default_rng(_SEED)
    as_bad = 0
    step = max(1, _BLOCK_SIGNS // len(changed))
    for start in range(0, _SIGNS, step):
        signs = rng.integers(0, 2, (min(step, _SIGNS - start), len(changed))) * 2 - 1
        as_bad += int(np.sum(_squared_losses(signs, numbers) >= seen))
    return (as_bad + 1) / (_SIGNS + 1)


def binomial_tail(k: int, n: int, p: float) -> float:
    """The probability that a binomial(n, p) variable is k or more."""
    if k <= 0:
        return 1.0
    logs = [_log_choose(n, i) + i * math.log(p) + (n - i) * math.log1p(-p) for i in range(k, n + 1)]
    return min(1.0, math.fsum(math.exp(value) for value in logs))


def bootstrap_worse(active: NDArray[np.float64], candidate: NDArray[np.float64]) -> float:
    """The one-sided p-value of the candidate's mean being lower: the share of resampled sentences where it is not.

    Args:
        active, candidate: (n,) a score of each sentence.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, with one added to either count.
    """
    differences = candidate - active
    means = _resampled_means(differences)
    return float((np.sum(means >= 0) + 1) / (len(means) + 1))


def better_than_chance(given: NDArray[np.int64], true: NDArray[np.int64]) -> float:
    """The p-value of answers that have to do with the truth: the share of reorderings that are right as often.

    Unlike the share of the largest group, it asks the same of groups of any sizes.

    Args:
        given, true: (n,) numbers of groups; numbers of `given` that are in no row of `true` are always wrong.

    Source: Ernst 2004, Permutation Methods, Statistical Science 19, with one added to either count.
    """
    rng = np.random.default_rng(_SEED)
    right = np.sum(given == true)
    as_good = sum(int(np.sum(rng.permutation(given) == true) >= right) for _ in range(_RESAMPLES))
    return (as_good + 1) / (_RESAMPLES + 1)


def least_chance(true: NDArray[np.int64]) -> float:
    """The p-value that no answers could go below, however right: one in the orders of `true` that differ."""
    _, sizes = np.unique(true, return_counts=True)
    return math.exp(math.fsum(math.lgamma(size + 1) for size in sizes.tolist()) - math.lgamma(len(true) + 1))


def wilson(right: NDArray[np.bool_]) -> tuple[float, float]:
    """The 95 % interval of a share.

    Source: Wilson 1927, Journal of the American Statistical Association 22.
    """
    n = len(right)
    if not n:
        return 0.0, 1.0
    share = float(right.mean())
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval of a mean, by percentiles of resampled ones."""
    low, high = np.quantile(_resampled_means(values), (0.025, 0.975))
    return float(low), float(high)


def holm(p_values: Mapping[str, float], alpha: float) -> set[str]:
    """Which of several hypotheses to reject, so that any is rejected wrongly with probability alpha at most.

    Source: Holm 1979, Scandinavian Journal of Statistics 6.
    """
    rejected: set[str] = set()
    for place, (name, p_value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        if p_value > alpha / (len(p_values) - place):
            break
        rejected.add(name)
    return rejected


def _squared_losses(losses: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n_draws,) sums over groups of squared net losses; `losses` is (n_draws, n), `groups` (n,)."""
    n_draws, n_groups = len(losses), int(groups.max()) + 1
    bins = np.arange(n_draws)[:, np.newaxis] * n_groups + groups
    net = np.bincount(bins.ravel(), losses.ravel(), n_draws * n_groups).reshape(n_draws, n_groups)
    return np.asarray((np.maximum(net, 0.0) ** 2).sum(axis=1))


def _resampled_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    rng = np.random.default_rng(_SEED)
    means = np.empty(_RESAMPLES)
    for number in range(_RESAMPLES):
        means[number] = values[rng.integers(0, len(values), len(values))].mean()
    return means


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
