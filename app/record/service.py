"""Storing, reading and deleting records."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.collection.repository import CollectionRepository
from app.cursors import Cursors
from app.db import Database
from app.encoder.store import EncoderStore
from app.errors import NotFoundError
from app.parameters import Wait
from app.preconditions import Precondition
from app.record.batch import Batch, parse_batch
from app.record.repository import RecordRepository
from app.record.schemas import BatchAnswer, BatchItem, RecordAnswer, RecordDraft, RecordPut, WriteAnswer
from app.record.writer import RecordWriter, Written
from app.release.repository import ReleaseRepository
from app.schemas import Page
from app.serving.serving import Serving


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a write went."""

    collection_id: int
    encoder_sha: str
    last_seq: int


class RecordService:
    """The records of collections.

    Args:
        database: Where they are.
        serving: Makes them searchable.
        store: Its encoders know which texts they cut.
        cursors: Signs the pages of the list.
    """

    def __init__(self, database: Database, serving: Serving, store: EncoderStore, cursors: Cursors) -> None:
        self._database = database
        self._serving = serving
        self._store = store
        self._cursors = cursors

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
            more = len(found) > limit
            return Page[RecordAnswer](
                items=[record for _, record in found[:limit]],
                next_cursor=self._cursors.sign(listing, found[limit - 1][0]) if more else None,
            )

        return await self._database.read_async(unit)

    async def put(
        self, collection: str, key: str, record: RecordPut, wait: Wait, precondition: Precondition
    ) -> tuple[WriteAnswer, bool]:
        """Create or replace one record; the same content changes nothing.

        Returns:
            The answer, and whether the record is new.
        """
        draft = RecordDraft(id=key, **{name: getattr(record, name) for name in RecordPut.model_fields})

        def unit(session: Session) -> tuple[_Place, Written]:
            place = _lock(session, collection)
            version = RecordRepository(session, place.collection_id).find_version(key)
            precondition.check(version, what=f"record {key!r}")
            return place, RecordWriter(session, place.collection_id).upsert([draft])[0]

        place, written = await self._database.write_async(unit)
        visible = await self._settle(place, written.seq, wait)
        truncated = await self._truncated(place, [record.text])
        answer = WriteAnswer(id=key, seq=written.seq, version=written.version, truncated=truncated[0], visible=visible)
        return answer, written.created

    async def delete(self, collection: str, key: str, wait: Wait, precondition: Precondition) -> None:
        """Delete one record, or NotFoundError."""

        def unit(session: Session) -> tuple[_Place, int]:
            place = _lock(session, collection)
            version = RecordRepository(session, place.collection_id).find_version(key)
            if version is None:
                raise NotFoundError(f"the collection has no record {key[:64]!r}")
            precondition.check(version, what=f"record {key!r}")
            return place, RecordWriter(session, place.collection_id).delete([key])[key]

        place, seq = await self._database.write_async(unit)
        await self._settle(place, seq, wait)

    async def change_batch(self, collection: str, body: bytes, wait: Wait) -> BatchAnswer:
        """Apply what of a batch can be applied, in one transaction."""
        batch = await asyncio.to_thread(parse_batch, body)
        place, upserted, deleted = await self._database.write_async(lambda session: _apply(session, collection, batch))
        seqs = [written.seq for written in upserted if written.changed] + list(deleted.values())
        seq = max(seqs, default=place.last_seq)
        visible = await self._settle(place, seq, wait)
        truncated = await self._truncated(place, [draft.text for draft in batch.upserts.values()])
        return BatchAnswer(items=_items(batch, upserted, deleted, truncated), seq=seq, visible=visible)

    async def _settle(self, place: _Place, seq: int, wait: Wait) -> bool | None:
        self._serving.wake()
        if wait is Wait.VISIBLE:
            return await self._serving.wait_visible(place.collection_id, seq)
        return None

    async def _truncated(self, place: _Place, texts: list[str]) -> list[bool]:
        bundle = self._store.find_loaded(place.encoder_sha)
        if bundle is None:
            return [False] * len(texts)  # not serving yet; the write itself must not wait or fail for that
        contract = bundle.encoder.contract
        if not any(len(text) > contract.config.max_tokens for text in texts):
            return [False] * len(texts)
        return await asyncio.to_thread(lambda: [contract.tokenise(text).truncated for text in texts])


def _lock(session: Session, collection: str) -> _Place:
    found = CollectionRepository(session).get_locked(collection)
    release = ReleaseRepository(session).get(found.id, found.active_release)
    return _Place(found.id, release.encoder_sha, found.last_seq)


def _apply(session: Session, collection: str, batch: Batch) -> tuple[_Place, list[Written], dict[str, int]]:
    place = _lock(session, collection)
    writer = RecordWriter(session, place.collection_id)
    return place, writer.upsert(list(batch.upserts.values())), writer.delete(list(batch.deletes.values()))


def _items(
    batch: Batch, upserted: Iterable[Written], deleted: dict[str, int], truncated: Iterable[bool]
) -> list[BatchItem]:
    items = dict(batch.refused)
    for (position, draft), written, cut in zip(batch.upserts.items(), upserted, truncated, strict=True):
        status = 201 if written.created else 200
        items[position] = BatchItem(id=draft.id, status=status, seq=written.seq, truncated=cut)
    for position, key in batch.deletes.items():
        if key in deleted:
            items[position] = BatchItem(id=key, status=200, seq=deleted[key])
        else:
            detail = f"the collection has no record {key[:64]!r}"
            items[position] = BatchItem(id=key, status=404, code="not_found", detail=detail)
    return [items[position] for position in range(batch.size)]
