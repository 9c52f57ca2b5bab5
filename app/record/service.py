"""Storing, reading and deleting records."""

import asyncio
from collections.abc import Callable, Iterable

from sqlalchemy.orm import Session

from app.collection.repository import CollectionRepository
from app.db.database import Database
from app.http.cursors import Cursors
from app.http.parameters import Wait
from app.http.preconditions import Precondition
from app.idempotency.attempts import Attempt, Attempts, once
from app.record.batch import Batch, parse_batch
from app.record.repository import RecordRepository, no_record
from app.record.schemas import BatchAnswer, BatchItem, RecordAnswer, RecordDraft, RecordPut, WriteAnswer
from app.record.writer import RecordWriter, Written
from app.schemas import Page
from app.serving.serving import Serving


class RecordService:
    """The records of collections.

    Args:
        database: Where they are.
        serving: Makes them searchable.
        cursors: Signs the pages of the list.
        attempts: Those that run.
    """

    def __init__(self, database: Database, serving: Serving, cursors: Cursors, attempts: Attempts) -> None:
        self._database = database
        self._serving = serving
        self._cursors = cursors
        self._attempts = attempts

    async def get(self, collection: str, key: str) -> RecordAnswer:
        """One record, or NotFoundError."""
        return await self._database.read_async(
            lambda session: RecordRepository(session, CollectionRepository(session).get(collection).id).get(key)
        )

    async def list_page(self, collection: str, cursor: str | None, limit: int) -> Page[RecordAnswer]:
        """One page of a collection's records, oldest first."""
        listing = f"{collection}/records"
        after = self._cursors.read(listing, cursor)

        def unit(session: Session) -> Page[RecordAnswer]:
            repository = RecordRepository(session, CollectionRepository(session).get(collection).id)
            found = repository.list_page(after, limit + 1)
            return self._cursors.page(Page[RecordAnswer], listing, limit, found, lambda record: record)

        return await self._database.read_async(unit)

    async def put(
        self, collection: str, key: str, record: RecordPut, wait: Wait, precondition: Precondition
    ) -> tuple[WriteAnswer, bool]:
        """Create or replace one record; the same content changes nothing.

        Returns:
            The answer, and whether the record is new.
        """
        draft = RecordDraft.model_construct(id=key, **record.__dict__)  # key and record have been checked

        def unit(session: Session) -> tuple[int, Written]:
            collection_id, _ = CollectionRepository(session).lock(collection)
            if not precondition.demands_nothing:
                tag = RecordRepository(session, collection_id).find_tag(key)
                precondition.check(tag, what=f"record {key!r}")
            return collection_id, RecordWriter(session, collection_id).upsert([draft])[0]

        collection_id, written = await self._database.write_async(unit)
        visible = await self._settle(collection_id, written.seq, wait)
        (truncated,) = await self._truncated(collection, [record.text])
        answer = WriteAnswer(
            id=key,
            seq=written.seq,
            version=written.version,
            etag=written.tag,
            truncated=truncated,
            visible=visible,
        )
        return answer, written.created

    async def delete(self, collection: str, key: str, wait: Wait, precondition: Precondition) -> bool | None:
        """Delete one record, or NotFoundError.

        Returns:
            With Wait.VISIBLE: whether searches find it no more; False where that took too long.
        """

        def unit(session: Session) -> tuple[int, int]:
            collection_id, _ = CollectionRepository(session).lock(collection)
            tag = RecordRepository(session, collection_id).find_tag(key)
            if tag is None:
                raise no_record(key)
            precondition.check(tag, what=f"record {key!r}")
            return collection_id, RecordWriter(session, collection_id).delete([key])[key]

        collection_id, seq = await self._database.write_async(unit)
        return await self._settle(collection_id, seq, wait)

    async def change_batch(
        self, collection: str, body: bytes, wait: Wait, attempt: Attempt | None, count: Callable[[int], None]
    ) -> BatchAnswer:
        """Apply what of a batch can be applied, in one transaction; `count` may refuse its number of items."""
        batch = await asyncio.to_thread(parse_batch, body)
        count(batch.size)

        def unit(session: Session) -> tuple[int, BatchAnswer]:
            collection_id, last_seq = CollectionRepository(session).lock(collection)
            writer = RecordWriter(session, collection_id)
            return collection_id, once(session, attempt, BatchAnswer, lambda: _apply(writer, batch, last_seq))

        with self._attempts.running(attempt):
            collection_id, done = await self._database.write_async(unit)
            visible = await self._settle(collection_id, done.seq, wait)
        truncated = await self._truncated(collection, [draft.text for draft in batch.upserts.values()])
        return done.model_copy(update={"visible": visible, "items": _marked(done.items, batch.upserts, truncated)})

    async def _settle(self, collection_id: int, seq: int, wait: Wait) -> bool | None:
        self._serving.wake(urgent=wait is Wait.VISIBLE)
        if wait is Wait.VISIBLE:
            return await self._serving.wait_visible(collection_id, seq)
        return None

    async def _truncated(self, collection: str, texts: list[str]) -> list[bool]:
        release = self._serving.find(collection)
        if release is None:
            return [False] * len(texts)  # not serving yet; the write itself must not wait or fail for that
        is_cut = release.bundle.encoder.contract.is_cut
        if len(texts) == 1:
            return [is_cut(texts[0])]  # takes less than another thread would
        return await asyncio.to_thread(lambda: [is_cut(text) for text in texts])


def _apply(writer: RecordWriter, batch: Batch, last_seq: int) -> BatchAnswer:
    upserted = writer.upsert(list(batch.upserts.values()))
    deleted = writer.delete(list(batch.deletes.values()))
    seqs = [written.seq for written in upserted if written.changed] + list(deleted.values())
    return BatchAnswer(items=_items(batch, upserted, deleted), seq=max(seqs, default=last_seq))


def _items(batch: Batch, upserted: Iterable[Written], deleted: dict[str, int]) -> list[BatchItem]:
    items = dict(batch.refused)
    for (position, draft), written in zip(batch.upserts.items(), upserted, strict=True):
        status = 201 if written.created else 200
        items[position] = BatchItem(id=draft.id, status=status, seq=written.seq, truncated=False)
    for position, key in batch.deletes.items():
        if key in deleted:
            items[position] = BatchItem(id=key, status=200, seq=deleted[key])
        else:
            error = no_record(key)
            items[position] = BatchItem(id=key, status=error.status, code=error.code, detail=error.detail)
    return [items[position] for position in range(batch.size)]


def _marked(items: list[BatchItem], upserts: Iterable[int], truncated: Iterable[bool]) -> list[BatchItem]:
    """The items, with those upserts marked whose text was cut."""
    cut = {position for position, is_cut in zip(upserts, truncated, strict=True) if is_cut}
    return [
        item.model_copy(update={"truncated": True}) if position in cut else item for position, item in enumerate(items)
    ]
