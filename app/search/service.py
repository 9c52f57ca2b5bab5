"""Neighbours, decisions and similarity. No SQL on this path; the micro-batcher does the work."""

import asyncio
import difflib
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final, TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray
from starlette.types import Receive

from app.encoding.batcher import MicroBatcher
from app.encoding.patience import while_wanted
from app.errors import FieldProblem, InvalidValueError, NotFoundError
from app.feedback.query_keeper import QueryKeeper
from app.http.errors import pointer
from app.ids import IdSource
from app.observability.metrics import Metrics
from app.search.answers import neighbours
from app.search.deciding import Decider
from app.search.grouping import Grouping, Reach
from app.search.lookup import Found, Lookup
from app.search.named_encoders import NamedEncoders
from app.search.schemas import ClassifyRequest, GroupBy, SearchRequest, SimilarityRequest
from app.search.shadowing import Shadows
from app.serving.catalogue.catalogue import GroupSizes
from app.serving.release import ServingRelease
from app.serving.serving import Serving
from model.contract.deciding.decision import Decision
from model.contract.deciding.prior import Prior

_OVERFETCH: Final = 4
"""Records looked at for each group wanted, at first; four times as many as long as groups are missing."""

_MOST_LOOKED_AT: Final = 50_000
"""Records looked at for all queries of a grouped search together: groups that are farther are not found by it, and it
says of which queries. Those that have their groups leave their share to the others.
"""


_MOST_COMPARED: Final = 1000
"""Groups that a misspelt one is compared with: that takes a tenth of a second."""

_LONGEST_COMPARED: Final = 64
"""Characters of a group that is compared: the time grows with the product of the lengths."""

_LOOKED_UP_ON_LOOP: Final = 100
"""Groups of a prior: each takes 10 us to look up."""

_MOST_NAMED: Final = 3
"""Misspelt groups that a problem names."""

_DECIDED_AT_ONCE: Final = 4
"""Sentences of a request that are decided on before anybody else is answered."""

_NAMED_ON_LOOP: Final = 500
"""Neighbours of a request: each takes up to 10 us to name; more are named in a thread."""

_REVIEWED_AT_ONCE: Final = 16
"""Sentences of a review that are looked up together: whoever asks meanwhile waits for these at most."""

_Answered: TypeAlias = list[tuple[Found, int]]
"""For each query the lookup that answers it, and where in it."""


