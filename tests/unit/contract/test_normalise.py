"""Normalisation and script runs, against cases written out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.contract.normalise import CJK, SYMBOL, WORD, normalise, script_runs


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Hello", "hello"),
        ("ＦＵＬＬ　ｗｉｄｔｈ１２３", "full width123"),
        ("①号订单", "1号订单"),
        ("Straße", "strasse"),
        ("ﬁne", "fine"),
        ("zero\N{ZERO WIDTH SPACE}width", "zerowidth"),
        ("\ufeffmark", "mark"),
        ("lone\ud800", "lone\ufffd"),
        ("", ""),
    ],
)
def test_normalise(raw: str, expected: str) -> None:
    assert normalise(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("can't stop", [(WORD, "can't"), (WORD, "stop")]),
        ("'quoted'", [(SYMBOL, "'"), (WORD, "quoted"), (SYMBOL, "'")]),
        ("怎么退款?", [(CJK, "怎么退款"), (SYMBOL, "?")]),
        ("我的iPhone坏了", [(CJK, "我的"), (WORD, "iphone"), (CJK, "坏了")]),
        ("カタカナ ひらがな", [(CJK, "カタカナ"), (CJK, "ひらがな")]),
        ("환불 해주세요", [(WORD, "환불"), (WORD, "해주세요")]),
        ("हिन्दी में", [(WORD, "हिन्दी"), (WORD, "में")]),
        ("ok😀😀", [(WORD, "ok"), (SYMBOL, "😀"), (SYMBOL, "😀")]),
        ("a\x00b\tc\nd", [(WORD, "a"), (WORD, "b"), (WORD, "c"), (WORD, "d")]),
        ("snake_case", [(WORD, "snake_case")]),
        (" \t\n\u3000", []),
    ],
)
def test_script_runs(raw: str, expected: list[tuple[str, str]]) -> None:
    assert script_runs(normalise(raw)) == expected


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once


@given(st.text())
def test_runs_hold_every_visible_character_in_order(text: str) -> None:
    joined = "".join(run for _, run in script_runs(normalise(text)))
    rest = iter(normalise(text))
    assert all(any(char == other for other in rest) for char in joined)
