"""Which sentences share a batch: by length for the head, in pairs of one group for the in-batch objective."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BatchPlan = list[NDArray[np.int64]]
"""The row numbers of each batch of an epoch, in order."""

_POOL_BATCHES = 50
_CELL_PAIRS = 16


def length_batches(lengths: NDArray[np.int64], batch_size: int, rng: np.random.Generator) -> BatchPlan:
    """Shuffle, then sort by length inside pools of fifty batches: little padding, still random."""
    order = rng.permutation(len(lengths))
    pool = batch_size * _POOL_BATCHES
    batches: BatchPlan = []
    for start in range(0, len(order), pool):
        rows = order[start : start + pool]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[cut : cut + batch_size] for cut in range(0, len(rows), batch_size)]
    return [batches[number] for number in rng.permutation(len(batches))]


def draw_pairs(label_indices: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Pair up the sentences of each group at random; of an odd group one sentence serves twice.

    Returns:
        (n_pairs, 2) rows, shuffled. Groups of one give none.
    """
    order = rng.permutation(len(label_indices))
    order = order[np.argsort(label_indices[order], kind="stable")]
    starts = np.flatnonzero(np.diff(label_indices[order], prepend=-1))
    pairs: list[tuple[int, int]] = []
    for members in np.split(order, starts[1:]):
        if len(members) >= 2:
            pairs += zip(members[0::2], members[1::2], strict=False)
            if len(members) % 2:
                pairs.append((members[-1], members[0]))
    drawn = np.array(pairs, np.int64).reshape(-1, 2)
    return drawn[rng.permutation(len(drawn))]


def pair_batches(pairs: NDArray[np.int64], batch_size: int) -> BatchPlan:
    """Cut pairs into batches of `batch_size` sentences: all first sentences, then all second ones.

    A last batch of one pair has no negative; it joins the batch before.
    """
    per_batch = max(2, batch_size // 2)
    cuts = list(range(0, len(pairs), per_batch))
    if len(cuts) > 1 and len(pairs) - cuts[-1] < 2:
        cuts.pop()
    return [pairs[start:end].T.reshape(-1) for start, end in zip(cuts, [*cuts[1:], len(pairs)], strict=True)]


def gather_neighbours(
    pairs: NDArray[np.int64], embeddings: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Order pairs so that near ones stand together, which makes the batches cut from them hard.

    Random hyperplanes halve the pairs again and again until a cell holds at most sixteen; the cells come shuffled.

    Args:
        pairs: (n_pairs, 2) rows.
        embeddings: (n_rows, dim) of the encoder as it is now.
        rng: Draws the hyperplanes.
    """
    centres = embeddings[pairs[:, 0]] + embeddings[pairs[:, 1]]
    cells = [np.arange(len(pairs))]
    while len(cells[0]) > _CELL_PAIRS:
        halves: list[NDArray[np.int64]] = []
        for cell in cells:
            side = centres[cell] @ rng.standard_normal(centres.shape[1], np.float32)
            halves += np.array_split(cell[np.argsort(side, kind="stable")], 2)
        cells = sorted(halves, key=len, reverse=True)
    order = np.concatenate([cells[number] for number in rng.permutation(len(cells))])
    return np.asarray(pairs[order], np.int64)


def n_pairs(group_sizes: Sequence[int]) -> int:
    """How many pairs `draw_pairs` will draw from groups of these sizes."""
    return sum((size + 1) // 2 for size in group_sizes if size >= 2)
