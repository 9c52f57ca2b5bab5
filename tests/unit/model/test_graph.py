"""The ONNX graph against torch, for every pooling, depth and direction, and proof that a wrong graph is caught."""

import itertools

import numpy as np
import pytest
import torch

from model.config import Config, Pooling
from model.contract.onnx_encoder import OnnxEncoder
from model.contract.text import TextConfig, TextContract, Tokens, pad
from model.data.features import FeatureTable
from model.encoder import SentenceEncoder
from model.errors import ParityError
from model.export.graph import build_graph
from model.export.graphs import to_onnx
from model.export.parity import check_parity

VOCABULARY = [f"w{number}" for number in range(50)]
SHAPES = list(itertools.product(Pooling, (1, 2), (False, True), (0, 64), (0.0, 0.7)))


def make(config: Config) -> tuple[SentenceEncoder, OnnxEncoder]:
    torch.manual_seed(0)
    contract = TextContract(TextConfig(buckets=config.buckets, max_tokens=20), VOCABULARY)
    encoder = SentenceEncoder(contract.n_ids, config).eval()
    return encoder, to_onnx(encoder, contract, "float32")[1]


@pytest.mark.parametrize(("pooling", "num_layers", "bidirectional", "buckets", "bag_weight"), SHAPES)
def test_graph_equals_torch(
    pooling: Pooling, num_layers: int, bidirectional: bool, buckets: int, bag_weight: float
) -> None:
    config = Config(
        word_dim=12,
        hidden_size=8,
        pooling=pooling,
        num_layers=num_layers,
        bidirectional=bidirectional,
        buckets=buckets,
        bag_weight=bag_weight,
    )
    encoder, exported = make(config)
    assert exported.dim == encoder.dim
    assert check_parity(encoder, exported) < 2e-6


def test_float16_storage_is_half_the_size_and_near() -> None:
    encoder, exact = make(Config(word_dim=64, hidden_size=64, buckets=512))
    graphs = {storage: build_graph(encoder, storage) for storage in ("float32", "float16")}
    assert len(graphs["float16"]) < 0.55 * len(graphs["float32"])
    rounded = OnnxEncoder(exact.contract, graphs["float16"])
    sentences = ["w1 w2 unknown", "w3", ""]
    difference = np.abs(rounded.encode(sentences) - exact.encode(sentences)).max()
    assert 0 < difference < 2e-3


def test_embeddings_are_unit_length_and_need_no_batch() -> None:
    _, exported = make(Config(word_dim=12, hidden_size=8, buckets=64))
    sentences = [f"w{number} " * (number % 19 + 1) for number in range(300)] + ["", "w" * 5000]
    together = exported.encode(sentences)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    alone = np.concatenate([exported.encode([sentence]) for sentence in sentences])
    assert np.abs(together - alone).max() <= 1e-6


def test_parity_catches_a_graph_with_other_weights() -> None:
    encoder, exported = make(Config(word_dim=12, hidden_size=8, buckets=64))
    with torch.no_grad():
        encoder.gru.bias_hh_l0_reverse[3] += 0.01
    with pytest.raises(ParityError, match="torch and ONNX Runtime"):
        check_parity(encoder, exported)


def with_other_graphs_for_many(bias: str, shift: float) -> tuple[SentenceEncoder, OnnxEncoder]:
    """An encoder, and its export with graphs for many sentences in which one number of a bias is another."""
    encoder, exported = make(Config(word_dim=12, hidden_size=8, buckets=64))
    few = build_graph(encoder, "float32")
    with torch.no_grad():
        getattr(encoder.gru, bias)[3] += shift
    _, other = to_onnx(encoder, exported.contract, "float32")
    with torch.no_grad():
        getattr(encoder.gru, bias)[3] -= shift
    return encoder, OnnxEncoder(exported.contract, few, many=other.many)


@pytest.mark.parametrize("bias", ["bias_ih_l0", "bias_hh_l0_reverse"])
def test_parity_catches_graphs_for_many_sentences_that_answer_differently(bias: str) -> None:
    with pytest.raises(ParityError, match="for many sentences and for few"):
        check_parity(*with_other_graphs_for_many(bias, 0.02))


@pytest.mark.parametrize("bias", ["bias_ih_l0", "bias_hh_l0_reverse"])
def test_parity_lets_other_sums_pass(bias: str) -> None:
    """A training must not be lost to a last digit: the same sums in another order came to 2e-6."""
    encoder, exported = with_other_graphs_for_many(bias, 2e-4)
    tokens = [exported.contract.tokenise(f"w{number} w{number + 1}") for number in range(30)]
    assert exported.many is not None
    assert 1e-6 < np.abs(exported.many.encode_tokens(tokens) - exported.encode_tokens(tokens)).max() < 2e-5
    check_parity(encoder, exported)


def test_only_a_single_layer_has_graphs_for_many_sentences() -> None:
    """A second layer reads states, which are no token's own."""
    assert make(Config(word_dim=12, hidden_size=8, num_layers=1))[1].many is not None
    assert make(Config(word_dim=12, hidden_size=8, num_layers=2))[1].many is None


def test_parity_catches_padding_that_leaks() -> None:
    """A graph whose mask is missing answers by the padding: drop the lengths from the recurrence and see it refused."""

    class Leaky(OnnxEncoder):
        def run(self, features):  # type: ignore[no-untyped-def]
            width = features.ids.shape[1]
            return super().run(type(features)(features.ids, features.grams, np.full_like(features.lengths, width)))

    encoder, exported = make(Config(word_dim=12, hidden_size=8, buckets=64))
    leaky = Leaky(exported.contract, build_graph(encoder, "float32"))
    with pytest.raises(ParityError):
        check_parity(encoder, leaky)


def test_token_vectors_are_rows_plus_scaled_gram_sums() -> None:
    """The encoder's first layer written out: its own row plus the gram rows over the root of their number."""
    encoder, _ = make(Config(word_dim=12, hidden_size=8, buckets=64))
    grams = np.array([3, 9, 9, 40], np.int32)
    batch = FeatureTable([Tokens([7, 4], [grams.tobytes(), b""], False)]).batch([0])
    assert encoder.grams is not None
    table = encoder.tokens(batch.token_ids) + encoder.grams(batch.grams, batch.gram_offsets) * batch.gram_scale
    rows = encoder.grams.weight.detach().numpy()
    expected = encoder.tokens.weight[7].detach().numpy() + rows[grams].sum(axis=0) / 2
    np.testing.assert_allclose(table[batch.positions[0, 0]].detach().numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(
        table[batch.positions[0, 1]].detach().numpy(), encoder.tokens.weight[4].detach().numpy(), atol=1e-6
    )


def test_feature_table_batches_equal_padding() -> None:
    contract = TextContract(TextConfig(buckets=64), VOCABULARY)
    sentences = [contract.tokenise(text) for text in ("w1 other w2", "退款 w3", "w9")]
    batch = FeatureTable(sentences).batch([2, 0, 1])
    features = pad([sentences[2], sentences[0], sentences[1]])
    np.testing.assert_array_equal(batch.token_ids.numpy()[batch.positions.numpy()], features.ids)
    np.testing.assert_array_equal(batch.lengths.numpy(), features.lengths)
