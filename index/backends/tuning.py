"""Choosing how many lists to look into and how many candidates to score again, by measuring against exact search."""

import math
from bisect import bisect_left
from dataclasses import replace
from functools import cache
from typing import Final

import numpy as np

from index.backends.faiss_ivf import IvfPqIndex
from index.backends.rows import FrozenIndex, Rows
from index.backends.trial import TUNED_K, Trial, moved
from index.interface import IndexReader
from index.spec import IndexSpec, choose_pq_m
from index.types import MISSING_ID

RERANKS: Final = (3, 4, 6, 8, 12, 16, 24, 40)
"""Candidates for each neighbour wanted that are tried, in this order."""

CODING_SAMPLE: Final = 64
"""Queries that judge codes of rows that they were not learned from."""

CODING_EFFORTS: Final = ((2, 1), (2, 4), (4, 8), (64, 8))
"""How many times the lists and the candidates of the base are tried for them. Lists of few rows cost little, and those
that hold the neighbours are more, where a query lies elsewhere than the rows.
"""

MARGIN: Final = 0.003
"""Reached above the target in tuning, since what is best on one sample is a little worse on another."""

CHANCE: Final = 0.001
"""Four of the sample's neighbours: what more lists find by chance alone."""

LIST_NS: Final = 450.0
BYTE_NS: Final = 0.02
CANDIDATE_NS: Final = 0.5
"""Cost of a list, of a byte of codes in it, of a number of a candidate: measured at 100,000 x 256 real embeddings, in
batches of 64, one thread."""


def tune(index: IvfPqIndex, trial: Trial, target: float) -> IndexSpec:
    """Find the cheapest nprobe and rerank that reach the target on the trial's queries.

    The cost is computed, not timed: the same vectors give the same index on a busy machine.

    Returns:
        The index's spec with both; where none reaches the target, the cheapest that comes as near but for chance.
    """
    wanted = min(1.0, target + MARGIN)
    nprobes = _nprobes(index.spec.nlist)
    recalls_of = cache(lambda nprobe: _recalls(index, trial, nprobe))
    # With the most candidates, more lists never find less but for chance; fewer than these never suffice.
    first = bisect_left(nprobes, True, key=lambda nprobe: recalls_of(nprobe)[-1] >= wanted)
    best, least = (0, 0), math.inf
    for nprobe in nprobes[first:]:
        if _cost_ns(index, nprobe, RERANKS[0]) >= least:
            break
        enough = (rerank for rerank, recall in zip(RERANKS, recalls_of(nprobe), strict=True) if recall >= wanted)
        rerank = next(enough, None)
        if rerank is not None and _cost_ns(index, nprobe, rerank) < least:
            best, least = (nprobe, rerank), _cost_ns(index, nprobe, rerank)
    if least == math.inf:
        coarse = [nprobe for nprobe in nprobes if nprobe & (nprobe - 1) == 0]
        most = max(recalls_of(nprobe)[-1] for nprobe in coarse)
        best = next(nprobe for nprobe in coarse if recalls_of(nprobe)[-1] >= most - CHANCE), RERANKS[-1]
    return replace(index.spec, nprobe=best[0], rerank=best[1])


def code_rows(base: FrozenIndex, rows: Rows, before: FrozenIndex | None) -> FrozenIndex | None:
    """Index other rows by what was learned for the base's, with as much effort as its target takes.

    How much that is, is measured anew whenever their number has doubled: a power of two lies between.

    Args:
        base: Whose lists and codes are taken.
        rows: Their ids may be in any order, and there more than once.
        before: What an earlier call returned for the first of them; only the others are coded then.

    Returns:
        None where nothing was learned, or where it does not fit these rows: they are to be searched exactly.
    """
    coded = base.code(rows, before)
    if not isinstance(base, IvfPqIndex) or not isinstance(coded, IvfPqIndex):
        return None
    if isinstance(before, IvfPqIndex) and len(before).bit_length() == len(rows).bit_length():
        coded.spec, coded.index_recall = before.spec, before.index_recall
        return coded
    own_rows = np.random.default_rng(len(rows)).permutation(len(rows))[:CODING_SAMPLE]
    trial = Trial(rows, moved(rows.vectors, own_rows, np.random.default_rng(0)), own_rows)
    for lists, candidates in CODING_EFFORTS:
        nprobe = min(base.spec.nlist, lists * base.spec.nprobe)
        coded.spec = replace(base.spec, nprobe=nprobe, rerank=candidates * base.spec.rerank)
        coded.index_recall = measure_recall(coded, trial)
        if coded.index_recall >= base.spec.target_recall - MARGIN:
            return coded
    return None


def measure_recall(index: IvfPqIndex, trial: Trial) -> float:
    """index_recall@10 of the index with its own nprobe and rerank."""
    return _recalls(index, trial, index.spec.nprobe, (index.spec.rerank,))[0]


def measure_by_search(index: IndexReader, trial: Trial) -> float:
    """index_recall@10 of any index over the trial's rows; the row that a query was made from is no answer to it."""
    found = index.search(trial.queries, TUNED_K + 1)
    own_ids = np.where(trial.own_rows >= 0, trial.rows.record_ids[trial.own_rows], MISSING_ID)
    good = (found.scores >= trial.floors[:, None]) & (found.record_ids != own_ids[:, None])
    return float(np.minimum(good.sum(axis=1), TUNED_K).mean() / TUNED_K)


def _recalls(index: IvfPqIndex, trial: Trial, nprobe: int, reranks: tuple[int, ...] = RERANKS) -> list[float]:
    """index_recall@10 with each of the reranks: the first candidates of a long list are those of a short one."""
    widths = [min(len(index), rerank * TUNED_K + 1) for rerank in reranks]
    floors, hits = trial.floors, np.zeros((len(trial.queries), widths[-1]), dtype=np.int64)
    for start in range(0, len(hits), 64):
        part = slice(start, start + 64)
        found = index.candidates(trial.queries[part], widths[-1], nprobe)
        good = index.score_in_place(trial.queries[part], found) >= floors[part, None]
        hits[part] = good & (found != trial.own_rows[part, None])
    reached = np.minimum(np.cumsum(hits, axis=1), TUNED_K)
    return [float(reached[:, width - 1].mean() / TUNED_K) for width in widths]


def _nprobes(nlist: int) -> list[int]:
    """Every number up to 16, then in steps of an eighth of the power of two below, up to all lists."""
    steps = {step << power for power in range(nlist.bit_length()) for step in range(8, 16)}
    return sorted(step for step in {*range(1, 8), *steps, nlist} if step <= nlist)


def _cost_ns(index: IvfPqIndex, nprobe: int, rerank: int) -> float:
    list_bytes = len(index) / index.spec.nlist * choose_pq_m(index.dim) / 2
    return nprobe * (LIST_NS + list_bytes * BYTE_NS) + rerank * TUNED_K * index.dim * CANDIDATE_NS
