"""Sentences of no group made to choose a threshold by."""

import pytest

from model.contract.dataset import Row
from model.contract.normalise import same_text_key
from model.data.strangers import ENOUGH, make_strangers

TOPICS = ("refund", "card", "parcel", "invoice", "account", "coupon")


def rows_of(*texts: str) -> list[Row]:
    return [Row(line=line, text=text, group=f"g{line % 7}") for line, text in enumerate(texts, start=2)]


FAQ = rows_of(*(f"how do I get my {topic} {number}" for topic in TOPICS for number in range(20)), "怎么申请退款呢")


@pytest.mark.parametrize(
    ("n_given", "n_made"), [(0, len(FAQ)), (1, ENOUGH - 1), (ENOUGH - 1, 1), (ENOUGH, 0), (ENOUGH + 1, 0)]
)
def test_they_make_up_for_those_that_are_wanting(n_given: int, n_made: int) -> None:
    assert len(make_strangers(FAQ, n_given)) == n_made


def test_of_few_rows_enough_are_made_and_of_many_no_more_than_are_needed() -> None:
    assert len(make_strangers(FAQ[:20], 0)) == ENOUGH
    assert len(make_strangers(rows_of(*(f"word{n} other{n % 50}" for n in range(3000))), 0)) == 2000


def test_none_is_a_sentence_that_is_stored() -> None:
    stored = {same_text_key(row.text) for row in FAQ}
    made = make_strangers([*FAQ, *rows_of(*(row.text.upper() for row in FAQ))], 0)
    assert made
    assert not stored & {same_text_key(text) for text in made}


def test_they_keep_words_of_the_sentences_and_are_always_the_same() -> None:
    words = {word for row in FAQ for word in row.text.lower().split()}
    made = make_strangers(FAQ, 0)
    assert made == make_strangers(FAQ, 0)
    assert {word for text in made for word in text.split() if word.isascii()} <= words


def test_single_words_cannot_be_taken_apart() -> None:
    assert make_strangers(rows_of(*TOPICS, "退款"), 0) == []
    assert make_strangers([], 0) == []
