"""Sentences as tensors, against the tokens that they came from."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.contract.text import PAD_ID, Tokens
from model.data.features import FeatureTable

TOKEN = st.tuples(st.integers(1, 9), st.lists(st.integers(1, 5), max_size=3))
SENTENCES = st.lists(st.lists(TOKEN, min_size=1, max_size=6), min_size=1, max_size=8)


def tokens_of(sentence: list[tuple[int, list[int]]]) -> Tokens:
    grams = [np.array(rows, np.int32).tobytes() for _, rows in sentence]
    return Tokens([token_id for token_id, _ in sentence], grams, False)


@given(SENTENCES, st.lists(st.integers(0, 7), min_size=1, max_size=10))
def test_a_batch_says_of_each_sentence_what_its_tokens_say(
    sentences: list[list[tuple[int, list[int]]]], chosen: list[int]
) -> None:
    table = FeatureTable(tokens_of(sentence) for sentence in sentences)  # a generator will do
    rows = [row % len(sentences) for row in chosen]
    assert len(table) == len(sentences)
    assert table.lengths.tolist() == [len(sentence) for sentence in sentences]
    batch = table.batch(rows)
    assert batch.lengths.tolist() == [len(sentences[row]) for row in rows]
    assert batch.positions.shape == (len(rows), max(batch.lengths.tolist()))
    ends = [*batch.gram_offsets.tolist()[1:], len(batch.grams)]
    seen = [
        (token_id, batch.grams.tolist()[start:end])
        for token_id, start, end in zip(batch.token_ids.tolist(), batch.gram_offsets.tolist(), ends, strict=True)
    ]
    assert seen[0] == (PAD_ID, [])
    assert len({(token_id, tuple(grams)) for token_id, grams in seen}) == len(seen)  # each distinct token once
    for row, positions in zip(rows, batch.positions.tolist(), strict=True):
        assert [seen[position] for position in positions[: len(sentences[row])]] == sentences[row]
        assert set(positions[len(sentences[row]) :]) <= {0}
    for (_, grams), scale in zip(seen, batch.gram_scale.ravel().tolist(), strict=True):
        assert np.isclose(scale, len(grams) ** -0.5 if grams else 0.0, rtol=1e-6)
