"""The sentence encoder: token rows plus hashed grams, a packed GRU, masked pooling, unit length."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from model.config import Config, Pooling
from model.contract.text import PAD_ID
from model.data.features import Batch


class SentenceEncoder(nn.Module):
    """Maps a batch of sentences to unit vectors.

    A token's vector is its own row plus the sum of its gram rows over the root of their number. Padding never reaches
    the recurrent layer (packed), nor the pooling (masked), so a sentence's vector does not depend on its batch. Beside
    the recurrent path runs a bag: the sum of the token vectors, projected and added. It starts out as lexical overlap,
    which small training sets need and large ones can still use (docs/log.md).

    Args:
        n_ids: Rows of the token table, special tokens included.
        config: Widths, layers, pooling and dropout rates.
    """

    def __init__(self, n_ids: int, config: Config) -> None:
        super().__init__()
        self.pooling = config.pooling
        self.dim = config.hidden_size * (2 if config.bidirectional else 1)
        self.tokens = nn.Embedding(n_ids, config.word_dim, padding_idx=PAD_ID)
        self.grams = nn.EmbeddingBag(config.buckets + 1, config.word_dim, mode="sum") if config.buckets else None
        self.embedding_noise_std = config.embedding_noise_std
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.gru = nn.GRU(
            config.word_dim,
            config.hidden_size,
            num_layers=config.num_layers,
            bidirectional=config.bidirectional,
            batch_first=True,
            dropout=config.embedding_dropout if config.num_layers > 1 else 0.0,
        )
        self.output_dropout = nn.Dropout(config.output_dropout)
        self.bag_weight = config.bag_weight
        self.bag = nn.Linear(config.word_dim, self.dim, bias=False) if config.bag_weight else None
        self._initialise(config.embedding_init_std)

    def _initialise(self, std: float) -> None:
        with torch.no_grad():
            self.tokens.weight.normal_(0, std)
            self.tokens.weight[PAD_ID] = 0
            if self.grams is not None:
                self.grams.weight.normal_(0, std)
                self.grams.weight[0] = 0  # stands for "no gram" in the exported graph
            if self.bag is not None:
                nn.init.orthogonal_(
                    self.bag.weight
                )  # keeps the angles between bags, so that it starts as lexical overlap

    def forward(self, batch: Batch) -> Tensor:
        """Encode. Returns (B, dim) float32, unit length."""
        table = self.tokens(batch.token_ids)  # (U, word_dim)
        if self.grams is not None:
            table = table + self.grams(batch.grams, batch.gram_offsets) * batch.gram_scale
        vectors = self.embedding_dropout(functional.embedding(batch.positions, table))  # (B, T, word_dim)
        if self.training and self.embedding_noise_std:
            vectors = vectors + self.embedding_noise_std * torch.randn_like(vectors)
        packed = pack_padded_sequence(vectors, batch.lengths, batch_first=True, enforce_sorted=False)
        states, last = self.gru(packed)
        pooled = functional.normalize(self.output_dropout(self._pool(states, last, batch.lengths)), dim=1)
        if self.bag is None:
            return pooled
        bag = functional.normalize(self.bag(vectors.sum(dim=1)), dim=1)  # padding's vectors are zero
        return functional.normalize(pooled + self.bag_weight * bag, dim=1)

    def _pool(self, states: nn.utils.rnn.PackedSequence, last: Tensor, lengths: Tensor) -> Tensor:
        if self.pooling is Pooling.LAST:
            directions = 2 if self.gru.bidirectional else 1
            return last[-directions:].transpose(0, 1).flatten(1)  # (B, dim)
        if self.pooling is Pooling.MAX:
            padded, _ = pad_packed_sequence(states, batch_first=True, padding_value=float("-inf"))
            return padded.max(dim=1).values
        padded, _ = pad_packed_sequence(states, batch_first=True)
        return padded.sum(dim=1) / lengths[:, None]
