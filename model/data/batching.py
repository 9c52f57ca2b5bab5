"""Which sentences share a batch: by length, evenly over labels, a few labels with several each, or in pairs."""

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


def class_balanced_batches(
    label_indices: NDArray[np.int64],
    lengths: NDArray[np.int64],
    batch_size: int,
    rng: np.random.Generator,
) -> BatchPlan:
    """Batches as `length_batches` cuts them, of an epoch in which all labels come up equally often, to one row.

    An epoch has as many rows as the data. The sentences of a label take turns: all come equally often, to one time.

    Args:
        label_indices: (n,) label of each row.
        lengths: (n,) tokens of each row.
        batch_size: Rows a batch.
        rng: Draws everything.
    """
    counts = np.bincount(label_indices)
    present = counts > 0
    ends = np.cumsum(present / present.sum()) * len(label_indices)
    ends[-1] = len(label_indices)  # where rounding may have left it a little below
    # one offset for all, so that the whole numbers add up to n and none is off by more than one
    quotas: NDArray[np.int64] = np.diff(np.floor(ends + rng.random()), prepend=0).astype(np.int64)
    order = _shuffle_by_label(label_indices, rng)
    starts = np.cumsum(counts) - counts
    turns = _ranks(quotas) % np.repeat(np.maximum(counts, 1), quotas)
    rows = order[np.repeat(starts, quotas) + turns]
    return [rows[batch] for batch in length_batches(lengths[rows], batch_size, rng)]


def pk_batches(
    label_indices: NDArray[np.int64], n_groups: int, n_sentences: int, rng: np.random.Generator
) -> BatchPlan:
    """Batches of P groups with K sentences of each, for losses that compare inside a group.

    Each group is shuffled and cut into pieces of K. Its last piece is filled up from its first one, so a sentence
    comes once an epoch, and at most K - 1 of a group twice. A group smaller than K gives what it has: a sentence beside
    itself teaches nothing. Pieces of one group go to different batches; only where a group has more pieces than there
    are batches, it fills several places in one (`cap_groups` prevents that).

    Args:
        label_indices: (n,) group of each row.
        n_groups: Pieces a batch, P; a batch may have fewer so that all are about equal.
        n_sentences: Sentences a piece, K.
        rng: Draws everything.
    """
    # groups in random order; as their pieces are dealt out to the batches in turn, those of a group do not meet
    groups = rng.permutation(int(label_indices.max()) + 1)[label_indices]
    order = _shuffle_by_label(groups, rng)
    sizes = np.bincount(groups)
    sizes = sizes[sizes > 0]
    widths = np.minimum(sizes, n_sentences)
    n_pieces = -(-sizes // widths)
    visits = n_pieces * widths
    rows = order[np.repeat(np.cumsum(sizes) - sizes, visits) + _ranks(visits) % np.repeat(sizes, visits)]
    piece = np.repeat(np.arange(int(n_pieces.sum())), np.repeat(widths, n_pieces))
    n_batches = -(-int(n_pieces.sum()) // n_groups)
    batch = rng.permutation(n_batches)[piece % n_batches]
    return np.split(rows[np.argsort(batch, kind="stable")], np.cumsum(np.bincount(batch))[:-1])


def cap_groups(label_indices: NDArray[np.int64], most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The rows of one epoch in which no group has more than `most`: a large group sits out, others of it next time.

    A plan over the rest is a plan over all once its numbers are looked up: `rows[batch]`.

    Args:
        label_indices: (n,) group of each row.
        most: Rows of a group; 0 for all.
        rng: Draws who sits out.

    Returns:
        (n_kept,) rows, ascending.
    """
    if not most:
        return np.arange(len(label_indices))
    order = _shuffle_by_label(label_indices, rng)
    return np.sort(order[_ranks(np.bincount(label_indices)) < most])


def draw_pairs(
    label_indices: NDArray[np.int64], rng: np.random.Generator, *, alone: bool = False
) -> NDArray[np.int64]:
    """Pair up the sentences of each group at random; of an odd group one sentence serves twice.

    Args:
        label_indices: (n,) group of each row.
        rng: Draws everything.
        alone: Whether the sentence of a group of one is paired with itself; else such groups give no pair.

    Returns:
        (n_pairs, 2) rows, shuffled.
    """
    order = _shuffle_by_label(label_indices, rng)
    sizes = np.bincount(label_indices)
    ranks = _ranks(sizes)
    size = np.repeat(sizes, sizes)
    firsts = np.flatnonzero((ranks % 2 == 0) & ((size > 1) | alone))
    # an odd group's last sentence pairs with its first one
    seconds = np.where(ranks[firsts] + 1 < size[firsts], firsts + 1, firsts - ranks[firsts])
    pairs = np.stack([order[firsts], order[seconds]], axis=1)
    return pairs[rng.permutation(len(pairs))]


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


def _shuffle_by_label(label_indices: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """All rows, label after label, those of one label in random order."""
    order = rng.permutation(len(label_indices))
    return order[np.argsort(label_indices[order], kind="stable")]


def _ranks(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """0 .. size - 1 for each of the sizes, one after the other."""
    return np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
