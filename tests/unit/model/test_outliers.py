"""Sentences of no group, made from training sentences."""

import numpy as np

from model.contract.text import TextConfig, TextContract
from model.data.outliers import synthesise_outliers

CONTRACT = TextContract(TextConfig(), ["please", "refund", "card", "the", "money", "back", "block"])
REFUND, CARD = "please refund the money back", "please block the card"


def test_the_most_telling_tokens_give_way() -> None:
    """`please` and `the` stand in both groups: they stay while refund, money, back, block and card go."""
    sentences = [CONTRACT.tokenise(text) for text in [REFUND, CARD] * 20]
    labels = np.array([0, 1] * 20)
    made = list(synthesise_outliers(sentences, labels, 200, np.random.default_rng(0)))
    common = {CONTRACT.tokenise(word).ids[0] for word in ("please", "the")}
    telling = {CONTRACT.tokenise(word).ids[0] for word in ("refund", "money", "back", "block", "card")}
    known = {tuple(tokens.ids) for tokens in sentences}
    original = {len(tokens.ids): tokens.ids for tokens in sentences}
    changed = 0
    for outlier in made:
        own = original[len(outlier)]
        exchanged = [old for old, new in zip(own, outlier.ids, strict=True) if old != new]
        assert set(exchanged) <= telling
        assert all(new in common | telling for new in outlier.ids)
        changed += tuple(outlier.ids) not in known
    assert changed > 150  # now and then a token is exchanged for itself


def test_a_token_keeps_its_grams_and_the_draw_is_seeded() -> None:
    sentences = [CONTRACT.tokenise(text) for text in (REFUND, CARD)]
    grams_of = {token: grams for tokens in sentences for token, grams in zip(tokens.ids, tokens.grams, strict=True)}
    first, again = (
        list(synthesise_outliers(sentences, np.array([0, 1]), 20, np.random.default_rng(5))) for _ in range(2)
    )
    assert first == again
    assert all(
        grams_of[token] == grams for tokens in first for token, grams in zip(tokens.ids, tokens.grams, strict=True)
    )


def test_a_sentence_of_one_token_is_exchanged_whole() -> None:
    sentences = [CONTRACT.tokenise(text) for text in ("refund", "card")]
    made = list(synthesise_outliers(sentences, np.array([0, 1]), 30, np.random.default_rng(0)))
    assert {len(tokens) for tokens in made} == {1}
