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


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_is_cut_as_everything_else_is(text: str) -> None:
    """One character that is not ASCII sends the whole text the general way."""
    assert script_runs(text) == script_runs(f"{text} 我")[:-1]


def test_every_ascii_character_has_the_kind_that_it_has_elsewhere() -> None:
    for code in range(128):
        assert script_runs(f"a{chr(code)}b") == script_runs(f"a{chr(code)}b 我")[:-1]
