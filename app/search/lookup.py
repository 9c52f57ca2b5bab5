"""What the worker does with a batch: text to tokens to embeddings to neighbours, for many requests at once."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.live import LiveIndex
from model.contract.bundle import Bundle

_NO_IDS: Final[list[list[int]]] = []
_NO_SCORES: Final[list[list[float]]] = []


@dataclass(slots=True)
class Lookup:
    """What one request wants: its sentences encoded and, with an index, the k nearest records of each."""

    bundle: Bundle
    sentences: Sequence[str]
    index: LiveIndex | None = None
    k: int = 0

    @property
    def n_sentences(self) -> int:
        return len(self.sentences)

    @property
    def most_tokens(self) -> int:
        # a token is a character at least
        return min(max(map(len, self.sentences)), self.bundle.manifest.max_tokens)


@dataclass(slots=True)
class Found:
    """What became of a lookup.

    Attributes:
        embeddings: (n, dim) float32.
        truncated: For each sentence whether a limit cut it.
        record_ids: For each sentence the ids of its neighbours, best first, MISSING_ID where there is none.
        scores: Their cosines.
    """

    embeddings: NDArray[np.float32]
    truncated: list[bool]
    record_ids: list[list[int]]
    scores: list[list[float]]


class LookupRunner:
    """Runs lookups; called by one thread.

    Args:
        observe_encode: Hears how long each call of the encoder took, in seconds.
        observe_search: Hears how long each call of an index took, in seconds.
    """

    def __init__(self, observe_encode: Callable[[float], None], observe_search: Callable[[float], None]) -> None:
        self._observe_encode = observe_encode
        self._observe_search = observe_search

    def run(self, lookups: list[Lookup]) -> list[Found]:
        """Answer every lookup: one encoding an encoder, one search an index and k."""
        found: dict[int, Found] = {}
        for same in _grouped(lookups, lambda lookup: (id(lookup.bundle),)):
            found.update(zip(map(id, same), self._encode(same), strict=True))
        for same in _grouped(lookups, lambda lookup: (id(lookup.index), lookup.k)):
            index = same[0].index
            if index is not None:
                self._search(index, same[0].k, [found[id(lookup)] for lookup in same])
        return [found[id(lookup)] for lookup in lookups]

    def _encode(self, lookups: list[Lookup]) -> list[Found]:
        started = time.perf_counter()
        encoder = lookups[0].bundle.encoder
        tokenise = encoder.contract.tokenise
        tokens = [tokenise(sentence) for lookup in lookups for sentence in lookup.sentences]
        embeddings = encoder.encode_tokens(tokens)
        self._observe_encode(time.perf_counter() - started)
        found, start = [], 0
        for lookup in lookups:
            end = start + len(lookup.sentences)
            truncated = [sentence.truncated for sentence in tokens[start:end]]
            found.append(Found(embeddings[start:end], truncated, _NO_IDS, _NO_SCORES))
            start = end
        return found

    def _search(self, index: LiveIndex, k: int, found: list[Found]) -> None:
        started = time.perf_counter()
        queries = found[0].embeddings if len(found) == 1 else np.concatenate([one.embeddings for one in found])
        neighbours = index.search(queries, k)
        self._observe_search(time.perf_counter() - started)
        record_ids, scores = neighbours.record_ids.tolist(), neighbours.scores.tolist()
        start = 0
        for one in found:
            end = start + len(one.truncated)
            one.record_ids, one.scores = record_ids[start:end], scores[start:end]
            start = end


def _grouped(lookups: list[Lookup], key: Callable[[Lookup], tuple[int, ...]]) -> list[list[Lookup]]:
    groups: dict[tuple[int, ...], list[Lookup]] = {}
    for lookup in lookups:
        groups.setdefault(key(lookup), []).append(lookup)
    return list(groups.values())
