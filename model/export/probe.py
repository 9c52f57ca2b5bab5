"""The sentences of a bundle's self-test: fixed oddities, and some made up from the words of the vocabulary."""

import random
from collections.abc import Sequence
from typing import Final

from model.contract.normalise import CJK, script_runs

_ODDITIES: Final = (
    "",
    "?",
    "你好",
    "hello",
    "ＦＵＬＬ　ｗｉｄｔｈ １２３",
    "混合 mixed 文本 text 😀",
    "naïve café",
    "a" * 300,
)
_MADE_UP: Final = 24
"""The longest has as many words."""

_SEED: Final = 1


def probe_sentences(vocabulary: Sequence[str]) -> list[str]:
    """What an encoder with this vocabulary is asked at every load.

    A bundle outlives the records that it was trained on, erased ones too (ADR 16): the vocabulary is all that these
    sentences are made of, so that they tell no more than it does.
    """
    if not vocabulary:
        return list(_ODDITIES)
    chance = random.Random(_SEED)
    return [*_ODDITIES, *(_joined(chance.choices(vocabulary, k=1 + n)) for n in range(_MADE_UP))]


def _joined(tokens: Sequence[str]) -> str:
    """With spaces but between characters that make runs without any, whose grams reach over both."""
    text, before = "", True
    for token in tokens:
        is_cjk = all(kind == CJK for kind, _ in script_runs(token))
        text += token if not text or (before and is_cjk) else f" {token}"
        before = is_cjk
    return text
