"""Embeds whole tables of sentences without dropout."""

import numpy as np
import torch
from numpy.typing import NDArray

from model.data.features import FeatureTable
from model.encoder import SentenceEncoder


@torch.no_grad()
def encode_all(
    encoder: SentenceEncoder, table: FeatureTable, n: int | None = None, batch_size: int = 256
) -> NDArray[np.float32]:
    """Embed the first n sentences of a table, or all; (n, dim) float32."""
    was_training = encoder.training
    encoder.eval()
    lengths = table.lengths[:n]
    embeddings = np.empty((len(lengths), encoder.dim), np.float32)
    order = np.argsort(lengths, kind="stable")
    device = next(encoder.parameters()).device
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        embeddings[rows] = encoder(table.batch(rows).to(device)).cpu().numpy()
    encoder.train(was_training)
    return embeddings
