"""Text to token ids and hashed grams, defined once for training and serving: text.json and vocab.txt of a bundle."""

import json
import sys
import unicodedata
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.contract.errors import BundleDamagedError, BundleVersionError
from model.contract.grams import fnv1a_32, hash_grams
from model.contract.normalise import CJK, WORD, normalise, script_runs

PAD_ID: Final = 0
UNKNOWN_ID: Final = 1
EMPTY_ID: Final = 2
SPECIAL_TOKENS: Final = ("[PAD]", "[UNK]", "[EMPTY]")
TEXT_VERSION: Final = 1

_CACHED: Final = 32_768
"""Words, and grams of CJK text, that are remembered at most."""

GRAM_BYTES: Final = 4
"""Of a gram's row, packed."""

_NO_GRAMS: Final = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConfig:
    """How text becomes features.

    Attributes:
        text_version: Version of these rules; another one is refused.
        max_tokens: Tokens kept of a sentence, from its start.
        max_chars: Characters looked at, before anything else; bounds the work on a huge text.
        buckets: Rows of the hashed gram table, 0 for no grams.
        word_grams: Shortest and longest character gram of a word, its edges marked by < and >.
        cjk_grams: Shortest and longest gram that touches a CJK character, counted inside its run.
        most_grams: Grams kept a token, shorter ones first.
        seed: Seed of the hash.
    """

    text_version: int = TEXT_VERSION
    max_tokens: int = 64
    max_chars: int = 2048
    buckets: int = 8192
    word_grams: tuple[int, int] = (3, 5)
    cjk_grams: tuple[int, int] = (2, 2)
    most_grams: int = 24
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Tokens:
    """One sentence as features.

    Attributes:
        ids: Token ids, at least one.
        grams: For each token its gram rows (1 to buckets) as packed int32.
        truncated: Whether a limit cut the sentence.
    """

    ids: list[int]
    grams: list[bytes]
    truncated: bool

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Features:
    """A padded batch, as the encoder takes it.

    Attributes:
        ids: (B, T) int32, PAD_ID past the length.
        grams: (B, T, K) int32, 0 where there is none; K is 1 without grams.
        lengths: (B,) int32, at least 1.
    """

    ids: NDArray[np.int32]
    grams: NDArray[np.int32]
    lengths: NDArray[np.int32]


class _GramRows(dict[str, bytes]):
    """Gram rows (1 to buckets) as packed int32, by gram, filled as grams are met."""

    def __init__(self, config: TextConfig) -> None:
        self._buckets = config.buckets
        self._seed = config.seed

    def __missing__(self, gram: str) -> bytes:
        if len(self) >= _CACHED:
            self.clear()  # cheaper than an LRU, and as good: common ones are back after a few sentences
        row = 1 + fnv1a_32(gram.encode(), self._seed) % self._buckets
        packed = self[gram] = row.to_bytes(GRAM_BYTES, sys.byteorder)
        return packed


