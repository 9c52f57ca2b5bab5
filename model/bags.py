"""Sentences as sparse rows of words, grams and pairs, and how much each of these says."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from model.contract.deciding.word_scores import Bag


def bag_matrix(bags: Iterable[Bag], n_columns: int) -> sparse.csr_matrix:
    """(n_sentences, n_columns) float32, the weights of what a bag holds several times added up."""
    columns: list[NDArray[np.int64]] = []
    values: list[NDArray[np.float32]] = []
    for rows, weights in bags:
        columns.append(rows)
        values.append(weights)
    starts = np.concatenate([[0], np.cumsum([len(each) for each in columns])])
    shape = (len(columns), n_columns)
    matrix = sparse.csr_matrix((np.concatenate(values), np.concatenate(columns), starts), shape=shape)
    matrix.sum_duplicates()
    return matrix


def inverse_document_frequencies(counts: sparse.csr_matrix, fewest: int = 1) -> NDArray[np.float64]:
    """(n_columns,) log((1 + n) / (1 + sentences that have it)) + 1; 0 for what fewer sentences have than `fewest`."""
    holding = np.asarray((counts > 0).sum(axis=0)).ravel()
    return np.where(holding >= fewest, np.log((1 + counts.shape[0]) / (1 + holding)) + 1, 0)


def unit_rows(counts: sparse.csr_matrix, idf: NDArray[np.float64]) -> sparse.csr_matrix:
    """The rows, each column times its idf, at unit length; a row of nothing stays so."""
    weighted = counts @ sparse.diags(idf)
    lengths = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    return sparse.diags(1 / np.maximum(lengths, 1e-12)) @ weighted
