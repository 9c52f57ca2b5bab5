"""The trained encoder as two graphs for many sentences, which look up each distinct token once.

Two thirds of a GRU's work on a token does not depend on its sentence. The first graph does that for the distinct tokens
of all sentences together; the second runs the recurrence of a batch over the table that comes of it.
"""

import numpy as np
from onnx import GraphProto, TensorProto
from torch import nn

from model.config import Pooling
from model.encoder import SentenceEncoder
from model.export.graph import add_bag, gru_weights, token_vectors
from model.export.graph_builder import GraphBuilder, Inputs, Outputs, Storage


def build_many_graphs(encoder: SentenceEncoder, storage: Storage) -> tuple[bytes, bytes] | None:
    """Serialise an encoder for many sentences: the graph of the tokens and that of the sentences.

    Returns:
        None where it has more than one layer: a second one reads states of the first, which are no token's own.
    """
    if encoder.gru.num_layers > 1:
        return None
    return _tokens_graph(encoder, storage), _sentences_graph(encoder, storage)


def _tokens_graph(encoder: SentenceEncoder, storage: Storage) -> bytes:
    """ids (U,) and grams (U, K) to vectors (U, word_dim) and what they add to the gates, for both directions.

    update_reset is (U, directions x 2H), new is (U, directions x H): inputs times weights, with the biases.
    """
    builder = GraphBuilder(storage)
    vectors = token_vectors(builder, encoder)
    size, directions = encoder.gru.hidden_size, _directions(encoder.gru)
    weights, _, biases = gru_weights(encoder.gru, 0, directions)
    of_input, of_state = np.split(biases, 2, axis=1)
    both = of_input + of_state  # of stored numbers; the sum is not one
    for name, gates, bias in (
        ("update_reset", slice(0, 2 * size), both),
        ("new", slice(2 * size, None), of_input),  # the state's bias is added before the reset gate
    ):
        side_by_side = weights[:, gates].reshape(-1, weights.shape[2]).T
        product = builder.add("MatMul", vectors, builder.weights(side_by_side.copy()))
        builder.rename(builder.add("Add", product, builder.numbers(bias[:, gates].reshape(-1))), name)
    builder.rename(vectors, "vectors")
    inputs: Inputs = {"ids": (TensorProto.INT32, ("U",))}
    if encoder.grams is not None:
        inputs |= {"grams": (TensorProto.INT32, ("U", "K"))}
    outputs: Outputs = {
        "vectors": ("U", encoder.tokens.embedding_dim),
        "update_reset": ("U", directions * 2 * size),
        "new": ("U", directions * size),
    }
    return builder.finish(inputs, outputs)


def _sentences_graph(encoder: SentenceEncoder, storage: Storage) -> bytes:
    """The table of tokens, places (B, T) in it and lengths (B,) to `sentence_embedding` (B, dim), unit length.

    Row 0 of the table is padding's, whose vector is zero.
    """
    builder = GraphBuilder(storage)
    size, directions = encoder.gru.hidden_size, _directions(encoder.gru)
    pooled = _pooled_states(builder, encoder, directions)
    if encoder.bag is not None:
        pooled = add_bag(builder, encoder, encoder.bag, pooled, builder.add("Gather", "vectors", "places"))
    builder.rename(builder.add("LpNormalization", pooled, axis=1, p=2), "sentence_embedding")
    inputs: Inputs = {
        "vectors": (TensorProto.FLOAT, ("U", encoder.tokens.embedding_dim)),
        "update_reset": (TensorProto.FLOAT, ("U", directions * 2 * size)),
        "new": (TensorProto.FLOAT, ("U", directions * size)),
        "places": (TensorProto.INT32, ("B", "T")),
        "lengths": (TensorProto.INT32, ("B",)),
    }
    return builder.finish(inputs, {"sentence_embedding": ("B", encoder.dim)})


