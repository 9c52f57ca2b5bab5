"""What an epoch visits, and in which company."""

from collections import Counter

import numpy as np

from model.batching import draw_pairs, gather_neighbours, length_batches, n_pairs, pair_batches


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
    assert len(pairs) == n_pairs(list(sizes.values())) == sum((n + 1) // 2 for n in sizes.values() if n > 1)
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
