"""The last layer of a run with several labels, fitted anew on what the encoder has become.

Gradient descent trains encoder and scores together and leaves the scores behind where sentences are few. With the
encoder held still, the best separating scores are a convex problem with one answer.

Source: Kang et al. 2020, arXiv:1910.09217 (training the classifier again, apart from the features).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.svm import LinearSVC

from model.contract.head import LabelHead
from model.data.features import FeatureTable
from model.data.label_targets import LabelTargets, label_targets
from model.data.training_data import TrainingData
from model.encoding import encode_all
from model.objectives.multi_label import MultiLabelObjective
from model.training.loop import Trained

_SCALES = np.geomspace(0.25, 16, 49)
_USUAL_SCALE = 2.0
_NEVER = -4.0


def fit_last_layer(trained: Trained, data: TrainingData, scale: float | None = None) -> float:
    """Replace the scores of a trained objective by support vector machines on its embeddings.

    Args:
        trained: Its encoder stays as it is.
        data: The rows it was trained on, and held-out ones.
        scale: What turns an SVM's score into the logit of a confidence; None to fit it on the held-out rows.

    Returns:
        The scale.
    """
    assert isinstance(trained.objective, MultiLabelObjective)
    weights, bias = fit_svms(_embed(trained, [row.text for row in data.train]), data.label_targets)
    if scale is None:
        scale = _USUAL_SCALE
        if data.valid:
            scores = _embed(trained, [row.text for row in data.valid]) @ weights.T + bias
            scale = _fit_scale(scores, label_targets(data.valid, data.labels))
    half = [np.asarray(scale * values, np.float16).astype(np.float32) for values in (weights, bias)]
    trained.objective.set_label_head(LabelHead(tuple(data.labels), *half))
    return scale


def fit_svms(embeddings: NDArray[np.float32], targets: LabelTargets) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One linear SVM a label, its positives weighted by the root of how rare they are.

    Args:
        embeddings: (n, dim).
        targets: Soft labels count from 0.5 on, unknown ones are left out.

    Returns:
        (n_labels, dim) and (n_labels,): scores are embeddings @ weights.T + bias, above 0 where a label holds. A label
        that always or never holds has no weights.
    """
    n_labels = targets.values.shape[1]
    weights = np.zeros((n_labels, embeddings.shape[1]), np.float32)
    bias = np.full(n_labels, _NEVER, np.float32)
    for label in range(n_labels):
        known = targets.known[:, label]
        holds = targets.likely[known, label]
        if holds.all() or not holds.any():
            bias[label] = -_NEVER if holds.any() else _NEVER
            continue
        rarity = float(np.sqrt((~holds).sum() / holds.sum()))
        machine = LinearSVC(C=1.0, dual=False, class_weight={False: 1.0, True: rarity})
        machine.fit(embeddings[known], holds)
        weights[label], bias[label] = machine.coef_[0], machine.intercept_[0]
    return weights, bias


def _embed(trained: Trained, texts: list[str]) -> NDArray[np.float32]:
    with torch.no_grad():
        return encode_all(trained.encoder, FeatureTable(trained.contract.tokenise(text) for text in texts))


def _fit_scale(scores: NDArray[np.float32], targets: LabelTargets) -> float:
    """The scale of least binary cross-entropy on these rows."""
    values, truth = scores[targets.known].astype(np.float64), targets.values[targets.known]
    losses = [(np.logaddexp(0, scale * values) - truth * scale * values).mean() for scale in _SCALES]
    return float(_SCALES[int(np.argmin(losses))])
