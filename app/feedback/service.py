"""Receiving, listing, reviewing, resolving and erasing feedback."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sqlalchemy.orm import Session
from starlette.types import Receive

from app.collection.repository import CollectionRepository
from app.db.database import Database
from app.errors import OverloadedError, ServiceError
from app.feedback.query_keeper import QueryKeeper
from app.feedback.repository import FeedbackFilter, FeedbackRepository
from app.feedback.resolving import Resolver
from app.feedback.retraining import OrderTraining, order_if_due
from app.feedback.reviewing import Waiting, make_clusters, nearness
from app.feedback.schemas import (
    EraseFeedbackAnswer,
    FeedbackAnswer,
    FeedbackCreate,
    FeedbackPatch,
    FeedbackReceipt,
    ResolveAnswer,
    ResolvedItem,
    ResolveRequest,
    ReviewQueue,
)
from app.feedback.tables import Feedback, FeedbackSource, FeedbackState, Verdict
from app.feedback.text_key import text_key
from app.http.cursors import Cursors
from app.idempotency.attempts import Attempt, Attempts, once
from app.ids import IdSource
from app.observability.metrics import Metrics
from app.release.shadow import strip_all_examples
from app.schemas import Page
from app.search.service import SearchService
from app.serving.serving import Serving

MOST_REVIEWED: Final = 2_000
"""Items that a review queue looks at."""

MOST_REVIEWS: Final = 4
"""Review queues that are made at the same time; each takes a second or so of a core."""


class FeedbackService:
    """The feedback of collections.

    Args:
        database: Where it is.
        serving: Hears of the records that it becomes.
        search: Encodes and decides for the review queue.
        keeper: Keeps queries.
        cursors: Signs the pages of the list.
        attempts: Those that run.
        metrics: Counts.
        order_training: Orders a training in the transaction that accepted enough.
    """

    def __init__(
        self,
        database: Database,
        serving: Serving,
        search: SearchService,
        keeper: QueryKeeper,
        cursors: Cursors,
        attempts: Attempts,
        metrics: Metrics,
        order_training: OrderTraining,
    ) -> None:
        self._database, self._serving, self._search, self._keeper = database, serving, search, keeper
        self._cursors, self._attempts, self._metrics = cursors, attempts, metrics
        self._order_training = order_training
        self._ids = IdSource()
        self._reviews = 0

    async def receive(
        self, collection: str, wanted: FeedbackCreate, who: str, attempt: Attempt | None
    ) -> FeedbackReceipt:
        """Store what somebody says of an answer."""
        key = self._ids.take()
        digest = await asyncio.to_thread(text_key, wanted.text)  # of a long one it takes milliseconds

        def store(session: Session, collection_id: int) -> FeedbackReceipt:
            FeedbackRepository(session, collection_id).add([_new_item(key, collection_id, wanted, digest, who)])
            return FeedbackReceipt(id=key, state=FeedbackState.PENDING)

        def unit(session: Session) -> FeedbackReceipt:
            collection_id = CollectionRepository(session).get(collection).id
            return once(session, attempt, FeedbackReceipt, lambda: store(session, collection_id))

        with self._attempts.running(attempt):
            receipt = await self._database.write_async(unit)
        if receipt.id == key:  # else it was stored before
            self._metrics.fed_back(wanted.verdict)
        return receipt

    async def get(self, collection: str, key: str) -> FeedbackAnswer:
        """One item, or NotFoundError."""
        return await self._database.read_async(lambda session: _to_answer(_repository(session, collection).get(key)))

    async def list_page(
        self, collection: str, wanted: FeedbackFilter, cursor: str | None, limit: int
    ) -> Page[FeedbackAnswer]:
        """One page of a collection's items, oldest first."""
        listing = f"{collection}/feedback/{wanted}"
        after = self._cursors.read(listing, cursor)

        def unit(session: Session) -> Page[FeedbackAnswer]:
            found = _repository(session, collection).list_page(wanted, after, limit + 1)
            return self._cursors.page(
                Page[FeedbackAnswer], listing, limit, found, lambda item: (item.id, _to_answer(item))
            )

        return await self._database.read_async(unit)

    async def resolve(self, collection: str, key: str, patch: FeedbackPatch, who: str) -> FeedbackAnswer:
        """Accept or reject one item.

        Raises:
            NotFoundError: There is no such item.
            ConflictError: It was accepted already, as something else.
            InvalidValueError: Nobody has said where it belongs.
        """

        def unit(session: Session) -> tuple[FeedbackAnswer, int]:
            resolved = self._resolve(session, collection, [key], patch, who)
            if isinstance(resolved.outcomes[0], ServiceError):
                raise resolved.outcomes[0]
            return _to_answer(_repository(session, collection).get(key)), resolved.n_new

        answer, n_new = await self._database.write_async(unit)
        self._metrics.resolved(patch.state, n_new)
        self._serving.wake()
        return answer

    async def resolve_several(
        self, collection: str, wanted: ResolveRequest, who: str, attempt: Attempt | None
    ) -> ResolveAnswer:
        """Accept or reject what can be of several items, in one transaction."""

        n_new = 0  # nothing where the answer is one that was kept

        def resolve(session: Session) -> ResolveAnswer:
            nonlocal n_new
            keys = list(dict.fromkeys(wanted.ids))
            outcomes, seq, ordered, n_new = self._resolve(session, collection, keys, wanted, who)
            items = {key: _to_item(key, outcome) for key, outcome in zip(keys, outcomes, strict=True)}
            return ResolveAnswer(items=[items[key] for key in wanted.ids], seq=seq, training_ordered=ordered)

        def unit(session: Session) -> ResolveAnswer:
            CollectionRepository(session).lock(collection)
            return once(session, attempt, ResolveAnswer, lambda: resolve(session))

        with self._attempts.running(attempt):
            answer = await self._database.write_async(unit)
        self._metrics.resolved(wanted.state, n_new)
        self._serving.wake()
        return answer

    async def delete(self, collection: str, key: str) -> None:
        """Delete one item, or NotFoundError; what it became stays."""

        def unit(session: Session) -> None:
            repository = FeedbackRepository(session, CollectionRepository(session).lock(collection)[0])
            repository.delete(repository.get(key))

        await self._database.write_async(unit)

    async def erase(self, collection: str, texts: Sequence[str]) -> EraseFeedbackAnswer:
        """Delete every item that has one of these texts, and overwrite what the database's files held of it.

        Shadows forget all their examples, and whatever any server took before of the queries of the collection is not
        stored any more.

        Raises:
            ErasureError: Some copy could not be removed; the items are deleted, and a repeated request goes on.
        """
        keys = await asyncio.to_thread(lambda: {text_key(text) for text in texts})
        await asyncio.to_thread(self._keeper.flush)

        def unit(session: Session) -> EraseFeedbackAnswer:
            collection_id, _ = CollectionRepository(session).lock(collection)
            forgotten = FeedbackRepository(session, collection_id).forget(keys)
            strip_all_examples(session, collection_id)  # queries that may say the same
            CollectionRepository(session).count_erasure(collection_id)
            return EraseFeedbackAnswer(
                erased=len(forgotten), records=sorted({record for _, record in forgotten if record is not None})
            )

        erased = await self._database.write_async(unit)
        await asyncio.to_thread(self._database.scrub)
        return erased

    async def review(self, collection: str, limit: int, receive: Receive) -> ReviewQueue:
        """What waits, clustered by the active release, the most pressing first.

        Raises:
            OverloadedError: Several queues are being made already.
        """

        def unit(session: Session) -> tuple[int, list[Waiting]]:
            repository = _repository(session, collection)
            return repository.count_pending(), [_to_waiting(item) for item in repository.list_pending(MOST_REVIEWED)]

        with self._reviewing():
            pending, items = await self._database.read_async(unit)
            texts = [item.text for item in items]
            release, embeddings, decisions = await self._search.review(collection, texts, receive)
            least_cosine = nearness(release.parameters.threshold)
            clusters = await asyncio.to_thread(
                lambda: make_clusters(
                    items, embeddings, decisions, [release.bundle.knows(text) for text in texts], least_cosine
                )
            )
        return ReviewQueue(
            release=release.key.number,
            pending=pending,
            considered=len(items),
            threshold=least_cosine,
            clusters=clusters[:limit],
        )

    def _resolve(
        self, session: Session, collection: str, keys: Sequence[str], wanted: FeedbackPatch, who: str
    ) -> "_Resolved":
        locked = CollectionRepository(session).get_locked(collection)
        resolver = Resolver(session, locked.id, who, datetime.now(UTC))
        outcomes = resolver.resolve(keys, wanted)
        brought = any(isinstance(outcome, ResolvedItem) and outcome.created for outcome in outcomes)
        ordered = brought and order_if_due(session, locked, who, self._order_training)
        session.refresh(locked)
        return _Resolved(outcomes, locked.last_seq, ordered, resolver.n_resolved)

    @contextmanager
    def _reviewing(self) -> Iterator[None]:
        if self._reviews >= MOST_REVIEWS:
            raise OverloadedError(
                f"{MOST_REVIEWS} review queues are being made already: repeat the request in a second"
            )
        self._reviews += 1
        try:
            yield
        finally:
            self._reviews -= 1


