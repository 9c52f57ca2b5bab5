"""Erasing records for good: out of the database's files, the index, its snapshots, feedback and kept answers."""

import asyncio
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from sqlalchemy.orm import Session

from app.collection.repository import CollectionRepository
from app.db.database import Database
from app.errors import ErasureError
from app.feedback.repository import FeedbackRepository
from app.feedback.text_key import text_key
from app.idempotency.attempts import forget_answers
from app.job.kinds import Kind
from app.job.repository import JobRepository
from app.job.tables import TYPES_OF, UNFINISHED, JobState, JobType
from app.record.repository import RecordRepository
from app.record.schemas import EraseAnswer
from app.record.writer import RecordWriter
from app.release.shadow import strip_all_examples
from app.serving.serving import Serving

_BUILT_S: Final = 20.0
_LOOK_S: Final = 0.2


class RecordEraser:
    """Erases records of collections.

    Args:
        database: Where they are.
        serving: Has them in its snapshots.
        jobs: Folder of the jobs' files, which may hold them.
        store_queries: Has the queries stored that this server kept and did not store yet: later it will not store them.
    """

    def __init__(self, database: Database, serving: Serving, jobs: Path, store_queries: Callable[[], None]) -> None:
        self._database = database
        self._serving = serving
        self._jobs = jobs
        self._store_queries = store_queries

    async def erase(self, collection: str, ids: Sequence[str]) -> EraseAnswer:
        """Delete the records that are there, and overwrite what is left of all of them; done when answered.

        Feedback and kept queries go too, those with the same text and those that became one of the records. Whatever
        any server took before of the queries of the collection is not stored any more.

        An id that is not there counts too: what was deleted before may still be in an older snapshot.

        Raises:
            NotFoundError: There is no such collection.
            ErasureError: Some copy could not be removed; the records themselves are deleted, and a repeated request
                goes on from there.
        """
        wanted = list(dict.fromkeys(ids))

        def unit(session: Session) -> tuple[int, int, dict[str, int]]:
            collection_id, last_seq = CollectionRepository(session).lock(collection)
            texts = list(RecordRepository(session, collection_id).find_texts(wanted).values())
            FeedbackRepository(session, collection_id).forget(map(text_key, texts), wanted)
            deleted = RecordWriter(session, collection_id).delete(wanted)
            forget_answers(session, wanted)
            strip_all_examples(session, collection_id)  # queries that may say the same
            CollectionRepository(session).count_erasure(collection_id)
            return collection_id, max([last_seq, *deleted.values()]), deleted

        await asyncio.to_thread(self._store_queries)
        collection_id, seq, deleted = await self._database.write_async(unit)
        self._serving.wake()
        await self._purge(collection_id, seq)
        await self._remove_files(collection_id)
        erased = [key for key in wanted if key in deleted]
        return EraseAnswer(erased=erased, missing=[key for key in wanted if key not in deleted], seq=seq)

    async def _purge(self, collection_id: int, seq: int) -> None:
        """Have no copy in the database or in a snapshot; one that is being built, here or elsewhere, may hold some."""
        deadline = time.monotonic() + _BUILT_S
        while True:
            if not await self._is_building(collection_id):
                await asyncio.to_thread(self._database.scrub)  # first: whoever read the records has saved them by then
                await self._serving.purge(collection_id, seq)
                if not await self._is_building(collection_id):
                    return
            if time.monotonic() > deadline:
                raise ErasureError(
                    "the records are deleted, but an index is being built that may hold them: repeat the request soon"
                )
            await asyncio.sleep(_LOOK_S)

    async def _is_building(self, collection_id: int) -> bool:
        def unit(session: Session) -> bool:
            jobs = JobRepository(session).list_unfinished(
                (JobType.COMPACTION, JobType.REBUILD, *TYPES_OF[Kind.RELEASES])
            )
            return any(job.collection_id == collection_id and job.state != JobState.QUEUED for job in jobs)

        return await self._database.read_async(unit)

    async def _remove_files(self, collection_id: int) -> None:
        """Remove what imports and exports of the collection have left: results name records, exports hold them."""
        jobs = await self._database.read_async(lambda session: JobRepository(session).of_collection(collection_id))
        busy = [key for key, state in jobs if state in UNFINISHED and (self._jobs / key).exists()]
        for key, state in jobs:
            if state not in UNFINISHED:
                await asyncio.to_thread(shutil.rmtree, self._jobs / key, ignore_errors=True)
        if busy:
            raise ErasureError(
                f"the records are deleted, but the files of job {busy[0]} may hold them: "
                "repeat the request when it is over, or cancel it first"
            )
