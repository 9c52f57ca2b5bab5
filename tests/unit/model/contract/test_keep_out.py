"""Which sentences are kept out: the same ones on every machine and in every training."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.contract.dataset import Row
from model.contract.keep_out import is_kept_out, without_kept_out

VECTORS = {
    "how do i get my money back": 0.13724337041560414,
    "我要退款": 0.14001325480881555,
    "hello": 0.17557225990430197,
    "on 3.5 of 10,000": 0.9506551055594892,
}
"""Where sentences stand between 0 and 1; a change of these would let trainings see what releases are judged by."""

SHARES = st.floats(0, 1)


@pytest.mark.parametrize(("text", "place"), VECTORS.items())
def test_a_sentence_stands_where_it_always_stood(text: str, place: float) -> None:
    assert not is_kept_out(text, place - 1e-12)
    assert is_kept_out(text, place + 1e-12)


def test_the_place_is_the_beginning_of_a_sha256() -> None:
    digest = hashlib.sha256(b"hello").hexdigest()
    assert int(digest[:16], 16) / 2**64 == VECTORS["hello"]


@pytest.mark.parametrize(
    "written", ["How do I get my money back?", "ｈow do i get  my money-back!!", "HOWDOIGETMYMONEYBACK"]
)
def test_ways_to_write_a_sentence_stand_at_one_place(written: str) -> None:
    place = VECTORS["how do i get my money back"]
    assert is_kept_out(written, place + 1e-12) and not is_kept_out(written, place - 1e-12)


@settings(max_examples=50)
@given(st.text(max_size=20), SHARES, SHARES)
def test_a_larger_share_keeps_out_more_never_others(text: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert is_kept_out(text, high) or not is_kept_out(text, low)
    assert not is_kept_out(text, 0.0) and is_kept_out(text, 1.0)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_the_share_is_met(share: float) -> None:
    n = 10_000
    kept_out = sum(is_kept_out(f"sentence {number}", share) for number in range(n))
    assert kept_out / n == pytest.approx(share, abs=4 * (share * (1 - share) / n) ** 0.5)


def test_rows_are_left_that_may_be_learned_from() -> None:
    rows = [Row(line=number, text=f"sentence {number}") for number in range(200)]
    assert without_kept_out(rows, 0.0) == rows
    assert without_kept_out(rows, 0.3) == [row for row in rows if not is_kept_out(row.text, 0.3)]
    assert 100 < len(without_kept_out(rows, 0.3)) < 180
