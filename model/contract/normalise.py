"""Raw text to normalised text, and normalised text to script runs: the first half of the text contract."""

import re
import string
import unicodedata
from typing import Final

_CJK_RANGES: Final = (
    (0x2E80, 0x2FDF),  # radicals
    (0x3005, 0x3007),  # ideographic iteration mark, closing mark, zero
    (0x3021, 0x3029),  # Hangzhou numerals
    (0x3031, 0x3035),  # kana repeat marks
    (0x3040, 0x30FF),  # Hiragana and Katakana
    (0x3100, 0x312F),  # Bopomofo
    (0x31F0, 0x31FF),  # Katakana extensions
    (0x3400, 0x4DBF),  # extension A
    (0x4E00, 0x9FFF),  # unified ideographs
    (0xF900, 0xFAFF),  # compatibility ideographs
    (0x20000, 0x3FFFF),  # extensions B and later
)

WORD, CJK, APOSTROPHE, SYMBOL, SPACE = "wc's "
"""Kinds of a character. An apostrophe joins two word parts (can't) and is a symbol anywhere else."""


def _kind_of(char: str) -> str:
    if any(low <= ord(char) <= high for low, high in _CJK_RANGES):
        return CJK
    if char in "'\N{RIGHT SINGLE QUOTATION MARK}":
        return APOSTROPHE
    category = unicodedata.category(char)
    if category[0] in "LMN" or category == "Pc":
        return WORD
    return SYMBOL if category[0] in "PS" else SPACE


class _KindTable(dict[int, str]):
    """A `str.translate` table from code points to kinds, filled as characters are met."""

    def __missing__(self, code: int) -> str:
        kind = self[code] = _kind_of(chr(code))
        return kind


class _CleanTable(dict[int, int | None]):
    """A `str.translate` table that drops invisible format characters and replaces lone surrogates."""

    def __missing__(self, code: int) -> int | None:
        category = unicodedata.category(chr(code))
        clean = None if category == "Cf" else 0xFFFD if category == "Cs" else code
        self[code] = clean
        return clean


_KINDS: Final = _KindTable()
_CLEAN: Final = _CleanTable()
_UNIT: Final = re.compile(f"{WORD}+(?:{APOSTROPHE}{WORD}+)*|{CJK}+|[{SYMBOL}{APOSTROPHE}]")
_ASCII_UNIT: Final = re.compile(r"\w+(?:'\w+)*|[^\w\s\x00-\x1f\x7f]", re.ASCII)
_ASCII_SYMBOLS: Final = frozenset(string.punctuation) - {"_"}


def normalise(text: str) -> str:
    """Fold width, compatibility forms and case, and drop invisible format characters.

    Full-width letters become half-width and so on (NFKC), case is folded, a lone surrogate becomes U+FFFD. Applying it
    twice changes nothing more.
    """
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKC", _clean(text)).casefold()
    return _clean(unicodedata.normalize("NFKC", folded))


def _clean(text: str) -> str:
    # what is printable has none of either kind, and is most text: to see that takes a tenth of looking each up
    return text if text.isprintable() else text.translate(_CLEAN)


def same_text_key(text: str) -> str:
    """Equal for texts that differ in width, case, invisible characters and runs of white space only."""
    return " ".join(normalise(text).split())


def script_runs(normalised: str) -> list[tuple[str, str]]:
    """Cut normalised text into (kind, text) runs: a word, a CJK run or one symbol, without white space."""
    if normalised.isascii():  # the same, three times as fast
        return [(SYMBOL if unit in _ASCII_SYMBOLS else WORD, unit) for unit in _ASCII_UNIT.findall(normalised)]
    kinds = normalised.translate(_KINDS)
    runs = []
    for match in _UNIT.finditer(kinds):
        start, end = match.span()
        kind = SYMBOL if kinds[start] == APOSTROPHE else kinds[start]
        runs.append((kind, normalised[start:end]))
    return runs


def cut_words(normalised: str) -> list[str]:
    """Cut normalised text into words, symbols and single CJK characters, without white space."""
    words: list[str] = []
    for kind, run in script_runs(normalised):
        if kind == CJK:
            words.extend(run)
        else:
            words.append(run)
    return words
