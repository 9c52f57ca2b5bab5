"""Sentences to embeddings with ONNX Runtime: used by the trainer's evaluation and by serving alike."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.contract.many_encoder import FROM_SENTENCES, ManyEncoder, run_each
from model.contract.session import open_session
from model.contract.text import GRAM_BYTES, Features, TextContract, Tokens, pad

BATCH_CELLS: Final = 4096
"""Vectors that one call may gather, but for a few sentences: so many stay in a core's cache, a gram at 0.04 us.

In larger calls it costs 0.15 us, and twenty of a token's grams as much as its step of the recurrence.
"""

_FEW_SENTENCES: Final = 8
"""So many may share a call whatever they gather: fewer rows would slow the recurrence down."""

_CALL_TOKENS: Final = 9
"""What one more call costs, in padded tokens: about 35 us at 4 us a token for a bi-GRU of 128 units."""

_LENGTH_BUCKETS: Final = (2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 32, 48, 64)
_GRAM_BUCKETS: Final = (1, 8, 16, 24)


class OnnxEncoder:
    """The frozen encoder. Safe to call from several threads.

    Args:
        contract: Turns text into features.
        graph: Path of encoder.onnx, or its bytes.
        many: What encodes many sentences faster; None where this encoder's kind has nothing of the kind.
    """

    def __init__(self, contract: TextContract, graph: Path | bytes, *, many: ManyEncoder | None = None) -> None:
        self.contract = contract
        self.many = many
        self._session = open_session(graph, "encoder.onnx")
        self._takes_grams = any(node.name == "grams" for node in self._session.get_inputs())
        self.dim = int(self._session.get_outputs()[0].shape[1])

    @property
    def providers(self) -> list[str]:
        """The execution providers that really run."""
        return list(self._session.get_providers())

    def encode(self, sentences: Sequence[str], *, pool: Executor | None = None) -> NDArray[np.float32]:
        """Encode sentences in any number and of any length.

        Args:
            sentences: Any text.
            pool: Threads that share the work; None for the caller's own. The embeddings are the same.

        Returns:
            (n, dim) float32, unit length, in the order given.
        """
        return self.encode_tokens([self.contract.tokenise(sentence) for sentence in sentences], pool=pool)

    def encode_tokens(self, sentences: Sequence[Tokens], *, pool: Executor | None = None) -> NDArray[np.float32]:
        """Encode sentences that are tokens already; shapes as in `encode`."""
        if len(sentences) == 1:
            return self.run(_pad_to_bucket(sentences))
        if self.many is not None and len(sentences) >= FROM_SENTENCES:
            return self.many.encode_tokens(sentences, pool=pool)
        embeddings = np.empty((len(sentences), self.dim), np.float32)
        parts = list(_batches([len(tokens) for tokens in sentences], [_most_grams(tokens) for tokens in sentences]))

        def encode_part(rows: list[int]) -> None:
            embeddings[rows] = self.run(_pad_to_bucket([sentences[row] for row in rows]))

        run_each(encode_part, parts, pool)
        return embeddings

    def run(self, features: Features) -> NDArray[np.float32]:
        """Call the graph once: (B, T) features to (B, dim) embeddings."""
        inputs = {"ids": features.ids, "lengths": features.lengths}
        if self._takes_grams:
            inputs["grams"] = features.grams
        embeddings: NDArray[np.float32] = self._session.run(None, inputs)[0]
        return embeddings


def _bucket(size: int, buckets: Sequence[int]) -> int:
    return next((bucket for bucket in buckets if bucket >= size), size)


def _pad_to_bucket(sentences: Sequence[Tokens]) -> Features:
    longest = max(len(tokens) for tokens in sentences)
    most = max(_most_grams(tokens) for tokens in sentences)
    return pad(sentences, min_tokens=_bucket(longest, _LENGTH_BUCKETS), min_grams=_bucket(most, _GRAM_BUCKETS))


def _most_grams(tokens: Tokens) -> int:
    return len(max(tokens.grams, key=len)) // GRAM_BYTES


def _batches(lengths: Sequence[int], grams: Sequence[int]) -> Iterator[list[int]]:
    """Rows in order of length and of grams a token, cut where more would cost more than another call.

    That is where padding is dearer than a call, and at BATCH_CELLS.
    """
    order = sorted(range(len(lengths)), key=lambda row: (lengths[row], grams[row]))
    batch: list[int] = []
    widest = 0
    for row in order:
        widest = max(widest, grams[row])
        padding = (lengths[row] - lengths[batch[-1]]) * len(batch) if batch else 0
        cells = (len(batch) + 1) * _bucket(lengths[row], _LENGTH_BUCKETS) * (1 + _bucket(widest, _GRAM_BUCKETS))
        if padding > _CALL_TOKENS or (cells > BATCH_CELLS and len(batch) >= _FEW_SENTENCES):
            yield batch
            batch, widest = [], grams[row]
        batch.append(row)
    if batch:
        yield batch
