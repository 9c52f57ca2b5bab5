"""The baseline to beat: TF-IDF of words and character grams, a linear SVM for known groups, cosines for unseen ones."""

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import FeatureUnion
from sklearn.svm import LinearSVC

from model.contract.dataset import Row
from model.contract.normalise import cut_words, normalise
from model.evaluation.label_metrics import LabelTruth, label_metrics
from model.evaluation.metrics import accuracy, group_sizes, macro_f1, ranking_metrics

_BLOCK = 512


def _units(sentence: str) -> list[str]:
    return cut_words(normalise(sentence))


def _vectoriser() -> FeatureUnion:
    words = TfidfVectorizer(
        tokenizer=_units, token_pattern=None, lowercase=False, ngram_range=(1, 2), sublinear_tf=True
    )
    grams = TfidfVectorizer(analyzer="char_wb", preprocessor=normalise, ngram_range=(2, 5), sublinear_tf=True)
    return FeatureUnion([("words", words), ("grams", grams)])


def svm_baseline(
    train: Sequence[str], train_groups: Sequence[str], test: Sequence[str], test_groups: Sequence[str]
) -> dict[str, float]:
    """Accuracy and macro-F1 of TF-IDF and a linear SVM fitted on `train`; a single group is given to all of `test`."""
    predicted = [train_groups[0]] * len(test)
    if len(set(train_groups)) > 1:
        vectoriser = _vectoriser()
        classifier = LinearSVC(C=1.0)
        classifier.fit(vectoriser.fit_transform(train), train_groups)
        predicted = [str(group) for group in classifier.predict(vectoriser.transform(test))]
    return {"head_accuracy": accuracy(predicted, test_groups), "head_macro_f1": macro_f1(predicted, test_groups)}


def multi_label_baseline(train: Sequence[Row], test: Sequence[Row]) -> dict[str, float]:
    """Label metrics of TF-IDF and a balanced linear SVM for each label, fitted on `train`."""
    learnt = LabelTruth.of(train)
    truth = LabelTruth.of(test, learnt.labels)
    always = learnt.applies.all(axis=0)
    separable = np.flatnonzero(learnt.applies.any(axis=0) & ~always)
    scores = np.full(truth.applies.shape, -np.inf)  # a label that was never seen is never given
    scores[:, np.flatnonzero(always)] = np.inf
    if len(separable):
        vectoriser = _vectoriser()
        classifier = OneVsRestClassifier(LinearSVC(C=1.0, class_weight="balanced"))
        classifier.fit(vectoriser.fit_transform([row.text for row in train]), learnt.applies[:, separable].astype(int))
        decided = classifier.decision_function(vectoriser.transform([row.text for row in test]))
        scores[:, separable] = decided.reshape(len(test), -1)
    return label_metrics(scores, scores > 0, truth)


def retrieval_baseline(sentences: Sequence[str], groups: Sequence[str]) -> dict[str, float]:
    """Open-set metrics of TF-IDF cosines among the sentences."""
    n_relevant = group_sizes(groups) - 1
    queries = np.flatnonzero(n_relevant)
    if not len(queries):
        return {}
    matrix = _vectoriser().fit_transform(sentences)
    ranked = []
    for start in range(0, len(queries), _BLOCK):
        rows = queries[start : start + _BLOCK]
        cosines = (matrix[rows] @ matrix.T).toarray()
        cosines[np.arange(len(rows)), rows] = -np.inf
        ranked.append(np.argsort(-cosines, axis=1, kind="stable")[:, : max(10, int(n_relevant.max()))])
    return ranking_metrics(np.concatenate(ranked), queries, groups)


def nearest_by_tfidf(stored: Sequence[str], asked: Sequence[str]) -> list[int]:
    """The row of the stored sentence nearest to each that is asked, by TF-IDF of the stored ones."""
    vectoriser = _vectoriser()
    matrix = vectoriser.fit_transform(stored)
    found: list[int] = []
    for start in range(0, len(asked), _BLOCK):
        cosines = vectoriser.transform(asked[start : start + _BLOCK]) @ matrix.T
        found += cosines.toarray().argmax(axis=1).tolist()
    return found
