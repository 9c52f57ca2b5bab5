"""Parity: the exported graph must answer like the trained encoder, whatever the shape, the padding or the order."""

from typing import Final

import numpy as np
import torch

from model.contract.onnx_encoder import OnnxEncoder
from model.contract.text import EMPTY_ID, Features, Tokens, pad
from model.data.features import FeatureTable
from model.encoder import SentenceEncoder
from model.errors import ParityError

SUMS_TOLERANCE: Final = 1e-4
"""torch, ONNX Runtime and its graphs for many sentences sum in other orders, and processors round differently.

A trained encoder's real sentences differ by 2e-7, but 64 tokens at random by up to 4e-6 (MASSIVE en, AVX2), which
says nothing against it; a bias that is off by 0.01 in one place already differs by more.
"""

INVARIANCE_TOLERANCE: Final = 1e-6
"""One graph, whatever else is in the batch: 6e-8 seen."""

_BATCH_SIZES: Final = (1, 2, 7, 64)


def check_parity(encoder: SentenceEncoder, exported: OnnxEncoder, seed: int = 0) -> float:
    """Compare over many shapes of random tokens: length 1 up to the maximum, the EMPTY token, mixed lengths.

    Returns:
        The largest difference from torch that was seen.

    Raises:
        ParityError: Naming the shape and the difference.
    """
    rng = np.random.default_rng(seed)
    most = exported.contract.config.max_tokens
    worst = 0.0
    for batch_size in _BATCH_SIZES:
        for longest in sorted({1, 2, 3, 8, 17, most}):
            sentences = [
                _random_sentence(exported, rng, longest if row == 0 else int(rng.integers(1, longest + 1)))
                for row in range(batch_size)
            ]
            worst = max(worst, _check_batch(encoder, exported, sentences, rng))
    return max(worst, _check_batch(encoder, exported, [Tokens([EMPTY_ID], [b""], False)], rng))


def _check_batch(
    encoder: SentenceEncoder, exported: OnnxEncoder, sentences: list[Tokens], rng: np.random.Generator
) -> float:
    shape = f"batch {len(sentences)}, longest {max(map(len, sentences))}"
    features = pad(sentences)
    ours = exported.run(features)
    with torch.no_grad():
        theirs = encoder(FeatureTable(sentences).batch(range(len(sentences)))).numpy()
    difference = _compare(f"torch and ONNX Runtime ({shape})", ours, theirs, SUMS_TOLERANCE)
    wider = pad(sentences, min_tokens=features.ids.shape[1] + 5, min_grams=features.grams.shape[2] + 3)
    _compare(f"more padding ({shape})", exported.run(wider), ours, INVARIANCE_TOLERANCE)
    order = rng.permutation(len(sentences))
    shuffled = Features(features.ids[order], features.grams[order], features.lengths[order])
    _compare(f"another order ({shape})", exported.run(shuffled), ours[order], INVARIANCE_TOLERANCE)
    if exported.many is not None:
        together = exported.many.encode_tokens(sentences)
        _compare(f"the graphs for many sentences and for few ({shape})", together, ours, SUMS_TOLERANCE)
    alone = exported.run(pad(sentences[-1:]))
    _compare(f"a sentence alone ({shape})", alone, ours[-1:], INVARIANCE_TOLERANCE)
    return difference


def _compare(what: str, left: np.ndarray, right: np.ndarray, tolerance: float) -> float:
    difference = float(np.abs(left - right).max())
    if not difference <= tolerance:
        raise ParityError(
            f"export: {what} differ by {difference:.2e}, more than {tolerance}; the bundle was not written"
        )
    return difference


def _random_sentence(exported: OnnxEncoder, rng: np.random.Generator, length: int) -> Tokens:
    contract = exported.contract
    ids = rng.integers(1, contract.n_ids, length).tolist()
    most = contract.config.most_grams if contract.config.buckets else 0
    grams = [
        rng.integers(1, contract.config.buckets + 1, rng.integers(0, most + 1)).astype(np.int32).tobytes()
        if most
        else b""
        for _ in ids
    ]
    return Tokens(ids, grams, False)
