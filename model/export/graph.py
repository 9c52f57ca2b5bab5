"""The trained encoder as an ONNX graph, built node by node: exporters get packed GRUs wrong or refuse them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto
from torch import nn

from model.config import Pooling
from model.encoder import SentenceEncoder
from model.export.graph_builder import GraphBuilder, Inputs, Storage


def build_graph(encoder: SentenceEncoder, storage: Storage) -> bytes:
    """Serialise an encoder.

    Inputs are ids (B, T), grams (B, T, K) unless the encoder has none, and lengths (B), all int32; the output is
    `sentence_embedding` (B, dim) float32, unit length.
    """
    builder = GraphBuilder(storage)
    vectors = token_vectors(builder, encoder)
    states, last = _recurrence(builder, encoder.gru, vectors)
    pooled = _pool(builder, encoder, states, last)
    if encoder.bag is not None:
        pooled = add_bag(builder, encoder, encoder.bag, pooled, vectors)
    builder.rename(builder.add("LpNormalization", pooled, axis=1, p=2), "sentence_embedding")
    inputs: Inputs = {"ids": (TensorProto.INT32, ("B", "T")), "lengths": (TensorProto.INT32, ("B",))}
    if encoder.grams is not None:
        inputs["grams"] = (TensorProto.INT32, ("B", "T", "K"))
    return builder.finish(inputs, {"sentence_embedding": ("B", encoder.dim)})


def token_vectors(builder: GraphBuilder, encoder: SentenceEncoder) -> str:
    """Token rows plus gram rows over the root of their number, of inputs `ids` (...) and `grams` (..., K).

    Returns:
        The output's name: (..., word_dim).
    """
    vectors = builder.rows(to_numpy(encoder.tokens.weight), "ids")
    if encoder.grams is None:
        return vectors
    rows = builder.rows(to_numpy(encoder.grams.weight), "grams")  # (..., K, word_dim)
    total = builder.add("ReduceSum", rows, builder.integers([-2]), keepdims=0)
    present = builder.add("Cast", builder.add("Cast", "grams", to=TensorProto.BOOL), to=TensorProto.FLOAT)
    count = builder.add(
        "Max", builder.add("ReduceSum", present, builder.integers([-1]), keepdims=1), builder.numbers(1)
    )
    return builder.add("Add", vectors, builder.add("Div", total, builder.add("Sqrt", count)))


def _recurrence(builder: GraphBuilder, gru: nn.GRU, vectors: str) -> tuple[str, str]:
    """The GRU layers: states (T, directions, B, H), zero past the length, and last states (directions, B, H)."""
    directions = 2 if gru.bidirectional else 1
    inputs = builder.add("Transpose", vectors, perm=[1, 0, 2])
    states = last = ""
    for layer in range(gru.num_layers):
        if layer:
            side_by_side = builder.add("Transpose", states, perm=[0, 2, 1, 3])
            inputs = builder.add("Reshape", side_by_side, builder.integers([0, 0, -1]))
        last = builder.add(
            "GRU",
            inputs,
            *(builder.weights(tensor) for tensor in gru_weights(gru, layer, directions)),
            "lengths",
            outputs=2,
            hidden_size=gru.hidden_size,
            direction="bidirectional" if gru.bidirectional else "forward",
            linear_before_reset=1,  # torch, like cuDNN, resets after the recurrent product
        )
        states = builder.nodes[-1].output[0]
    return states, last


def gru_weights(gru: nn.GRU, layer: int, directions: int) -> list[NDArray[np.float32]]:
    """W, R and B of one layer: ONNX wants gates z, r, h where torch has r, z, n, and both biases in one row."""
    stacked: list[list[NDArray[np.float32]]] = [[], [], []]
    for suffix in ("", "_reverse")[:directions]:
        parts = [
            _reorder(to_numpy(getattr(gru, f"{name}_l{layer}{suffix}")), gru.hidden_size)
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ]
        stacked[0].append(parts[0])
        stacked[1].append(parts[1])
        stacked[2].append(np.concatenate(parts[2:]))
    return [np.stack(tensors) for tensors in stacked]


def _reorder(gates: NDArray[np.float32], hidden_size: int) -> NDArray[np.float32]:
    reset, update, new = np.split(gates, [hidden_size, 2 * hidden_size])
    return np.concatenate([update, reset, new])


def _pool(builder: GraphBuilder, encoder: SentenceEncoder, states: str, last: str) -> str:
    """States or last states to (B, dim)."""
    if encoder.pooling is Pooling.LAST:
        pooled = last
    elif encoder.pooling is Pooling.MEAN:
        total = builder.add("ReduceSum", states, builder.integers([0]), keepdims=0)  # states past the length are zero
        lengths = builder.add("Cast", "lengths", to=TensorProto.FLOAT)
        pooled = builder.add("Div", total, builder.add("Unsqueeze", lengths, builder.integers([1])))
    else:
        masked = builder.add("Where", _mask(builder), states, builder.numbers(-np.inf))
        pooled = builder.add("ReduceMax", masked, axes=[0], keepdims=0)
    by_sentence = builder.add("Transpose", pooled, perm=[1, 0, 2])
    return builder.add("Reshape", by_sentence, builder.integers([0, -1]))


def add_bag(builder: GraphBuilder, encoder: SentenceEncoder, bag: nn.Linear, pooled: str, vectors: str) -> str:
    """The unit recurrent vector plus the weighted unit bag of vectors (B, T, word_dim): (B, dim)."""
    total = builder.add("ReduceSum", vectors, builder.integers([1]), keepdims=0)  # padding's vectors are zero
    projected = builder.add("MatMul", total, builder.weights(to_numpy(bag.weight).T.copy()))
    unit_bag = builder.add("LpNormalization", projected, axis=1, p=2)
    weighted = builder.add("Mul", unit_bag, builder.numbers(encoder.bag_weight))
    return builder.add("Add", builder.add("LpNormalization", pooled, axis=1, p=2), weighted)


def _mask(builder: GraphBuilder) -> str:
    """(T, 1, B, 1) bool: whether the position lies inside the sentence."""
    width = builder.add("Gather", builder.add("Shape", "ids"), builder.integers(1))
    positions = builder.add("Range", builder.integers(0), width, builder.integers(1))
    lengths = builder.add("Cast", "lengths", to=TensorProto.INT64)
    inside = builder.add("Less", builder.add("Unsqueeze", positions, builder.integers([1])), lengths)  # (T, B)
    return builder.add("Unsqueeze", inside, builder.integers([1, 3]))


def to_numpy(tensor: Any) -> NDArray[np.float32]:
    """A torch tensor as float32."""
    return np.asarray(tensor.detach().float().cpu().numpy(), np.float32)
