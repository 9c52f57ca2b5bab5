"""How sentences are batched for the encoder: every one once, little padding, bounded."""

import numpy as np
import pytest

from model.contract.onnx_encoder import BATCH_CELLS, _batches


def test_batches_are_cut_at_a_jump_in_length() -> None:
    assert list(_batches([5, 40, 5, 41, 6], [0] * 5)) == [[0, 2, 4], [1, 3]]
    assert list(_batches([7], [3])) == [[0]]
    assert list(_batches([], [])) == []


def test_sentences_of_a_length_are_together_by_their_grams() -> None:
    """So that the many grams of one do not widen a call of sentences with few."""
    lengths, grams = [16] * 40, [24, 2] * 20
    first, *others = _batches(lengths, grams)
    assert first[:20] == list(range(1, 40, 2))
    assert {grams[row] for batch in others for row in batch} == {24}


@pytest.mark.parametrize("n", [100, 20_000])
def test_every_row_is_in_one_batch_and_no_batch_is_too_large(n: int) -> None:
    rng = np.random.default_rng(0)
    lengths, grams = rng.integers(1, 65, n).tolist(), rng.integers(0, 25, n).tolist()
    batches = list(_batches(lengths, grams))
    assert sorted(row for batch in batches for row in batch) == list(range(n))
    in_order = [lengths[row] for batch in batches for row in batch]
    assert in_order == sorted(in_order)
    for batch in batches:
        widest = max(grams[row] for row in batch)
        assert len(batch) <= 8 or len(batch) * max(lengths[row] for row in batch) * (1 + widest) <= BATCH_CELLS
