"""Many sentences to embeddings: each of their distinct tokens is looked up and taken to the gates once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.contract.session import open_session
from model.contract.text import GRAM_BYTES, PAD_ID, Tokens

FROM_SENTENCES: Final = 128
"""So many sentences have enough tokens in common. Measured: 1.06 and 1.21 times as fast; 64 are slower."""

MOST_TOKENS: Final = 32_768
"""Of the sentences that share a table, which takes 4 KB for each distinct one of a bi-GRU of 128 units."""

_BATCH: Final = 64
"""Sentences that run together. Measured: 32 to 128 are about as fast, with more the states leave the core's cache."""

_TABLE_ROWS: Final = 256
"""Tokens that are looked up together, with about as many grams."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ManyGraphs:
    """The two graphs of an encoder, serialised, or where they are.

    Attributes:
        tokens: ids (U,) and grams (U, K) to the columns of the table, each (U, width).
        sentences: Those columns, places (B, T) and lengths (B,) to embeddings.
    """

    tokens: Path | bytes
    sentences: Path | bytes


@dataclass(frozen=True, slots=True)
class _Table:
    """What the graph of the tokens says of each distinct token; row 0 is padding's."""

    columns: dict[str, NDArray[np.float32]]
    rows: NDArray[np.int32]
    """Of all sentences' tokens, one sentence after the other, and padding's."""


class ManyEncoder:
    """The frozen encoder, for many sentences. Safe to call from several threads.

    Args:
        graphs: Of the encoder.

    Raises:
        BundleDamagedError: A graph cannot be loaded.
    """

    def __init__(self, graphs: ManyGraphs) -> None:
        self._tokens = open_session(graphs.tokens, "tokens.onnx")
        self._sentences = open_session(graphs.sentences, "sentences.onnx")
        self._takes_grams = any(node.name == "grams" for node in self._tokens.get_inputs())
        self._widths = {node.name: int(node.shape[1]) for node in self._tokens.get_outputs()}
        self._dim = int(self._sentences.get_outputs()[0].shape[1])

    def encode_tokens(self, sentences: Sequence[Tokens], *, pool: Executor | None = None) -> NDArray[np.float32]:
        """Encode sentences that are tokens already.

        Args:
            sentences: In any number and of any length.
            pool: Threads that share the work; None for the caller's own. The embeddings are the same.

        Returns:
            (n, dim) float32, unit length, in the order given.
        """
        embeddings = np.empty((len(sentences), self._dim), np.float32)
        for part in _parts([len(tokens) for tokens in sentences]):
            self._encode_part(sentences[part], embeddings[part], pool)
        return embeddings

    def _encode_part(self, sentences: Sequence[Tokens], into: NDArray[np.float32], pool: Executor | None) -> None:
        table = self._table(sentences, pool)
        lengths = np.fromiter(map(len, sentences), np.int32, len(sentences))
        starts = np.cumsum(lengths) - lengths
        order = np.argsort(lengths, kind="stable")

        def run(batch: NDArray[np.int64]) -> None:
            places = _places(table.rows, starts[batch], lengths[batch])
            inputs = {**table.columns, "places": places, "lengths": lengths[batch]}
            into[batch] = self._sentences.run(None, inputs)[0]

        batches = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
        run_each(run, batches, pool)

    def _table(self, sentences: Iterable[Tokens], pool: Executor | None) -> _Table:
        numbers = {(PAD_ID, b""): 0}
        found = [
            numbers.setdefault(token, len(numbers))
            for token in chain.from_iterable(zip(tokens.ids, tokens.grams, strict=True) for tokens in sentences)
        ]
        tokens = list(numbers)
        order = sorted(range(len(tokens)), key=lambda number: len(tokens[number][1]))  # padding stays the first
        columns = {name: np.empty((len(tokens), width), np.float32) for name, width in self._widths.items()}

        def look_up(start: int) -> None:
            part = slice(start, start + _TABLE_ROWS)
            looked_up = self._look_up([tokens[number] for number in order[part]])
            for column, found in zip(columns.values(), looked_up, strict=True):
                column[part] = found

        run_each(look_up, range(0, len(order), _TABLE_ROWS), pool)
        rows = np.empty(len(order), np.int32)
        rows[order] = np.arange(len(order), dtype=np.int32)
        return _Table(columns, rows[[*found, 0]])

    def _look_up(self, tokens: Sequence[tuple[int, bytes]]) -> list[NDArray[np.float32]]:
        inputs = {"ids": np.array([token_id for token_id, _ in tokens], np.int32)}
        if self._takes_grams:
            most = max(GRAM_BYTES, len(tokens[-1][1]))
            packed = b"".join([grams.ljust(most, b"\0") for _, grams in tokens])
            inputs["grams"] = np.frombuffer(packed, np.int32).reshape(len(tokens), -1)
        columns: list[NDArray[np.float32]] = self._tokens.run(None, inputs)
        return columns


def run_each(work: Callable[[T], None], parts: Sequence[T], pool: Executor | None) -> None:
    """Do the work for every part, by the threads of a pool where there are several parts."""
    for _ in map(work, parts) if pool is None or len(parts) == 1 else pool.map(work, parts):
        pass


def _parts(lengths: Iterable[int]) -> Iterator[slice]:
    """Sentences that share a table: those after one another with at most MOST_TOKENS tokens."""
    start = stop = n_tokens = 0
    for length in lengths:
        if n_tokens + length > MOST_TOKENS and stop > start:
            yield slice(start, stop)
            start, n_tokens = stop, 0
        n_tokens += length
        stop += 1
    if stop > start:
        yield slice(start, stop)


def _places(rows: NDArray[np.int32], starts: NDArray[np.int64], lengths: NDArray[np.int32]) -> NDArray[np.int32]:
    """Rows of some sentences' tokens, (B, T), padding's past the length.

    Args:
        rows: Of all sentences' tokens, and padding's as the last.
        starts: (B,), where each sentence begins there.
        lengths: (B,), how many tokens it has.
    """
    steps = np.arange(lengths.max())
    return rows[np.where(steps < lengths[:, None], starts[:, None] + steps, -1)]