class TextContract:
    """Turns sentences into features.

    Args:
        config: The rules.
        vocabulary: Every known token, without the special ones; ids follow their order.
    """

    def __init__(self, config: TextConfig, vocabulary: Iterable[str]) -> None:
        self.config = config
        self.vocabulary = tuple(vocabulary)
        self._ids = {token: number for number, token in enumerate(chain(SPECIAL_TOKENS, self.vocabulary))}
        if len(self._ids) != len(SPECIAL_TOKENS) + len(self.vocabulary):
            raise BundleDamagedError("the vocabulary holds a token twice")
        self._words: dict[str, tuple[int, bytes]] = {}
        self._gram_rows = _GramRows(config)

    @property
    def n_ids(self) -> int:
        """Rows of the token table, the special tokens included."""
        return len(self._ids)

    def has(self, token: str) -> bool:
        """Whether a normalised token has a row of its own."""
        return token in self._ids

    def warm_up(self) -> None:
        """Hash the grams of known words now, so that the first sentences are as fast as later ones."""
        for token in self.vocabulary[: _CACHED // 2]:
            for kind, run in script_runs(token):
                if kind != CJK:
                    self._look_up(kind, run)

    def tokenise(self, text: str) -> Tokens:
        """Turn one sentence into token ids and grams."""
        config = self.config
        truncated = len(text) > config.max_chars
        ids: list[int] = []
        grams: list[bytes] = []
        for kind, run in script_runs(normalise(text[: config.max_chars])):
            if len(ids) >= config.max_tokens:
                truncated = True
                break
            if kind == CJK:
                room = config.max_tokens - len(ids)
                truncated = truncated or len(run) > room
                ids.extend([self._ids.get(character, UNKNOWN_ID) for character in run[:room]])
                grams.extend(self._cjk_grams(run, room))
            else:
                word = self._words.get(run) or self._look_up(kind, run)
                ids.append(word[0])
                grams.append(word[1])
        if not ids:
            return Tokens([EMPTY_ID], [_NO_GRAMS], truncated)
        return Tokens(ids, grams, truncated)

    def is_cut(self, text: str) -> bool:
        """Whether `tokenise` would say truncated, without the work for most sentences."""
        if len(text) > self.config.max_chars:
            return True
        normalised = normalise(text)
        if len(normalised) <= self.config.max_tokens:
            return False
        runs = script_runs(normalised)
        return sum(len(run) if kind == CJK else 1 for kind, run in runs) > self.config.max_tokens

    def _look_up(self, kind: str, run: str) -> tuple[int, bytes]:
        grams = self._word_grams(run) if kind == WORD and self.config.buckets else _NO_GRAMS
        word = (self._ids.get(run, UNKNOWN_ID), grams)
        if len(self._words) >= _CACHED:
            self._words.clear()  # as _GramRows does
        self._words[run] = word
        return word

    def _word_grams(self, word: str) -> bytes:
        config = self.config
        # a longer word could not use more than its first characters
        head = word[: config.most_grams + config.word_grams[1]]
        characters = [character.encode() for character in f"<{head}>"]
        by_length = hash_grams(characters, *config.word_grams, config.seed)
        return self._pack(list(chain.from_iterable(by_length))[: config.most_grams])

    def _cjk_grams(self, run: str, room: int) -> list[bytes]:
        config = self.config
        if not config.buckets:
            return [_NO_GRAMS] * min(len(run), room)
        smallest, largest = config.cjk_grams
        marked = f"<{run[: room + largest]}>"
        rows, most = self._gram_rows, config.most_grams * GRAM_BYTES
        packed = [_NO_GRAMS] * min(len(run), room)
        for length in range(smallest, largest + 1):
            grams = b"".join([rows[marked[start : start + length]] for start in range(len(marked) - length + 1)])
            # those that touch a character lie beside each other; the first character is behind the run's edge mark
            packed = [
                shorter + grams[GRAM_BYTES * max(0, end - length) : GRAM_BYTES * end]
                for end, shorter in enumerate(packed, start=2)
            ]
        return [touching[:most] for touching in packed]

    def _pack(self, hashes: list[int]) -> bytes:
        buckets = self.config.buckets
        return array("i", [1 + value % buckets for value in hashes]).tobytes()

    def to_json(self) -> str:
        """The rules as text.json holds them."""
        return json.dumps({**asdict(self.config), "unicode_data": unicodedata.unidata_version}, indent=2) + "\n"

    def to_vocabulary_text(self) -> str:
        """The tokens as vocab.txt holds them: one a line, in id order, without the special ones."""
        return "".join(f"{token}\n" for token in self.vocabulary)

    @classmethod
    def from_files(cls, text_json: str, vocabulary_text: str) -> "TextContract":
        """Read back what `to_json` and `to_vocabulary_text` wrote.

        Raises:
            BundleVersionError: Written under other rules.
            BundleDamagedError: Not what the two methods write.
        """
        try:
            raw: dict[str, Any] = json.loads(text_json)
            version = raw["text_version"]
            if version != TEXT_VERSION:
                raise BundleVersionError(
                    f"text_version is {version}, this samesay reads {TEXT_VERSION}: train again, "
                    "or use the samesay that made the bundle"
                )
            known = {field.name: raw[field.name] for field in fields(TextConfig)}
            known["word_grams"], known["cjk_grams"] = tuple(raw["word_grams"]), tuple(raw["cjk_grams"])
            return cls(TextConfig(**known), vocabulary_text.split("\n")[:-1])
        except (KeyError, TypeError, ValueError) as error:
            raise BundleDamagedError(f"text.json is not readable: {error!r}") from error


def pad(batch: Sequence[Tokens], *, min_tokens: int = 1, min_grams: int = 1) -> Features:
    """Pad sentences to one rectangle.

    Args:
        batch: At least one sentence.
        min_tokens: T at least, so that few shapes occur.
        min_grams: K at least, likewise.
    """
    lengths = [len(tokens) for tokens in batch]
    width = max(min_tokens, max(lengths))
    most = max(min_grams * GRAM_BYTES, max(len(grams) for tokens in batch for grams in tokens.grams))
    padded_ids = [tokens.ids + [PAD_ID] * (width - len(tokens)) for tokens in batch]
    rows = [
        b"".join([grams.ljust(most, b"\0") for grams in tokens.grams]).ljust(width * most, b"\0") for tokens in batch
    ]
    grams = np.frombuffer(b"".join(rows), dtype=np.int32).reshape(len(batch), width, most // GRAM_BYTES)
    return Features(np.array(padded_ids, np.int32), grams, np.array(lengths, np.int32))
