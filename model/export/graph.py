"""The trained encoder as an ONNX graph, built node by node: exporters get packed GRUs wrong or refuse them."""

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from model.config import Pooling
from model.contract.onnx_encoder import OnnxEncoder
from model.contract.text import TextContract
from model.encoder import SentenceEncoder

OPSET: Final = 17
_IR_VERSION: Final = 8

Storage = Literal["float32", "float16"]


class _GraphBuilder:
    """Collects nodes and stored tensors, and names them."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Append a node; returns the name of its last output."""
        names = [f"{operator.lower()}_{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names[-1]

    def integers(self, values: Sequence[int] | int) -> str:
        """A constant of int64."""
        return self._store(np.array(values, np.int64))

    def number(self, value: float) -> str:
        """A scalar of float32."""
        return self._store(np.array(value, np.float32))

    def weights(self, parameter: NDArray[np.float32]) -> str:
        """A trained tensor in the storage format; ONNX Runtime folds the cast when it loads the graph."""
        if self._storage == "float32":
            return self._store(parameter)
        return self.add("Cast", self._store(parameter.astype(np.float16)), to=TensorProto.FLOAT)

    def _store(self, values: NDArray[Any]) -> str:
        name = f"stored_{len(self.initialisers)}"
        self.initialisers.append(numpy_helper.from_array(values, name))
        return name


def to_onnx(encoder: SentenceEncoder, contract: TextContract, storage: Storage) -> tuple[bytes, OnnxEncoder]:
    """The graph of an encoder, and an encoder that runs it.

    With float16 storage the encoder's own weights are rounded as the file's are: parity then compares like with like.
    """
    if storage == "float16":
        encoder.half().float()
    graph = build_graph(encoder, storage)
    return graph, OnnxEncoder(contract, graph)


def build_graph(encoder: SentenceEncoder, storage: Storage) -> bytes:
    """Serialise an encoder.

    Inputs are ids (B, T), grams (B, T, K) unless the encoder has none, and lengths (B), all int32; the output is
    `sentence_embedding` (B, dim) float32, unit length.
    """
    builder = _GraphBuilder(storage)
    vectors = _token_vectors(builder, encoder)
    states, last = _recurrence(builder, encoder.gru, vectors)
    pooled = _pool(builder, encoder, states, last)
    if encoder.bag is not None:
        pooled = _add_bag(builder, encoder, encoder.bag, pooled, vectors)
    builder.nodes.append(helper.make_node("LpNormalization", [pooled], ["sentence_embedding"], axis=1, p=2))
    integer_inputs = [("ids", ("B", "T")), ("lengths", ("B",))]
    if encoder.grams is not None:
        integer_inputs.append(("grams", ("B", "T", "K")))
    graph = helper.make_graph(
        builder.nodes,
        "samesay_encoder",
        [helper.make_tensor_value_info(name, TensorProto.INT32, shape) for name, shape in integer_inputs],
        [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ("B", encoder.dim))],
        builder.initialisers,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION, producer_name="samesay"
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _token_vectors(builder: _GraphBuilder, encoder: SentenceEncoder) -> str:
    """Token rows plus gram rows over the root of their number: (B, T, word_dim)."""
    vectors = builder.add("Gather", builder.weights(_numpy(encoder.tokens.weight)), "ids")
    if encoder.grams is None:
        return vectors
    axis = builder.integers([2])
    rows = builder.add("Gather", builder.weights(_numpy(encoder.grams.weight)), "grams")  # (B, T, K, word_dim)
    total = builder.add("ReduceSum", rows, axis, keepdims=0)
    present = builder.add("Cast", builder.add("Cast", "grams", to=TensorProto.BOOL), to=TensorProto.FLOAT)
    count = builder.add("Max", builder.add("ReduceSum", present, axis, keepdims=1), builder.number(1))
    return builder.add("Add", vectors, builder.add("Div", total, builder.add("Sqrt", count)))


def _recurrence(builder: _GraphBuilder, gru: nn.GRU, vectors: str) -> tuple[str, str]:
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
            *(builder.weights(tensor) for tensor in _gru_weights(gru, layer, directions)),
            "lengths",
            outputs=2,
            hidden_size=gru.hidden_size,
            direction="bidirectional" if gru.bidirectional else "forward",
            linear_before_reset=1,  # torch, like cuDNN, resets after the recurrent product
        )
        states = builder.nodes[-1].output[0]
    return states, last


def _gru_weights(gru: nn.GRU, layer: int, directions: int) -> list[NDArray[np.float32]]:
    """W, R and B of one layer: ONNX wants gates z, r, h where torch has r, z, n, and both biases in one row."""
    stacked: list[list[NDArray[np.float32]]] = [[], [], []]
    for suffix in ("", "_reverse")[:directions]:
        parts = [
            _reorder(_numpy(getattr(gru, f"{name}_l{layer}{suffix}")), gru.hidden_size)
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ]
        stacked[0].append(parts[0])
        stacked[1].append(parts[1])
        stacked[2].append(np.concatenate(parts[2:]))
    return [np.stack(tensors) for tensors in stacked]


def _reorder(gates: NDArray[np.float32], hidden_size: int) -> NDArray[np.float32]:
    reset, update, new = np.split(gates, [hidden_size, 2 * hidden_size])
    return np.concatenate([update, reset, new])


def _pool(builder: _GraphBuilder, encoder: SentenceEncoder, states: str, last: str) -> str:
    """States or last states to (B, dim)."""
    if encoder.pooling is Pooling.LAST:
        pooled = last
    elif encoder.pooling is Pooling.MEAN:
        total = builder.add("ReduceSum", states, builder.integers([0]), keepdims=0)  # states past the length are zero
        lengths = builder.add("Cast", "lengths", to=TensorProto.FLOAT)
        pooled = builder.add("Div", total, builder.add("Unsqueeze", lengths, builder.integers([1])))
    else:
        masked = builder.add("Where", _mask(builder), states, builder.number(-np.inf))
        pooled = builder.add("ReduceMax", masked, axes=[0], keepdims=0)
    by_sentence = builder.add("Transpose", pooled, perm=[1, 0, 2])
    return builder.add("Reshape", by_sentence, builder.integers([0, -1]))


def _add_bag(builder: _GraphBuilder, encoder: SentenceEncoder, bag: nn.Linear, pooled: str, vectors: str) -> str:
    """The unit recurrent vector plus the weighted unit bag: (B, dim)."""
    total = builder.add("ReduceSum", vectors, builder.integers([1]), keepdims=0)  # padding's vectors are zero
    projected = builder.add("MatMul", total, builder.weights(_numpy(bag.weight).T.copy()))
    unit_bag = builder.add("LpNormalization", projected, axis=1, p=2)
    weighted = builder.add("Mul", unit_bag, builder.number(encoder.bag_weight))
    return builder.add("Add", builder.add("LpNormalization", pooled, axis=1, p=2), weighted)


def _mask(builder: _GraphBuilder) -> str:
    """(T, 1, B, 1) bool: whether the position lies inside the sentence."""
    width = builder.add("Gather", builder.add("Shape", "ids"), builder.integers(1))
    positions = builder.add("Range", builder.integers(0), width, builder.integers(1))
    lengths = builder.add("Cast", "lengths", to=TensorProto.INT64)
    inside = builder.add("Less", builder.add("Unsqueeze", positions, builder.integers([1])), lengths)  # (T, B)
    return builder.add("Unsqueeze", inside, builder.integers([1, 3]))


def _numpy(tensor: Any) -> NDArray[np.float32]:
    return np.asarray(tensor.detach().float().cpu().numpy(), np.float32)
