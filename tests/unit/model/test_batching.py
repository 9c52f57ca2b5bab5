"""What an epoch visits, and in which company."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.data.batching import (
    cap_groups,
    class_balanced_batches,
    draw_pairs,
    gather_neighbours,
    length_batches,
    pair_batches,
    pk_batches,
)

SIZES = st.lists(st.integers(1, 12), min_size=1, max_size=20)


def labels_of(sizes: list[int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))


def naive_pairs(groups: np.ndarray, rng: np.random.Generator, *, alone: bool) -> np.ndarray:
    """The same draw, group by group."""
    members: dict[int, list[int]] = {}
    for row in rng.permutation(len(groups)):
        members.setdefault(int(groups[row]), []).append(int(row))
    pairs: list[tuple[int, int]] = []
    for _, rows in sorted(members.items()):
        if len(rows) > 1 or alone:
            pairs += [(rows[at], (rows[at + 1 :] + rows[:1])[0]) for at in range(0, len(rows), 2)]
    drawn = np.array(pairs, np.int64).reshape(-1, 2)
    return drawn[rng.permutation(len(drawn))]


def test_length_batches_visit_each_row_once_and_pad_little() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 60, 5000)
    batches = length_batches(lengths, 64, rng)
    assert sorted(np.concatenate(batches).tolist()) == list(range(5000))
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    shuffled = rng.permutation(5000)
    random = sum(len(c) * lengths[c].max() for c in np.array_split(shuffled, 79))
    assert padded < 1.1 * lengths.sum() < random
    assert not np.array_equal(np.concatenate(batches), np.concatenate(length_batches(lengths, 64, rng)))


def test_pairs_share_a_group_and_cover_every_row_that_can_pair() -> None:
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 40, 200)
    groups[0] = 99  # alone
    pairs = draw_pairs(groups, rng)
    assert (groups[pairs[:, 0]] == groups[pairs[:, 1]]).all()
    assert (pairs[:, 0] != pairs[:, 1]).all()
    sizes = Counter(groups.tolist())
    assert len(pairs) == sum((n + 1) // 2 for n in sizes.values() if n > 1)
    assert set(pairs.ravel().tolist()) == {row for row in range(200) if sizes[int(groups[row])] > 1}


def test_no_pair_at_all() -> None:
    assert draw_pairs(np.arange(5), np.random.default_rng(0)).shape == (0, 2)


def test_pair_batches_put_partners_half_a_batch_apart() -> None:
    pairs = np.arange(18).reshape(9, 2)
    batches = pair_batches(pairs, 8)
    assert [len(batch) for batch in batches] == [8, 10]  # a lone last pair joins the batch before it
    for batch in batches:
        first, second = batch[: len(batch) // 2], batch[len(batch) // 2 :]
        assert (second - first == 1).all()


def test_gathered_pairs_stand_beside_their_neighbours() -> None:
    rng = np.random.default_rng(2)
    centres = rng.standard_normal((32, 16)).astype(np.float32)
    topic = np.repeat(np.arange(32), 32)
    embeddings = centres[topic] + 0.05 * rng.standard_normal((1024, 16)).astype(np.float32)
    pairs = rng.permutation(1024).reshape(512, 2)
    pairs[:, 1] = (pairs[:, 0] // 32) * 32 + rng.integers(0, 32, 512)  # a partner of the same topic
    gathered = gather_neighbours(pairs, embeddings, rng)
    assert sorted(map(tuple, gathered.tolist())) == sorted(map(tuple, pairs.tolist()))

    def mates(order: np.ndarray) -> float:
        cells = topic[order[:, 0]].reshape(-1, 16)
        return float(np.mean([(cell[:, None] == cell).mean() for cell in cells]))

    assert mates(gathered) > 5 * mates(pairs)


@given(SIZES, st.integers(0, 9), st.booleans())
def test_pairs_equal_those_drawn_group_by_group(sizes: list[int], seed: int, alone: bool) -> None:
    groups = labels_of(sizes, seed)
    drawn = draw_pairs(groups, np.random.default_rng(seed), alone=alone)
    assert np.array_equal(drawn, naive_pairs(groups, np.random.default_rng(seed), alone=alone))


def test_a_class_balanced_epoch_shows_all_labels_equally_often() -> None:
    sizes = [200, 3, 40, 1, 7]
    labels = labels_of(sizes, 0)
    batches = class_balanced_batches(labels, np.ones(251, np.int64), 16, np.random.default_rng(1))
    rows = np.concatenate(batches)
    assert len(rows) == 251
    assert (np.abs(np.bincount(labels[rows]) - 251 / 5) < 1 + 1e-9).all()
    visits = np.bincount(rows, minlength=251)
    for label in range(5):
        assert np.ptp(visits[labels == label]) <= 1  # the sentences of a label take turns


def test_class_balanced_epochs_differ_and_repeat_with_the_seed() -> None:
    labels = labels_of([50, 2], 0)
    lengths = np.random.default_rng(0).integers(1, 9, 52)
    first, again, other = (
        np.concatenate(class_balanced_batches(labels, lengths, 8, np.random.default_rng(seed))) for seed in (3, 3, 4)
    )
    assert np.array_equal(first, again)
    assert set(first) != set(other)  # the large label sends others each epoch


def test_a_label_without_rows_is_never_drawn() -> None:
    labels = np.array([0, 0, 0, 2])
    rows = np.concatenate(class_balanced_batches(labels, np.ones(4, np.int64), 2, np.random.default_rng(0)))
    assert np.bincount(labels[rows]).tolist() == [2, 0, 2]


@given(SIZES, st.integers(1, 6), st.integers(1, 5), st.integers(0, 9))
def test_pk_batches_hold_p_groups_of_k(sizes: list[int], p: int, k: int, seed: int) -> None:
    groups = labels_of(sizes, seed)
    batches = pk_batches(groups, p, k, np.random.default_rng(seed))
    pieces = sum(-(-size // min(size, k)) for size in sizes)
    assert len(batches) == -(-pieces // p)
    visits = np.bincount(np.concatenate(batches), minlength=len(groups))
    for group, size in enumerate(sizes):
        of_group = visits[groups == group]
        assert of_group.min() >= 1
        assert of_group.max() <= 2
        assert of_group.sum() - size == -size % min(size, k)  # only the last piece is filled up
    for batch in batches:
        counts = np.bincount(groups[batch], minlength=len(sizes))
        present = np.flatnonzero(counts)
        assert len(present) <= p
        for group in present:
            width, n_pieces = min(sizes[group], k), -(-sizes[group] // min(sizes[group], k))
            if n_pieces <= len(batches):
                assert counts[group] == width
                assert len(set(batch[groups[batch] == group])) == width  # no sentence beside itself


def test_pk_batches_mix_groups_anew_each_epoch() -> None:
    groups = labels_of([4] * 64, 0)
    rng = np.random.default_rng(0)
    first, second = ({frozenset(groups[batch]) for batch in pk_batches(groups, 8, 4, rng)} for _ in range(2))
    assert all(len(mates) == 8 for mates in first | second)
    assert not first & second


def test_a_capped_group_sends_others_each_epoch() -> None:
    groups = labels_of([40, 3, 1], 0)
    rng = np.random.default_rng(0)
    epochs = [cap_groups(groups, 5, rng) for _ in range(40)]
    for rows in epochs:
        assert np.bincount(groups[rows]).tolist() == [5, 3, 1]
        assert (np.diff(rows) > 0).all()
    visits = np.bincount(np.concatenate(epochs), minlength=44)
    assert visits[groups == 0].min() > 0  # 40 draws of 5 out of 40: each sentence about five times
    assert visits[groups == 0].max() < 16
