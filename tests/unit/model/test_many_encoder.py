"""Many sentences by a table of their tokens: the embeddings of each alone, whatever they share it with."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from model.config import Config
from model.contract import many_encoder
from model.contract.many_encoder import FROM_SENTENCES, ManyEncoder
from model.contract.onnx_encoder import OnnxEncoder
from model.contract.text import TextConfig, TextContract, Tokens
from model.encoder import SentenceEncoder
from model.export.graphs import to_onnx

WORDS = [f"word{number}" for number in range(40)]


@pytest.fixture(params=[64, 0], ids=["grams", "no grams"])
def encoder(request: pytest.FixtureRequest) -> OnnxEncoder:
    torch.manual_seed(0)
    contract = TextContract(TextConfig(buckets=request.param, max_tokens=30), WORDS[:20])
    config = Config(word_dim=12, hidden_size=8, buckets=request.param)
    return to_onnx(SentenceEncoder(contract.n_ids, config).eval(), contract, "float32")[1]


def sentences(n: int) -> list[str]:
    """Of nothing, of one token to thirty and more; words that the vocabulary has and others, some sentences twice."""
    random = np.random.default_rng(n)
    return [" ".join(random.choice([*WORDS, "退款", "?"], length)) for length in random.integers(0, 40, n)]


def many_of(encoder: OnnxEncoder) -> ManyEncoder:
    assert encoder.many is not None
    return encoder.many


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 500])
def test_each_has_the_embedding_that_it_has_alone(encoder: OnnxEncoder, n: int) -> None:
    tokens = [encoder.contract.tokenise(text) for text in sentences(n)]
    alone = np.concatenate([encoder.encode_tokens([sentence]) for sentence in tokens])
    np.testing.assert_allclose(many_of(encoder).encode_tokens(tokens), alone, atol=1e-6, rtol=0)


def test_none_have_none(encoder: OnnxEncoder) -> None:
    assert many_of(encoder).encode_tokens([]).shape == (0, encoder.dim)


def test_tables_are_bounded_by_the_tokens_of_their_sentences(
    encoder: OnnxEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sentences of thirty tokens, then one longer than a table may have by itself."""
    tokens = [encoder.contract.tokenise(text) for text in sentences(200)]
    expected = many_of(encoder).encode_tokens(tokens)
    seen: list[int] = []
    table = ManyEncoder._table

    def told(self: ManyEncoder, sentences: Sequence[Tokens], pool: object) -> object:
        seen.append(sum(map(len, sentences)))
        return table(self, sentences, pool)  # type: ignore[arg-type]

    monkeypatch.setattr(ManyEncoder, "_table", told)
    for most in (300, 1):
        seen.clear()
        monkeypatch.setattr(many_encoder, "MOST_TOKENS", most)
        np.testing.assert_allclose(many_of(encoder).encode_tokens(tokens), expected, atol=1e-6, rtol=0)
        assert sum(seen) == sum(map(len, tokens))
        assert max(seen) <= max(most, max(map(len, tokens)))


def test_threads_share_the_work_and_change_nothing(encoder: OnnxEncoder) -> None:
    tokens = [encoder.contract.tokenise(text) for text in sentences(700)]
    with ThreadPoolExecutor(3) as pool:
        together = many_of(encoder).encode_tokens(tokens, pool=pool)
    assert together.tobytes() == many_of(encoder).encode_tokens(tokens).tobytes()


@pytest.mark.parametrize(("n", "is_many"), [(FROM_SENTENCES - 1, False), (FROM_SENTENCES, True)])
def test_an_encoder_takes_this_way_from_so_many_sentences_on(
    encoder: OnnxEncoder, monkeypatch: pytest.MonkeyPatch, n: int, is_many: bool
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(ManyEncoder, "encode_tokens", lambda _, sentences, **__: asked.append(len(sentences)))
    encoder.encode(sentences(n))
    assert asked == ([n] if is_many else [])
