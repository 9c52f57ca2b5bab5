"""How sentences are batched for the encoder: every one once, little padding, bounded."""

import numpy as np
import pytest

from model.contract.onnx_encoder import BATCH_TOKENS, _batches


def test_batches_are_cut_at_a_jump_in_length() -> None:
    assert list(_batches([5, 40, 5, 41, 6])) == [[0, 2, 4], [1, 3]]
    assert list(_batches([7])) == [[0]]
    assert list(_batches([])) == []


@pytest.mark.parametrize("n", [100, 20_000])
def test_every_row_is_in_one_batch_and_no_batch_is_too_large(n: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 65, n).tolist()
    batches = list(_batches(lengths))
    assert sorted(row for batch in batches for row in batch) == list(range(n))
    in_order = [lengths[row] for batch in batches for row in batch]
    assert in_order == sorted(in_order)
    for batch in batches:
        assert len(batch) * max(lengths[row] for row in batch) <= BATCH_TOKENS
