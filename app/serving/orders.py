"""Ordering compactions and rebuilds: at most one of each collection is waiting or running."""

import threading

from sqlalchemy.orm import Session

from app.collection.repository import CollectionRepository
from app.db.database import Database
from app.errors import ConflictError
from app.ids import IdSource
from app.job.repository import JobRepository, new_job
from app.job.schemas import JobAnswer
from app.job.service import to_answer
from app.job.tables import JobType


class Orders:
    """Orders, from any thread.

    Args:
        database: Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.wakened = threading.Event()
        """Set when there is a new one."""

    def order(self, kind: JobType, collection: str) -> JobAnswer:
        """Order one; the job that is unfinished already, if there is one. A rebuild is a compaction too.

        Raises:
            NotFoundError: There is no such collection.
            ConflictError: It is to be rebuilt, and is being compacted.
            UnavailableError: The database cannot take it.
        """
        ordered = self._database.write(lambda session: self._order(session, kind, collection)).result()
        self.wakened.set()
        return ordered

    async def order_async(self, kind: JobType, collection: str) -> JobAnswer:
        """`order`, awaited."""
        ordered = await self._database.write_async(lambda session: self._order(session, kind, collection))
        self.wakened.set()
        return ordered

    def _order(self, session: Session, kind: JobType, collection: str) -> JobAnswer:
        collection_id, _ = CollectionRepository(session).lock(collection)  # two orders at once become one
        repository = JobRepository(session)
        for job in repository.list_unfinished((JobType.COMPACTION, JobType.REBUILD)):
            if job.collection_id == collection_id and (job.type == kind or kind is JobType.COMPACTION):
                return to_answer(job)
            if job.collection_id == collection_id:
                raise ConflictError(f"the collection is being compacted (job {job.key}): rebuild it when that is over")
        job = new_job(IdSource().take(), kind, collection_id, collection, {})
        repository.add(job)
        return to_answer(job)