def _pooled_states(builder: GraphBuilder, encoder: SentenceEncoder, directions: int) -> str:
    """The recurrence over the table's rows, pooled as it goes along: (B, dim)."""
    size = encoder.gru.hidden_size
    lengths = builder.add("Cast", "lengths", to=TensorProto.INT64)
    rows, inside = _steps(builder, lengths, directions)
    count = builder.add("Gather", builder.add("Shape", "lengths"), builder.integers([0]))
    shape = builder.add("Concat", builder.integers([directions]), count, builder.integers([size]), axis=0)
    start = builder.add("Expand", builder.numbers(0), shape)
    lowest = -np.inf if encoder.pooling is Pooling.MAX else 0
    nothing = builder.add("Expand", builder.numbers(lowest), shape)
    body = _step(builder, encoder, directions)
    pooled = builder.add("Scan", start, nothing, rows, inside, outputs=2, body=body, num_scan_inputs=2)
    if encoder.pooling is Pooling.MEAN:
        as_floats = builder.add("Cast", lengths, to=TensorProto.FLOAT)
        pooled = builder.add("Div", pooled, builder.add("Unsqueeze", as_floats, builder.integers([1])))
    by_sentence = builder.add("Transpose", pooled, perm=[1, 0, 2])
    return builder.add("Reshape", by_sentence, builder.integers([0, -1]))


def _steps(builder: GraphBuilder, lengths: str, directions: int) -> tuple[str, str]:
    """For each step the rows of the gates' tables (T, directions, B), and which sentences are not over (T, B, 1).

    The second direction reads each sentence from its own end, so that both are over at the same step.
    """
    forward = builder.add("Transpose", "places", perm=[1, 0])  # (T, B)
    ways = [forward]
    if directions == 2:
        ways.append(builder.add("ReverseSequence", forward, lengths, batch_axis=1, time_axis=0))
    axis = builder.integers([1])
    stacked = builder.add("Concat", *(builder.add("Unsqueeze", way, axis) for way in ways), axis=1)
    wide = builder.add("Cast", stacked, to=TensorProto.INT64)
    first = builder.add("Mul", wide, builder.integers(directions))
    rows = builder.add("Add", first, builder.integers(np.arange(directions)[:, None]))
    n_steps = builder.add("Gather", builder.add("Shape", "places"), builder.integers(1))
    steps = builder.add("Range", builder.integers(0), n_steps, builder.integers(1))
    inside = builder.add("Less", builder.add("Unsqueeze", steps, axis), lengths)
    return rows, builder.add("Unsqueeze", inside, builder.integers([2]))


def _step(outer: GraphBuilder, encoder: SentenceEncoder, directions: int) -> GraphProto:
    """One step of the recurrence, as torch's GRU (https://pytorch.org/docs/stable/generated/torch.nn.GRU.html).

    State (directions, B, H) and what was pooled so far, rows and inside, to the next two of them.
    """
    size = encoder.gru.hidden_size
    _, recurrent, biases = gru_weights(encoder.gru, 0, directions)
    by_state = recurrent.transpose(0, 2, 1)
    tables = {
        name: outer.add("Reshape", name, outer.integers([-1, width]))
        for name, width in (("update_reset", 2 * size), ("new", size))
    }
    of_gates = outer.weights(by_state[:, :, : 2 * size].copy())
    of_new = outer.weights(by_state[:, :, 2 * size :].copy())
    bias = outer.weights(biases[:, None, 5 * size :].copy())
    step = outer.inner("step")
    gates = step.add("Add", step.add("Gather", tables["update_reset"], "rows"), step.add("MatMul", "state", of_gates))
    reset = step.add("Split", step.add("Sigmoid", gates), outputs=2, axis=2)
    update = step.nodes[-1].output[0]
    kept = step.add("Mul", reset, step.add("Add", step.add("MatMul", "state", of_new), bias))
    new = step.add("Tanh", step.add("Add", step.add("Gather", tables["new"], "rows"), kept))
    following = step.add("Add", new, step.add("Mul", update, step.add("Sub", "state", new)))
    step.rename(following, "next_state")
    step.rename(_pool_step(step, outer, encoder.pooling), "next_pooled")
    state = ("directions", "B", size)
    return step.body(
        {
            "state": (TensorProto.FLOAT, state),
            "pooled": (TensorProto.FLOAT, state),
            "rows": (TensorProto.INT64, ("directions", "B")),
            "inside": (TensorProto.BOOL, ("B", 1)),
        },
        {"next_state": state, "next_pooled": state},
    )


def _pool_step(step: GraphBuilder, outer: GraphBuilder, pooling: Pooling) -> str:
    if pooling is Pooling.LAST:
        return step.add("Where", "inside", "next_state", "pooled")
    if pooling is Pooling.MAX:
        reached = step.add("Where", "inside", "next_state", outer.numbers(-np.inf))
        return step.add("Max", "pooled", reached)
    return step.add("Add", "pooled", step.add("Where", "inside", "next_state", outer.numbers(0)))


def _directions(gru: nn.GRU) -> int:
    return 2 if gru.bidirectional else 1
