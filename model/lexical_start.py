"""A start from latent semantic analysis: token and gram rows that already place sentences by the words they share.

Where groups have few sentences, random rows leave the encoder to discover from scratch which words matter; the
principal directions of the TF-IDF matrix of the very same training sentences tell it at once (docs/log.md).

Source: Deerwester et al. 1990, "Indexing by latent semantic analysis".
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from model.bags import bag_matrix, inverse_document_frequencies, unit_rows
from model.contract.deciding.word_scores import token_bag
from model.contract.text import Tokens
from model.encoder import SentenceEncoder

_UNSEEN: Final = 0.01


def start_from_words(encoder: SentenceEncoder, sentences: Sequence[Tokens], seed: int) -> None:
    """Replace the token and gram tables by idf-weighted latent directions, scaled as the random ones were.

    Rows of tokens that no training sentence holds become zero: they could only add noise later. Those of grams get a
    hundredth of the usual size: no noise beside any other word, but a text of nothing else keeps a vector of its own.

    Args:
        encoder: A fresh one; it must have grams.
        sentences: The training sentences.
        seed: Of the decomposition.
    """
    assert encoder.grams is not None
    n_tokens, n_grams = encoder.tokens.num_embeddings, encoder.grams.num_embeddings
    counts = bag_matrix((token_bag(tokens, n_tokens) for tokens in sentences), n_tokens + n_grams)
    rows = _latent_rows(counts, encoder.tokens.embedding_dim, seed)  # (n_tokens + n_grams, word_dim)
    scale = float(encoder.tokens.weight.detach().std()) / rows[rows.any(axis=1)].std()
    rows *= scale
    gram_rows = rows[n_tokens:]
    unseen: NDArray[np.bool_] = np.asarray(~gram_rows.any(axis=1))
    unseen[0] = False  # stands for "no gram"
    size = _UNSEEN * float(encoder.tokens.weight.detach().std())
    gram_rows[unseen] = np.random.default_rng(seed).normal(0, size, (int(unseen.sum()), rows.shape[1]))
    with torch.no_grad():
        encoder.tokens.weight.copy_(torch.from_numpy(rows[:n_tokens]))
        encoder.grams.weight.copy_(torch.from_numpy(gram_rows))


def _latent_rows(counts: sparse.csr_matrix, dim: int, seed: int) -> NDArray[np.float32]:
    """(features, dim): idf times the leading right singular vectors, turned at random so that no column is special."""
    n_sentences, n_features = counts.shape
    idf = inverse_document_frequencies(counts)
    rank = min(dim, n_sentences - 1)
    _, _, directions = randomized_svd(unit_rows(counts, idf), rank, n_iter=4, random_state=seed)
    rows = np.zeros((n_features, dim))
    rows[:, :rank] = directions.T * idf[:, None]
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))
    return np.asarray(rows @ rotation, np.float32)
