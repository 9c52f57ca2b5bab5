"""Sentences of no group, made from training sentences."""

import numpy as np

from model.data.outliers import synthesise_outliers

REFUND, CARD = "please refund the money back", "please block the card"
GROUPS = ["refund", "card"]


def test_the_most_telling_words_give_way() -> None:
    """`please` and `the` stand in both groups: they stay while refund, money, back, block and card go."""
    made = list(synthesise_outliers([REFUND, CARD] * 20, GROUPS * 20, 200, np.random.default_rng(0)))
    by_length = {len(text.split()): text.split() for text in (REFUND, CARD)}
    telling = {"refund", "money", "back", "block", "card"}
    for outlier in made:
        words = outlier.split()
        own = by_length[len(words)]
        assert {old for old, new in zip(own, words, strict=True) if old != new} <= telling
        assert set(words) <= telling | {"please", "the"}
    assert sum(outlier not in (REFUND, CARD) for outlier in made) > 150  # a word may be exchanged for itself


def test_characters_stand_together_and_words_apart() -> None:
    made = list(synthesise_outliers(["我要退款 now", "改地址"], ["a", "b"], 50, np.random.default_rng(1)))
    assert all("  " not in outlier and outlier == outlier.strip() for outlier in made)
    chinese = [outlier for outlier in made if not any(char.isascii() and char.isalpha() for char in outlier)]
    assert chinese
    assert all(" " not in outlier for outlier in chinese)


def test_the_draw_is_seeded_and_a_sentence_of_one_word_is_exchanged_whole() -> None:
    first, again = (list(synthesise_outliers(["refund", "card"], GROUPS, 30, np.random.default_rng(5))) for _ in "ab")
    assert first == again
    assert set(first) == {"refund", "card"}
