"""What the micro-batcher does with a batch: text to tokens to embeddings to neighbours, for many requests at once."""

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from app.errors import IndexAwayError
from app.search.grouping import Grouping, Reach
from app.serving.catalogue.catalogue import CatalogueView
from app.serving.catalogue.terms import Filter
from app.serving.release import ServingRelease, View
from index.errors import IndexServerError
from index.types import Allowed, Neighbours, Vectors
from model.contract.bundle import Bundle
from model.contract.deciding.evidence import NEIGHBOURS_USED, SAME_TEXT
from model.contract.normalise import same_text_key

_SHORT_K: Final = 20
_SHORT_TOKENS: Final = 64
"""Single questions up to these take about as long as each other."""

_MOST_ALIKE: Final = 1000
"""Records alike to the encoder among which those of the very same text are looked for."""

_NO_IDS: Final[list[list[int]]] = []
_NO_SCORES: Final[list[list[float]]] = []


@dataclass(slots=True)
class Lookup:
    """What one request wants: its sentences encoded and, of a release, the k nearest records of each.

    Attributes:
        grouping: Of those k, the best of each group only; None for all.
        is_decided: Whether a decision is to be made from them, for which a text that says nothing to the encoder needs
            the records of the very same text, however many others look the same to it.
    """

    bundle: Bundle
    sentences: Sequence[str]
    release: ServingRelease | None = None
    k: int = 0
    wanted: Filter | None = None
    grouping: Grouping | None = None
    is_decided: bool = False

    @classmethod
    def to_decide(cls, release: ServingRelease, sentences: Sequence[str]) -> Self:
        """What a decision on each sentence needs."""
        return cls(release.bundle, sentences, release, NEIGHBOURS_USED, is_decided=True)

    @property
    def n_sentences(self) -> int:
        return len(self.sentences)

    @property
    def is_remote(self) -> bool:
        """Whether it waits for an index server."""
        return self.release is not None and self.release.view.index.base.is_remote

    @property
    def most_tokens(self) -> int:
        # a token is a character at least
        return min(max(map(len, self.sentences)), self.bundle.manifest.max_tokens)

    @property
    def kind(self) -> Hashable | None:
        if len(self.sentences) > 1 or self.wanted is not None or self.k > _SHORT_K or self.most_tokens > _SHORT_TOKENS:
            return None
        if self.is_remote:  # an index server may take its time
            return None
        return id(self.bundle), id(self.release)


@dataclass(slots=True)
class Found:
    """What became of a lookup.

    Attributes:
        embeddings: (n, dim) float32.
        truncated: For each sentence whether a limit cut it.
        n_tokens: For each sentence how many tokens the encoder was given of it.
        record_ids: For each sentence the ids of its neighbours, best first, MISSING_ID where there is none.
        scores: Their cosines.
        view: The moment of the release that they were searched in.
        reaches: Of a search by groups: for each sentence whether there may be more of them.
    """

    embeddings: NDArray[np.float32]
    truncated: list[bool]
    n_tokens: list[int]
    record_ids: list[list[int]]
    scores: list[list[float]]
    view: View | None = None
    reaches: Sequence[Reach] = ()

    @property
    def catalogue(self) -> CatalogueView:
        """The records of that moment."""
        assert self.view is not None
        return self.view.catalogue

    def fold(self, grouping: Grouping, n_counting: int) -> None:
        """Keep the best record of each group; `n_counting` as for `Grouping.fold`."""
        found = zip(self.record_ids, self.scores, strict=True)
        folded = [grouping.fold(self.catalogue, record_ids, scores, n_counting) for record_ids, scores in found]
        self.record_ids = [record_ids for record_ids, _, _ in folded]
        self.scores = [scores for _, scores, _ in folded]
        self.reaches = [reach for _, _, reach in folded]