class _Resolved(NamedTuple):
    """What became of each item, the collection's last change, whether a training was ordered, and how many changed."""

    outcomes: list[ResolvedItem | ServiceError]
    seq: int
    training_ordered: bool
    n_new: int


def _repository(session: Session, collection: str) -> FeedbackRepository:
    return FeedbackRepository(session, CollectionRepository(session).get(collection).id)


def _new_item(key: str, collection_id: int, wanted: FeedbackCreate, digest: str, who: str) -> Feedback:
    now = datetime.now(UTC)
    return Feedback(
        key=key,
        collection_id=collection_id,
        source=FeedbackSource.CLIENT,
        text=wanted.text,
        text_key=digest,
        verdict=wanted.verdict,
        named_group=wanted.group,
        group=wanted.group,
        answer_id=wanted.answer_id,
        metadata_=wanted.metadata,
        state=FeedbackState.PENDING,
        created_by=who,
        created_at=now,
        last_seen_at=now,
    )


def _to_item(key: str, outcome: ResolvedItem | ServiceError) -> ResolvedItem:
    if isinstance(outcome, ServiceError):
        return ResolvedItem(id=key, status=outcome.status, code=outcome.code, detail=outcome.detail)
    return outcome


def _to_waiting(item: Feedback) -> Waiting:
    return Waiting(
        id=item.key,
        text=item.text,
        source=FeedbackSource(item.source),
        verdict=None if item.verdict is None else Verdict(item.verdict),
        group=item.group,
        count=item.count,
    )


def _to_answer(item: Feedback) -> FeedbackAnswer:
    return FeedbackAnswer.model_validate(
        {
            **{name: getattr(item, name) for name in FeedbackAnswer.model_fields if name not in ("id", "metadata")},
            "id": item.key,
            "metadata": item.metadata_,
        }
    )
