"""Scores of words against a dict of features written out, and a label head that has them against its files."""

import io
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from model.contract.bundle import load_bundle
from model.contract.deciding.head import LabelHead
from model.contract.deciding.word_scores import PAIR_ROWS, WordScores, word_bag
from model.contract.errors import BundleDamagedError
from model.contract.text import TextConfig, TextContract, Tokens
from tests.fakes.changed_bundle import replace_file
from tests.fakes.tiny_bundle import make_tiny_bundle

CONTRACT = TextContract(TextConfig(buckets=64), ["card", "my", "卡", "lost"])
SENTENCES = ["I lost my card", "my card my card", "我的卡丢了", "", "card"]


def plain_bag(tokens: Tokens) -> dict[int, float]:
    """The features of a sentence, one at a time, in Python's own numbers."""
    found: defaultdict[int, float] = defaultdict(float)
    n_ids, buckets = CONTRACT.n_ids, CONTRACT.config.buckets
    for token, packed in zip(tokens.ids, tokens.grams, strict=True):
        found[token] += 1
        grams = memoryview(packed).cast("i").tolist()
        for gram in grams:
            found[n_ids + gram] += 1 / math.sqrt(len(grams))
    for first, second in zip(tokens.ids, tokens.ids[1:], strict=False):
        hashed = (first * 0x9E3779B1 + second * 0x85EBCA6B) % 2**32
        found[n_ids + buckets + 1 + hashed // 2**18] += 1
    return found


def some_words(n_labels: int = 3) -> WordScores:
    """Scores of two thirds of all rows."""
    rng = np.random.default_rng(0)
    n_rows = CONTRACT.n_ids + 64 + 1 + PAIR_ROWS
    rows = np.flatnonzero(rng.random(n_rows) < 2 / 3)
    weights = rng.normal(0, 3, (len(rows), n_labels)).astype(np.float16).astype(np.float32)
    return WordScores(CONTRACT.n_ids, 64, rows, rng.uniform(1, 5, len(rows)).astype(np.float32), weights)


def test_a_bag_holds_tokens_grams_and_pairs() -> None:
    for text in SENTENCES:
        tokens = CONTRACT.tokenise(text)
        rows, weights = word_bag(tokens, CONTRACT.n_ids, 64)
        found: defaultdict[int, float] = defaultdict(float)
        for row, weight in zip(rows.tolist(), weights.tolist(), strict=True):
            found[row] += weight
        assert found == pytest.approx(plain_bag(tokens))


def test_scores_are_products_with_the_unit_bag_of_the_rows_that_count() -> None:
    words = some_words()
    place = {row: number for number, row in enumerate(words.rows.tolist())}
    for text, found in zip(SENTENCES, words.scores([CONTRACT.tokenise(text) for text in SENTENCES]), strict=True):
        bag = plain_bag(CONTRACT.tokenise(text))
        values = {place[row]: value * float(words.idf[place[row]]) for row, value in bag.items() if row in place}
        norm = math.sqrt(sum(value**2 for value in values.values()))
        wanted = sum(value / norm * words.weights[row].astype(float) for row, value in values.items())
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_sentence_of_nothing_that_counts_scores_0() -> None:
    none = WordScores(CONTRACT.n_ids, 64, np.empty(0, np.int64), np.empty(0, np.float32), np.empty((0, 2), np.float32))
    rare = WordScores(CONTRACT.n_ids, 64, np.array([3]), np.ones(1, np.float32), np.ones((1, 2), np.float32))
    for words in (none, rare):
        assert words.scores([CONTRACT.tokenise("？")]).tolist() == [[0, 0]]


def test_a_head_adds_them_and_survives_its_files(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path / "b", sigmoid_labels=("money back", "log in"), sigmoid_word="undo")
    bundle = load_bundle(tmp_path / "b")
    head = bundle.label_head
    assert head is not None
    assert head.words is not None
    texts = ["log in", "please undo my money back", "weather"]
    embeddings = bundle.encoder.encode(texts)
    tokens = [bundle.encoder.contract.tokenise(text) for text in texts]
    wanted = expit(embeddings @ head.weights.T + head.bias + head.words.scores(tokens))
    np.testing.assert_allclose(bundle.label_confidences(texts, embeddings), wanted, atol=1e-6)
    without = LabelHead(head.labels, head.weights, head.bias).confidences(embeddings)
    changed = np.abs(bundle.label_confidences(texts, embeddings) - without).max(axis=1) > 1e-3
    assert changed.tolist() == [False, True, False]


def test_words_of_other_labels_than_the_head_are_refused(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path / "b", sigmoid_labels=("money back", "log in"), sigmoid_word="undo")
    path = tmp_path / "b" / "words.npz"
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    buffer = io.BytesIO()
    np.savez(buffer, **{**arrays, "weights": arrays["weights"][:, :1]})
    replace_file(path, buffer.getvalue())
    with pytest.raises(BundleDamagedError, match=r"words.npz: weights of shape \(\d+, 1\), 2 labels"):
        load_bundle(tmp_path / "b")
    replace_file(path, b"PK\3\4 torn")
    with pytest.raises(BundleDamagedError, match="the head cannot be read"):
        load_bundle(tmp_path / "b")
