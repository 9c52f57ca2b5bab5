"""The last layer of a run with several labels, fitted anew on what the encoder has become.

Gradient descent trains encoder and scores together and leaves the scores behind where sentences are few. With the
encoder held still, the best separating scores are a convex problem with one answer. The words themselves have scores of
their own, fitted apart: the two err on different sentences, and their sum errs least.

Source: Kang et al. 2020, arXiv:1910.09217 (training the classifier again, apart from the features).
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.svm import LinearSVC

from model.bags import bag_matrix, inverse_document_frequencies, unit_rows
from model.config import LastLayer
from model.contract.deciding.head import LabelHead
from model.contract.deciding.word_scores import PAIR_ROWS, WordScores, word_bag
from model.contract.text import TextContract, Tokens
from model.data.features import FeatureTable
from model.data.label_targets import LabelTargets, label_targets
from model.data.training_data import TrainingData
from model.encoding import encode_all
from model.objectives.multi_label import MultiLabelObjective
from model.training.loop import Trained

_SCALES = np.geomspace(0.25, 16, 49)
_USUAL_SCALE = 2.0
_NEVER = -4.0

_FEWEST: Final = 2
"""Sentences that must have a word, gram or pair for it to count: what one alone has, it is learnt by heart."""


def fit_last_layer(trained: Trained, data: TrainingData, scale: float | None = None) -> float:
    """Replace the scores of a trained objective by support vector machines on its embeddings, and on the words.

    Args:
        trained: Its encoder stays as it is.
        data: The rows it was trained on, and held-out ones.
        scale: What turns an SVM's score into the logit of a confidence; None to fit it on the held-out rows.

    Returns:
        The scale.
    """
    assert isinstance(trained.objective, MultiLabelObjective)
    sentences = [trained.contract.tokenise(row.text) for row in data.train]
    weights, bias = fit_svms(_embed(trained, sentences), data.label_targets)
    head = LabelHead(tuple(data.labels), weights, bias)
    if data.config.last_layer is LastLayer.SVM_AND_WORDS:
        words, bias_of_words = fit_words(trained.contract, sentences, data.label_targets)
        head = replace(head, bias=bias + bias_of_words, words=words)
    if scale is None:
        scale = _fit_scale(trained, head, data) if data.valid else _USUAL_SCALE
    trained.objective.set_label_head(_scaled(head, scale))
    return scale


def fit_svms(
    features: NDArray[np.float32] | sparse.csr_matrix, targets: LabelTargets, rarity_exponent: float = 0.5
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One linear SVM a label, its positives weighted by how rare they are.

    Args:
        features: (n, dim), many of them zero if sparse.
        targets: Soft labels count from 0.5 on, unknown ones are left out.
        rarity_exponent: A positive weighs (negatives / positives) to this power; 0.5 is the root.

    Returns:
        (n_labels, dim) and (n_labels,): scores are features @ weights.T + bias, above 0 where a label holds. A label
        that always or never holds has no weights.
    """
    n_labels = targets.values.shape[1]
    weights = np.zeros((n_labels, features.shape[1]), np.float32)
    bias = np.full(n_labels, _NEVER, np.float32)

    def fit(label: int) -> None:
        known = targets.known[:, label]
        holds = targets.likely[known, label]
        if holds.all() or not holds.any():
            bias[label] = -_NEVER if holds.any() else _NEVER
            return
        importance = {False: 1.0, True: float((~holds).sum() / holds.sum()) ** rarity_exponent}
        # liblinear's dual solver takes sparse rows one at a time, its primal one likes few dense columns
        machine = LinearSVC(C=1.0, dual=sparse.issparse(features), class_weight=importance, random_state=0)
        machine.fit(features[known], holds)
        weights[label], bias[label] = machine.coef_[0], machine.intercept_[0]

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # liblinear lets other threads run
        list(pool.map(fit, range(n_labels)))
    return weights, bias


def fit_words(
    contract: TextContract, sentences: list[Tokens], targets: LabelTargets
) -> tuple[WordScores, NDArray[np.float32]]:
    """Linear SVMs on the words, grams and pairs of the sentences; their scores, and (n_labels,) what to add to them."""
    n_ids, buckets = contract.n_ids, contract.config.buckets
    bags = (word_bag(tokens, n_ids, buckets) for tokens in sentences)
    counts = bag_matrix(bags, n_ids + buckets + 1 + PAIR_ROWS)
    idf = inverse_document_frequencies(counts, _FEWEST)
    weights, bias = fit_svms(unit_rows(counts, idf), targets, rarity_exponent=1.0)
    rows = np.flatnonzero(idf)
    words = WordScores(n_ids, buckets, rows, idf[rows].astype(np.float32), weights[:, rows].T.copy())
    return words, bias


def _embed(trained: Trained, sentences: list[Tokens]) -> NDArray[np.float32]:
    return encode_all(trained.encoder, FeatureTable(sentences))


def _fit_scale(trained: Trained, head: LabelHead, data: TrainingData) -> float:
    """The scale of least binary cross-entropy on the held-out rows."""
    sentences = [trained.contract.tokenise(row.text) for row in data.valid]
    targets = label_targets(data.valid, data.labels)
    scores = head.scores(_embed(trained, sentences), sentences)
    values, truth = scores[targets.known].astype(np.float64), targets.values[targets.known]
    losses = [(np.logaddexp(0, scale * values) - truth * scale * values).mean() for scale in _SCALES]
    return float(_SCALES[int(np.argmin(losses))])


def _scaled(head: LabelHead, scale: float) -> LabelHead:
    words = head.words
    if words is not None:
        words = replace(words, weights=_half(scale * words.weights))
    return replace(head, weights=_half(scale * head.weights), bias=_half(scale * head.bias), words=words)


def _half(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """What float16 keeps of them, so that the figures are those of the stored ones."""
    return np.asarray(values, np.float16).astype(np.float32)
