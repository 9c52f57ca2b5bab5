"""A real bundle, tiny and untrained: the sum of hashed-gram vectors, so that sentences that share words are near."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model.contract.bundle import probe_json, write_bundle
from model.contract.deciding.decision import DecisionParameters
from model.contract.deciding.familiarity import Familiarity
from model.contract.deciding.head import Head, LabelHead
from model.contract.deciding.word_scores import WordScores
from model.contract.head_files import head_files, head_kind, npy
from model.contract.manifest import DatasetSummary, Manifest
from model.contract.onnx_encoder import OnnxEncoder
from model.contract.text import SPECIAL_TOKENS, TextConfig, TextContract

OPSET = 17
PROBE = ["How do I get my money back?", "我要退款", "", "ｆｕｌｌ ｗｉｄｔｈ", "a" * 5000]


def make_tiny_bundle(
    folder: Path,
    *,
    dim: int = 32,
    seed: int = 0,
    head_labels: Sequence[str] = (),
    head_scale: float | None = None,
    head_prior: Sequence[float] | None = None,
    sigmoid_labels: Sequence[str] = (),
    sigmoid_word: str | None = None,
    familiar: Sequence[str] = (),
    n_learnt: int | None = None,
    decision: DecisionParameters | None = None,
) -> str:
    """Write the bundle and return its sha256.

    Args:
        folder, dim, seed: Where, how wide, and of which random tables.
        head_labels, head_scale, head_prior: Of a softmax head.
        sigmoid_labels: Of a label head, instead.
        sigmoid_word: Speaks for all of these labels wherever it stands, whatever the embedding says.
        familiar: Sentences that it is to have learnt from; without any it cannot tell what it knows.
        n_learnt: How many sentences it is to have learnt from, none of which has a word of its own; without, it cannot
            tell how rare words are.
        decision: Its parameters.
    """
    contract = TextContract(TextConfig(buckets=512, max_tokens=16, max_chars=200), ())
    graph = _graph(contract, dim, seed)
    encoder = OnnxEncoder(contract, graph)
    prior = None if head_prior is None else np.array(head_prior, np.float32)
    head = _head(encoder, head_labels, head_scale, prior) or _label_head(encoder, sigmoid_labels, sigmoid_word)
    files = {
        "text.json": contract.to_json().encode(),
        "vocab.txt": contract.to_vocabulary_text().encode(),
        "encoder.onnx": graph,
        "probe.json": probe_json(encoder, PROBE),
        **(head_files(head) if head else {}),
        **({"grams.npy": npy(Familiarity.of(contract, familiar).gram_hashes)} if familiar else {}),
        **({} if n_learnt is None else {"frequencies.npy": npy(np.array([n_learnt], np.uint32))}),
    }
    return write_bundle(folder, files, _manifest(dim, seed, head, decision or DecisionParameters()))


def _head(
    encoder: OnnxEncoder, labels: Sequence[str], scale: float | None, prior: NDArray[np.float32] | None
) -> Head | None:
    """A head whose class vectors are the embeddings of the labels' own names."""
    return Head(tuple(labels), encoder.encode(list(labels)), scale, prior) if labels else None


def _label_head(encoder: OnnxEncoder, labels: Sequence[str], word: str | None) -> LabelHead | None:
    """A head that gives a label where the cosine to the embedding of its own name is above 0.3."""
    if not labels:
        return None
    words = None if word is None else _word_scores(encoder.contract, word, len(labels))
    return LabelHead(tuple(labels), 20 * encoder.encode(list(labels)), np.full(len(labels), -6, np.float32), words)


def _word_scores(contract: TextContract, word: str, n_labels: int) -> WordScores:
    """No token is known here: a word is its grams, which may share a row with another's."""
    grams = np.unique(np.frombuffer(b"".join(contract.tokenise(word).grams), np.int32))
    rows, idf = contract.n_ids + grams.astype(np.int64), np.ones(len(grams), np.float32)
    return WordScores(contract.n_ids, contract.config.buckets, rows, idf, np.full((len(rows), n_labels), 9, np.float32))


def _graph(contract: TextContract, dim: int, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    ids = rng.normal(0, 0.05, (len(SPECIAL_TOKENS), dim)).astype(np.float32)
    grams = rng.normal(0, 1, (contract.config.buckets + 1, dim)).astype(np.float32)
    ids[0] = grams[0] = 0  # padding adds nothing
    nodes = [
        helper.make_node("Gather", ["id_table", "ids"], ["id_rows"]),
        helper.make_node("Gather", ["gram_table", "grams"], ["gram_rows"]),
        helper.make_node("ReduceSum", ["gram_rows", "axis_2"], ["gram_sums"], keepdims=0),
        helper.make_node("Add", ["id_rows", "gram_sums"], ["tokens"]),
        helper.make_node("ReduceSum", ["tokens", "axis_1"], ["sums"], keepdims=0),
        helper.make_node("Unsqueeze", ["lengths", "axis_1"], ["lengths_column"]),
        helper.make_node("Cast", ["lengths_column"], ["lengths_float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["sums", "lengths_float"], ["means"]),
        helper.make_node("LpNormalization", ["means"], ["vectors"], axis=1, p=2),
    ]
    inputs = [
        helper.make_tensor_value_info("ids", TensorProto.INT32, ["B", "T"]),
        helper.make_tensor_value_info("grams", TensorProto.INT32, ["B", "T", "K"]),
        helper.make_tensor_value_info("lengths", TensorProto.INT32, ["B"]),
    ]
    outputs = [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["B", dim])]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, _constants(ids, grams))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _constants(ids: NDArray[np.float32], grams: NDArray[np.float32]) -> list[TensorProto]:
    arrays = {"id_table": ids, "gram_table": grams, "axis_1": np.array([1]), "axis_2": np.array([2])}
    return [numpy_helper.from_array(array, name) for name, array in arrays.items()]


def _manifest(dim: int, seed: int, head: Head | LabelHead | None, decision: DecisionParameters) -> Manifest:
    return Manifest(
        samesay_version="0.1.0",
        dim=dim,
        max_tokens=16,
        max_chars=200,
        text_version=1,
        unicode_data=unicodedata.unidata_version,
        opset=OPSET,
        storage="float32",
        inputs=("ids", "grams", "lengths"),
        languages=("en", "zh"),
        head=head_kind(head),
        head_scale=head.scale if isinstance(head, Head) else None,
        n_labels=len(head.labels) if head else 0,
        decision=decision,
        parent=None,
        dataset=DatasetSummary(fingerprint="none", n_sentences=0, n_groups=0),
        config={},
        seed=seed,
        metrics={},
        files={},
    )
