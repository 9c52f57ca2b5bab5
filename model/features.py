"""Tokenised sentences as tensors: every distinct token is featurised once, and once more a batch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.contract.text import PAD_ID, Tokens


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
    """

    def __init__(self, sentences: Sequence[Tokens]) -> None:
        self._numbers: dict[tuple[int, bytes], int] = {(PAD_ID, b""): 0}
        self.sentences = [self._number(tokens) for tokens in sentences]
        self.lengths = np.array([len(sentence) for sentence in self.sentences], np.int64)
        self._ids = np.array([token_id for token_id, _ in self._numbers], np.int64)
        gram_lists = [np.frombuffer(grams, np.int32) for _, grams in self._numbers]
        self._gram_counts = np.array([len(grams) for grams in gram_lists], np.int64)
        self._gram_starts = np.concatenate([[0], np.cumsum(self._gram_counts)[:-1]]).astype(np.int64)
        self._grams = np.concatenate(gram_lists).astype(np.int64)

    def __len__(self) -> int:
        return len(self.sentences)

    def _number(self, tokens: Tokens) -> NDArray[np.int64]:
        keys = zip(tokens.ids, tokens.grams, strict=True)
        return np.array([self._numbers.setdefault(key, len(self._numbers)) for key in keys], np.int64)

    def batch(self, rows: Sequence[int] | NDArray[np.int64]) -> Batch:
        """Collate the sentences of these rows."""
        lengths = self.lengths[np.asarray(rows)]
        numbers = np.zeros((len(lengths), int(lengths.max())), np.int64)
        for row, sentence in enumerate(rows):
            numbers[row, : lengths[row]] = self.sentences[sentence]
        distinct, positions = np.unique(numbers, return_inverse=True)
        if distinct[0] != 0:
            distinct, positions = np.concatenate([[0], distinct]), positions + 1
        counts = self._gram_counts[distinct]
        offsets = np.concatenate([[0], np.cumsum(counts)[:-1]])
        within = np.arange(int(counts.sum())) - np.repeat(offsets, counts)
        grams = self._grams[np.repeat(self._gram_starts[distinct], counts) + within]
        scale = np.where(counts > 0, 1 / np.sqrt(np.maximum(counts, 1)), 0.0).astype(np.float32)
        return Batch(
            token_ids=torch.from_numpy(self._ids[distinct]),
            grams=torch.from_numpy(grams),
            gram_offsets=torch.from_numpy(offsets),
            gram_scale=torch.from_numpy(scale)[:, None],
            positions=torch.from_numpy(positions.reshape(numbers.shape)),
            lengths=torch.from_numpy(lengths),
        )
