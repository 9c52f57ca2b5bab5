"""Text to ids and grams: the published hash vectors, and a naive re-derivation of every gram."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.contract.errors import BundleDamagedError, BundleVersionError
from model.contract.grams import fnv1a_32
from model.contract.text import EMPTY_ID, UNKNOWN_ID, TextConfig, TextContract, Tokens, pad

VOCABULARY = ("refund", "my", "退", "款", "?")


def make_contract(**changes: object) -> TextContract:
    return TextContract(TextConfig(**changes), VOCABULARY)  # type: ignore[arg-type]


def grams_of(tokens: Tokens, position: int) -> list[int]:
    return np.frombuffer(tokens.grams[position], np.int32).tolist()


def naive_bucket(gram: str, config: TextConfig) -> int:
    value = 0x811C9DC5 ^ config.seed
    for byte in gram.encode():
        value = (value ^ byte) * 0x01000193 % 2**32
    return 1 + value % config.buckets


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", 0x811C9DC5), (b"a", 0xE40C292C), (b"b", 0xE70C2DE5), (b"foobar", 0xBF9CF968)],
)
def test_fnv1a_published_vectors(data: bytes, expected: int) -> None:
    assert fnv1a_32(data) == expected


def test_ids_follow_the_vocabulary_after_the_special_tokens() -> None:
    tokens = make_contract().tokenise("My REFUND 退款 unheard?")
    assert tokens.ids == [4, 3, 5, 6, UNKNOWN_ID, 7]
    assert not tokens.truncated


@pytest.mark.parametrize("word", ["refund", "a", "naïve", "привет", "internationalisation"])
@pytest.mark.parametrize("seed", [0, 99])
def test_word_grams_match_a_naive_derivation(word: str, seed: int) -> None:
    config = TextConfig(seed=seed)
    marked = f"<{word}>"
    naive = [
        naive_bucket(marked[start : start + length], config)
        for length in (3, 4, 5)
        for start in range(len(marked) - length + 1)
    ]
    assert grams_of(make_contract(seed=seed).tokenise(word), 0) == naive[: config.most_grams]


@pytest.mark.parametrize("cjk_grams", [(2, 2), (2, 3), (1, 2)])
def test_cjk_grams_are_those_that_touch_the_character(cjk_grams: tuple[int, int]) -> None:
    config = TextConfig(cjk_grams=cjk_grams)
    marked = "<怎么退款>"
    tokens = make_contract(cjk_grams=cjk_grams).tokenise("怎么退款")
    for position in range(4):
        here = position + 1
        naive = [
            naive_bucket(marked[start : start + length], config)
            for length in range(cjk_grams[0], cjk_grams[1] + 1)
            for start in range(len(marked) - length + 1)
            if start <= here < start + length
        ]
        assert grams_of(tokens, position) == naive


def test_a_symbol_has_no_grams() -> None:
    assert grams_of(make_contract().tokenise("?"), 0) == []


@pytest.mark.parametrize("text", ["", "   ", "\x00\x01", "\N{ZERO WIDTH SPACE}"])
def test_a_text_without_tokens_is_the_empty_token(text: str) -> None:
    assert make_contract().tokenise(text) == Tokens([EMPTY_ID], [b""], False)


@pytest.mark.parametrize(
    ("text", "truncated"),
    [
        ("\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 22, True),
        ("w " * 64, False),
        ("w " * 65, True),
        ("退" * 64, False),
        ("退" * 65, True),
        ("a" * 5000, True),
    ],
)
def test_the_limit_on_tokens_is_exact(text: str, truncated: bool) -> None:
    tokens = make_contract().tokenise(text)
    assert tokens.truncated is truncated
    assert make_contract().is_cut(text) is truncated
    assert len(tokens) <= 64


def test_a_huge_text_costs_no_more_than_its_first_characters() -> None:
    contract = make_contract()
    huge = "退款 refund " * 10_000
    assert contract.tokenise(huge) == Tokens(*_ids_and_grams(contract, huge[:2048]), True)


def _ids_and_grams(contract: TextContract, text: str) -> tuple[list[int], list[bytes]]:
    tokens = contract.tokenise(text)
    return tokens.ids, tokens.grams


@pytest.mark.parametrize(
    "text", ["你好", "hello world", "混合 mixed 文本", "ＦＵＬＬ", "😀👨‍👩‍👧", "x\x07y", "a" * 100_000]
)
def test_cache_and_warm_up_change_nothing(text: str) -> None:
    cold, warm = make_contract(), make_contract()
    warm.warm_up()
    warm.tokenise(text)
    assert warm.tokenise(text) == cold.tokenise(text)


def test_pad_fills_with_zeros_to_the_asked_shape() -> None:
    contract = make_contract()
    batch = [contract.tokenise("my"), contract.tokenise("my refund?")]
    features = pad(batch, min_tokens=5, min_grams=30)
    assert features.ids.tolist() == [[4, 0, 0, 0, 0], [4, 3, 7, 0, 0]]
    assert features.lengths.tolist() == [1, 3]
    assert features.grams.shape == (2, 5, 30)
    for row, tokens in enumerate(batch):
        for position in range(5):
            expected = grams_of(tokens, position) if position < len(tokens) else []
            assert features.grams[row, position].tolist() == expected + [0] * (30 - len(expected))


@settings(max_examples=200)
@given(st.text(max_size=300))
def test_every_text_gives_valid_features(text: str) -> None:
    contract = make_contract(max_tokens=16)
    tokens = contract.tokenise(text)
    assert 1 <= len(tokens) <= 16
    assert contract.is_cut(text) is tokens.truncated
    assert len(tokens.ids) == len(tokens.grams)
    assert all(0 < number < contract.n_ids for number in tokens.ids)
    features = pad([tokens])
    assert features.grams.min() >= 0
    assert features.grams.max() <= contract.config.buckets


def test_files_round_trip() -> None:
    contract = make_contract(seed=3, cjk_grams=(2, 3))
    again = TextContract.from_files(contract.to_json(), contract.to_vocabulary_text())
    assert again.config == contract.config
    assert again.vocabulary == VOCABULARY


def test_other_rules_are_refused_by_version() -> None:
    with pytest.raises(BundleVersionError, match="text_version is 99"):
        TextContract.from_files(make_contract().to_json().replace('"text_version": 1', '"text_version": 99'), "")


@pytest.mark.parametrize("text_json", ["", "[]", "{}", '{"text_version": 1}'])
def test_an_unreadable_file_is_refused(text_json: str) -> None:
    with pytest.raises(BundleDamagedError):
        TextContract.from_files(text_json, "")


def test_a_token_twice_is_refused() -> None:
    with pytest.raises(BundleDamagedError, match="twice"):
        TextContract(TextConfig(), ["same", "same"])


def test_a_full_cache_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cold = make_contract()
    expected = [cold.tokenise(text) for text in ("怎么退款呢", "refund of orders", "怎么退款呢")]
    monkeypatch.setattr("model.contract.text._CACHED", 2)
    full = make_contract()
    assert [full.tokenise(text) for text in ("怎么退款呢", "refund of orders", "怎么退款呢")] == expected
