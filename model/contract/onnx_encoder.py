"""Sentences to embeddings with ONNX Runtime: used by the trainer's evaluation and by serving alike."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from model.contract.errors import BundleDamagedError
from model.contract.text import Features, TextContract, Tokens, pad

BATCH_TOKENS: Final = 4096
"""Padded tokens of one call at most: bounds memory whatever the sentences."""

_CALL_TOKENS: Final = 9
"""What one more call costs, in padded tokens: about 35 us at 4 us a token for a bi-GRU of 128 units."""

_LENGTH_BUCKETS: Final = (2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 32, 48, 64)
_GRAM_BUCKETS: Final = (1, 8, 16, 24)


class OnnxEncoder:
    """The frozen encoder. Safe to call from several threads.

    Args:
        contract: Turns text into features.
        graph: Path of encoder.onnx, or its bytes.
        threads: Threads inside one call; 1 is best where calls run in parallel.
        providers: ONNX Runtime's execution providers, best first.
    """

    def __init__(
        self,
        contract: TextContract,
        graph: Path | bytes,
        *,
        threads: int = 1,
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        self.contract = contract
        try:
            self._session = onnxruntime.InferenceSession(
                graph if isinstance(graph, bytes) else str(graph), _session_options(threads), providers=list(providers)
            )
        except Exception as error:  # ONNX Runtime raises pybind classes without a common public base
            raise BundleDamagedError(f"encoder.onnx cannot be loaded: {error}") from error
        self._takes_grams = any(node.name == "grams" for node in self._session.get_inputs())
        self.dim = int(self._session.get_outputs()[0].shape[1])

    @property
    def providers(self) -> list[str]:
        """The execution providers that really run."""
        return list(self._session.get_providers())

    def encode(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Encode sentences in any number and of any length.

        Returns:
            (n, dim) float32, unit length, in the order given.
        """
        return self.encode_tokens([self.contract.tokenise(sentence) for sentence in sentences])

    def encode_tokens(self, sentences: Sequence[Tokens]) -> NDArray[np.float32]:
        """Encode sentences that are tokens already; shapes as in `encode`."""
        if len(sentences) == 1:
            return self.run(_pad_to_bucket(sentences))
        embeddings = np.empty((len(sentences), self.dim), np.float32)
        for rows in _batches([len(tokens) for tokens in sentences]):
            embeddings[rows] = self.run(_pad_to_bucket([sentences[row] for row in rows]))
        return embeddings

    def run(self, features: Features) -> NDArray[np.float32]:
        """Call the graph once: (B, T) features to (B, dim) embeddings."""
        inputs = {"ids": features.ids, "lengths": features.lengths}
        if self._takes_grams:
            inputs["grams"] = features.grams
        embeddings: NDArray[np.float32] = self._session.run(None, inputs)[0]
        return embeddings


def _session_options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # one plan is kept for every shape ever seen: memory would grow
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _bucket(size: int, buckets: Sequence[int]) -> int:
    return next((bucket for bucket in buckets if bucket >= size), size)


def _pad_to_bucket(sentences: Sequence[Tokens]) -> Features:
    most = max(len(grams) for tokens in sentences for grams in tokens.grams) // 4
    longest = max(len(tokens) for tokens in sentences)
    return pad(sentences, min_tokens=_bucket(longest, _LENGTH_BUCKETS), min_grams=_bucket(most, _GRAM_BUCKETS))


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows in order of length, cut where padding further would cost more than another call, or at BATCH_TOKENS."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    batch = order[:1]
    for row in order[1:]:
        padding = (lengths[row] - lengths[batch[-1]]) * len(batch)
        if padding > _CALL_TOKENS or (len(batch) + 1) * _bucket(lengths[row], _LENGTH_BUCKETS) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