class SearchService:
    """Answers queries.

    Args:
        serving: The releases in memory.
        batcher: Runs the lookups.
        waiting_batcher: Runs those that wait for an index server, so that nobody else waits for it.
        named_encoders: Encodes where no collection is concerned.
        metrics: Counts decisions.
        shadows: Asks other releases too.
        keeper: Keeps queries of the collections that want it.
    """

    def __init__(
        self,
        serving: Serving,
        batcher: MicroBatcher[Lookup, Found],
        waiting_batcher: MicroBatcher[Lookup, Found],
        named_encoders: NamedEncoders,
        metrics: Metrics,
        shadows: Shadows,
        keeper: QueryKeeper,
    ) -> None:
        self._serving = serving
        self._shadows = shadows
        self._batcher, self._waiting_batcher = batcher, waiting_batcher
        self._named_encoders = named_encoders
        self._metrics = metrics
        self._keeper = keeper
        self._decider = Decider()
        self._ids = IdSource()

    async def search(self, collection: str, request: SearchRequest, receive: Receive) -> bytes:
        """The nearest records of each query, as JSON."""
        release = await self._release(collection, request.release)
        incomplete: list[int] = []
        erasures = release.erasures
        if request.group_by is GroupBy.GROUP:
            answered, incomplete = await self._search_groups(release, request, receive)
        else:
            lookup = Lookup(release.bundle, request.sentences, release, request.k, request.wanted)
            found = await self._look_up(lookup, receive)
            answered = [(found, at) for at in range(len(found.truncated))]
        truncated = [found.truncated[at] for found, at in answered]
        if sum(len(found.record_ids[at]) for found, at in answered) <= _NAMED_ON_LOOP:
            results = _name(answered, request.min_score)
        else:
            results = await asyncio.to_thread(_name, answered, request.min_score)
        self._shadows.offer(release, request.sentences, erasures)
        body = {
            "release": release.key.number,
            "answer_ids": self._answer_ids(len(results)),
            "truncated": any(truncated),
            "results": results,
        }
        if body["truncated"]:
            body["truncated_queries"] = [position for position, cut in enumerate(truncated) if cut]
        if incomplete:
            body["incomplete_queries"] = incomplete
        return orjson.dumps(body)

    async def classify(self, collection: str, request: ClassifyRequest, receive: Receive) -> bytes:
        """The decision on each text, as JSON."""
        release = await self._release(collection, request.release)
        erasures = release.erasures
        prior = await _prior(release, request.prior)
        found = await self._look_up(Lookup.to_decide(release, request.sentences), receive)
        decisions: list[Decision] = []
        for decision in self._decider.decide(release, request.sentences, found, prior):
            decisions.append(decision)
            if len(decisions) % _DECIDED_AT_ONCE == 0:
                await asyncio.sleep(0)  # others are answered in between
        results = []
        for decision, truncated in zip(decisions, found.truncated, strict=True):
            self._metrics.decided(decision.outcome)
            results.append({**_classified(decision, request.top_n), "truncated": truncated})
        self._shadows.offer(release, request.sentences, erasures)
        if release.keeping is not None:
            self._keeper.offer(
                release.key.collection_id,
                release.key.number,
                release.keeping,
                request.sentences,
                decisions,
                erasures=erasures,
            )
        body = {"release": release.key.number, "answer_ids": self._answer_ids(len(results)), "results": results}
        return orjson.dumps(body)

    async def review(
        self, collection: str, sentences: Sequence[str], receive: Receive
    ) -> tuple[ServingRelease, NDArray[np.float32], list[Decision]]:
        """What the active release makes of many sentences, some at a time, so that others are answered in between.

        Returns:
            The release, (n, dim) float32 embeddings, and a decision on each.
        """
        release = await self._release(collection, None)
        embeddings = np.empty((len(sentences), release.bundle.manifest.dim), np.float32)
        decisions: list[Decision] = []
        for start in range(0, len(sentences), _REVIEWED_AT_ONCE):
            chunk = list(sentences[start : start + _REVIEWED_AT_ONCE])
            found = await self._look_up(Lookup.to_decide(release, chunk), receive)
            embeddings[start : start + len(chunk)] = found.embeddings
            decisions.extend(self._decider.decide(release, chunk, found))
        return release, embeddings, decisions

    async def similarity(self, request: SimilarityRequest, receive: Receive) -> bytes:
        """The cosine of the source with each target, as JSON."""
        bundle = await self._named_encoders.bundle(request.encoder)
        found = await self._named_encoders.encode(bundle, [request.source, *request.targets], receive)
        scores = found.embeddings[1:] @ found.embeddings[0]
        rounded = [round(min(1.0, max(-1.0, score)), 6) for score in scores.tolist()]
        return orjson.dumps({"scores": rounded, "truncated": any(found.truncated)})

    def _answer_ids(self, n: int) -> list[str]:
        """One for each query; feedback may name it."""
        return [self._ids.take() for _ in range(n)]

    async def _release(self, collection: str, wanted: int | None) -> ServingRelease:
        release = self._serving.find(collection) or await self._serving.get(collection)
        if wanted is None or wanted == release.key.number:
            return release
        warm = self._serving.find_warm(release.key.collection_id, wanted)
        if warm is None:
            raise NotFoundError(
                f"release {wanted} of collection {collection!r} is not in memory: {release.key.number} is active"
            )
        return warm

    async def _look_up(self, lookup: Lookup, receive: Receive) -> Found:
        batcher = self._waiting_batcher if lookup.is_remote else self._batcher
        return await while_wanted(batcher.submit(lookup), receive)

    async def _search_groups(
        self, release: ServingRelease, request: SearchRequest, receive: Receive
    ) -> tuple[_Answered, list[int]]:
        """Look at more and more records until every query has its k groups, or enough were looked at.

        Returns:
            What was found for each query, and the positions of those that may lack groups, since too much would have to
            be looked at, or more than the index finds.
        """
        grouping = Grouping(min(request.k, release.view.catalogue.groups.n_groups), request.min_score)
        newest: dict[int, tuple[Found, int]] = {}
        left, cut_off = list(range(len(request.sentences))), list[int]()
        fetched = max(1, grouping.n_groups * _OVERFETCH)
        while True:
            count = max(1, release.view.index.count)
            fetched = min(fetched, count, max(request.k, _MOST_LOOKED_AT // len(left)))
            sentences = [request.sentences[position] for position in left]
            lookup = Lookup(release.bundle, sentences, release, fetched, request.wanted, grouping)
            found = await self._look_up(lookup, receive)
            newest.update((position, (found, at)) for at, position in enumerate(left))
            cut_off += _of_reach(Reach.CUT_OFF, left, found)
            left = _of_reach(Reach.FARTHER, left, found)
            if not left or fetched >= min(count, max(request.k, _MOST_LOOKED_AT // len(left))):
                return [newest[position] for position in range(len(newest))], sorted([*cut_off, *left])
            fetched *= _OVERFETCH


def _of_reach(reach: Reach, positions: list[int], found: Found) -> list[int]:
    return [position for position, reached in zip(positions, found.reaches, strict=True) if reached is reach]


async def _prior(release: ServingRelease, weights: dict[str, float] | None) -> Prior | None:
    """The prior of a request, whose groups must all be there."""
    if weights is None:
        return None
    groups = release.view.catalogue.groups
    if len(weights) <= _LOOKED_UP_ON_LOOP:
        unknown = _without_records(groups, weights)
    else:
        unknown = await asyncio.to_thread(_without_records, groups, weights)
    if unknown:
        raise await asyncio.to_thread(_no_groups, groups, unknown[:_MOST_NAMED])
    return Prior.of(weights)


def _without_records(groups: GroupSizes, names: Iterable[str]) -> list[str]:
    return [name for name in names if not groups.has(name)]


def _no_groups(groups: GroupSizes, unknown: list[str]) -> InvalidValueError:
    known = [group for group in islice(groups, _MOST_COMPARED) if len(group) <= _LONGEST_COMPARED]
    return InvalidValueError.of([FieldProblem(pointer(("prior", group)), _no_group(known, group)) for group in unknown])


def _no_group(known: list[str], group: str) -> str:
    near = difflib.get_close_matches(group, known, n=1, cutoff=0.5) if len(group) <= _LONGEST_COMPARED else []
    return f"no record is in the group {group[:64]!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def _name(answered: _Answered, min_score: float | None) -> list[list[dict[str, Any]]]:
    return [neighbours(found.catalogue, found.record_ids[at], found.scores[at], min_score) for found, at in answered]


def _classified(decision: Decision, top_n: int) -> dict[str, Any]:
    return {
        "decision": decision.outcome,
        "confidence": round(decision.confidence, 6),
        "groups": [
            {"group": group.group, "confidence": round(group.confidence, 6)} for group in decision.groups[:top_n]
        ],
        "labels": [{"label": label.label, "confidence": round(label.confidence, 6)} for label in decision.labels],
    }
