"""Tokenised sentences as tensors: every distinct token is featurised once, and once more a batch."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.contract.text import PAD_ID, Tokens

_NO_GRAMS: Final = b""
_GRAM_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Batch:
    """Sentences as the encoder takes them in training.

    Attributes:
        token_ids: (U,) int64, the distinct tokens of the batch; the first is padding.
        grams: (G,) int64, their gram rows one token after the other.
        gram_offsets: (U,) int64, where each token's grams begin.
        gram_scale: (U, 1) float32, 1 / sqrt(number of grams), 0 without any.
        positions: (B, T) int64, row in `token_ids` of each token; 0 past the length.
        lengths: (B,) int64, on the CPU as packing wants them.
    """

    token_ids: Tensor
    grams: Tensor
    gram_offsets: Tensor
    gram_scale: Tensor
    positions: Tensor
    lengths: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device, but for the lengths."""
        if device.type == "cpu":
            return self
        moved = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("token_ids", "grams", "gram_offsets", "gram_scale", "positions")
        }
        return replace(self, **moved)


class FeatureTable:
    """The distinct tokens of a set of sentences, and each sentence as numbers into it.

    A token is its id together with its grams: the same character between other neighbours is another one.
    Number 0 is padding.

    Args:
        sentences: Looked at once, one after the other, so that a generator need not hold them all.

    Attributes:
        lengths: (n,) int64, tokens of each sentence.
    """

    def __init__(self, sentences: Iterable[Tokens]) -> None:
        known: dict[tuple[int, bytes], int] = {(PAD_ID, _NO_GRAMS): 0}
        numbers, lengths = array("i"), array("q")
        for tokens in sentences:
            keys = zip(tokens.ids, tokens.grams, strict=True)
            numbers.extend([known.setdefault(key, len(known)) for key in keys])
            lengths.append(len(tokens))
        self.lengths = np.array(lengths, np.int64)
        # one flat array with the start of each sentence: a small array for each would take three times the memory
        self._numbers = np.array(numbers, np.int32)
        self._starts = np.cumsum(self.lengths) - self.lengths
        self._ids = np.array([token_id for token_id, _ in known], np.int64)
        self._gram_counts = np.array([len(grams) // _GRAM_BYTES for _, grams in known], np.int64)
        self._gram_starts = np.cumsum(self._gram_counts) - self._gram_counts
        self._grams = np.frombuffer(b"".join(grams for _, grams in known), np.int32)

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: Sequence[int] | NDArray[np.int64]) -> Batch:
        """Collate the sentences of these rows."""
        rows = np.asarray(rows)
        lengths = self.lengths[rows]
        numbers = np.zeros((len(lengths), int(lengths.max())), np.int64)
        numbers[np.arange(numbers.shape[1]) < lengths[:, None]] = self._numbers[_spans(self._starts[rows], lengths)]
        distinct, positions = np.unique(numbers, return_inverse=True)
        if distinct[0] != 0:
            distinct, positions = np.concatenate([[0], distinct]), positions + 1
        counts = self._gram_counts[distinct]
        grams = self._grams[_spans(self._gram_starts[distinct], counts)].astype(np.int64)
        scale = np.where(counts > 0, 1 / np.sqrt(np.maximum(counts, 1)), 0.0).astype(np.float32)
        return Batch(
            token_ids=torch.from_numpy(self._ids[distinct]),
            grams=torch.from_numpy(grams),
            gram_offsets=torch.from_numpy(np.cumsum(counts) - counts),
            gram_scale=torch.from_numpy(scale)[:, None],
            positions=torch.from_numpy(positions.reshape(numbers.shape)),
            lengths=torch.from_numpy(lengths),
        )


def _spans(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers start .. start + count - 1 of each span, one span after the other."""
    offsets = np.cumsum(counts) - counts
    return np.asarray(np.arange(int(counts.sum())) + np.repeat(starts - offsets, counts), np.int64)
