"""The overlap of words, against scikit-learn's TF-IDF."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from model.contract.bundle import load_bundle
from model.contract.deciding.decision import DecisionParameters
from model.contract.deciding.word_overlap import WordOverlap
from model.contract.errors import BundleDamagedError
from model.contract.head_files import npy
from model.contract.text import TextConfig, TextContract
from tests.fakes.changed_bundle import replace_file
from tests.fakes.tiny_bundle import make_tiny_bundle

TRAINED = ["where is my order ?", "my order is late", "退 款 怎 么 还 没 到", "my refund 退 款"]
"""Cut into words by hand, CJK characters apart."""

VOCABULARY = sorted({word for text in TRAINED for word in text.split()})

TEXTS = {
    "Where is my Order?": "where is my order ?",
    "my my order": "my my order",
    "退款还没到？": "退 款 还 没 到 ?",
    "crypto wallet, late": "crypto wallet , late",
    "我的crypto": "我 的 crypto",
    "ｌａｔｅ": "late",
    "": "",
}


def overlap() -> WordOverlap:
    sentences = [text.replace("退 款 怎 么 还 没 到", "退款怎么还没到").replace("退 款", "退款") for text in TRAINED]
    return WordOverlap.of(TextContract(TextConfig(), VOCABULARY), sentences)


def test_it_is_the_cosine_of_tfidf_bags_where_what_is_unseen_is_in_no_sentence() -> None:
    """Weights with raw counts and smoothed frequencies, which is what scikit-learn does by default."""
    unseen = {word for cut in TEXTS.values() for word in cut.split()} - set(VOCABULARY)
    reference = TfidfVectorizer(
        tokenizer=str.split, token_pattern=None, lowercase=False, vocabulary=[*VOCABULARY, *sorted(unseen)]
    ).fit(TRAINED)
    bags = reference.transform(TEXTS.values())
    expected = (bags @ bags.T).toarray()
    found = [overlap().cosines(text, list(TEXTS)) for text in TEXTS]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_frequencies_count_sentences_not_words() -> None:
    frequencies = WordOverlap.of(TextContract(TextConfig(), ("a", "b", "c")), ["a a b", "A", "d"]).frequencies
    assert (frequencies.tolist(), frequencies.dtype) == ([3, 2, 1, 0], np.uint32)


def test_no_more_of_a_text_counts_than_the_encoder_reads() -> None:
    few_chars, few_tokens = (
        WordOverlap.of(TextContract(config, ()), []) for config in (TextConfig(max_chars=7), TextConfig(max_tokens=2))
    )
    for words in (few_chars, few_tokens):
        assert words.cosines("one two three", ["one two", "three"]) == pytest.approx([1.0, 0.0])
    assert few_tokens.cosines("退款到账", ["退 款", "到账"]) == pytest.approx([1.0, 0.0])
    counted = WordOverlap.of(TextContract(TextConfig(max_tokens=2), ("a", "b", "c")), ["a b c", "c b a"]).frequencies
    assert counted.tolist() == [2, 1, 2, 1]


def test_a_bundle_has_them_and_an_older_one_goes_by_cosines(tmp_path: Path) -> None:
    decision = DecisionParameters(word_weight=0.5)
    make_tiny_bundle(tmp_path / "old", decision=decision)
    make_tiny_bundle(tmp_path / "new", n_learnt=5, decision=decision)
    old, new = load_bundle(tmp_path / "old"), load_bundle(tmp_path / "new")
    assert old.words is None
    assert new.words is not None
    assert new.words.cosines("wallet", ["wallet", "order"]) == pytest.approx([1.0, 0.0])
    for content in (b"torn", np.lib.format.magic(1, 0)):
        replace_file(tmp_path / "new" / "frequencies.npy", content)
        with pytest.raises(BundleDamagedError, match=r"frequencies\.npy cannot be read"):
            load_bundle(tmp_path / "new")


def test_frequencies_of_another_vocabulary_are_damage(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path / "bundle", n_learnt=5)
    replace_file(tmp_path / "bundle" / "frequencies.npy", npy(np.array([5, 2], np.uint32)))
    with pytest.raises(BundleDamagedError, match=r"frequencies\.npy: 2 word frequencies do not fit a vocabulary of 0"):
        load_bundle(tmp_path / "bundle")


@pytest.mark.parametrize("numbers", [[5.5], [-1], [[5]], 5, ["5"]])
def test_what_is_no_list_of_counts_is_damage(tmp_path: Path, numbers: object) -> None:
    make_tiny_bundle(tmp_path / "bundle", n_learnt=5)
    replace_file(tmp_path / "bundle" / "frequencies.npy", npy(np.array(numbers)))
    with pytest.raises(BundleDamagedError, match=r"frequencies\.npy cannot be read: .* is not a list of uint32"):
        load_bundle(tmp_path / "bundle")


def test_a_word_in_more_sentences_than_there_are_is_damage() -> None:
    with pytest.raises(BundleDamagedError, match="a word stands in more than all 2 sentences"):
        WordOverlap(TextContract(TextConfig(), ("a", "b")), np.array([2, 1, 3], np.uint32))