class LookupRunner:
    """Runs lookups; called by one thread at a time.

    Args:
        observe_encode: Hears how long each call of the encoder took, in seconds.
        observe_search: Hears how long each call of an index took, in seconds.
    """

    def __init__(self, observe_encode: Callable[[float], None], observe_search: Callable[[float], None]) -> None:
        self._observe_encode = observe_encode
        self._observe_search = observe_search

    def run(self, lookups: list[Lookup]) -> list[Found]:
        """Answer every lookup: one encoding an encoder, one search a release, k and filter.

        Raises:
            IndexAwayError: An index server is away, or refuses.
        """
        found: dict[int, Found] = {}
        for same in _grouped(lookups, lambda lookup: id(lookup.bundle)):
            found.update(zip(map(id, same), self._encode(same), strict=True))
        for same in _grouped(lookups, lambda lookup: (id(lookup.release), lookup.k, lookup.wanted)):
            if same[0].release is not None:
                self._search(same[0].release, same, [found[id(lookup)] for lookup in same])
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
            n_tokens = [len(sentence.ids) for sentence in tokens[start:end]]
            found.append(Found(embeddings[start:end], truncated, n_tokens, _NO_IDS, _NO_SCORES))
            start = end
        return found

    def _search(self, release: ServingRelease, lookups: list[Lookup], found: list[Found]) -> None:
        started, view, lookup = time.perf_counter(), release.view, lookups[0]
        queries = found[0].embeddings if len(found) == 1 else np.concatenate([one.embeddings for one in found])
        allowed = None if lookup.wanted is None else release.masks.of(view.catalogue, lookup.wanted)
        neighbours = _neighbours(view, queries, lookup.k, allowed)
        self._observe_search(time.perf_counter() - started)
        record_ids, scores = neighbours.record_ids.tolist(), neighbours.scores.tolist()
        start = 0
        for same, one in zip(lookups, found, strict=True):
            end = start + len(one.truncated)
            one.record_ids, one.scores, one.view = record_ids[start:end], scores[start:end], view
            start = end
            if same.is_decided:
                _look_past_alike(view, same, one)
            if same.grouping is not None:
                one.fold(same.grouping, view.index.count if allowed is None else int(np.count_nonzero(allowed)))


def _neighbours(view: View, queries: Vectors, k: int, allowed: Allowed | None) -> Neighbours:
    try:
        return view.index.search(queries, k, allowed)
    except IndexServerError as error:
        raise IndexAwayError(str(error)) from error


def _look_past_alike(view: View, lookup: Lookup, found: Found) -> None:
    """Put the records of the very same text in place of neighbours that all look like a text which says nothing to the
    encoder. Symbols do above all: to it the eleventh emoji of a collection is any of the ten before.
    """
    alike: dict[bytes, dict[str, tuple[list[int], list[float]]]] = {}  # by embedding: a request may be all symbols
    for at, text in enumerate(lookup.sentences):
        if found.scores[at][-1] < SAME_TEXT or lookup.bundle.knows(text):
            continue
        embedding = found.embeddings[at : at + 1]
        by_text = alike.get(embedding.tobytes())
        if by_text is None:
            by_text = alike[embedding.tobytes()] = _find_alike(view, embedding)
        if (same := by_text.get(same_text_key(text))) is not None:
            found.record_ids[at], found.scores[at] = same


def _find_alike(view: View, embedding: Vectors) -> dict[str, tuple[list[int], list[float]]]:
    """Ids and cosines of the records that look like a text to the encoder, by their `same_text_key`."""
    wide = _neighbours(view, embedding, _MOST_ALIKE, None)
    n_alike = int(np.count_nonzero(wide.scores >= SAME_TEXT))
    record_ids, scores = wide.record_ids[0, :n_alike].tolist(), wide.scores[0, :n_alike].tolist()
    by_text: dict[str, tuple[list[int], list[float]]] = {}
    for record_id, score, entry in zip(record_ids, scores, view.catalogue.find(record_ids), strict=True):
        if entry is not None:
            ids_of_text, scores_of_text = by_text.setdefault(same_text_key(entry.text), ([], []))
            ids_of_text.append(record_id)
            scores_of_text.append(score)
    return by_text


def _grouped(lookups: list[Lookup], key: Callable[[Lookup], Hashable]) -> list[list[Lookup]]:
    groups: dict[Hashable, list[Lookup]] = {}
    for lookup in lookups:
        groups.setdefault(key(lookup), []).append(lookup)
    return list(groups.values())
