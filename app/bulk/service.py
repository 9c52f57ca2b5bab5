"""Starting imports and exports, and handing out their files."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy.orm import Session

from app.bulk.export_forms import EXPORT_FILES
from app.bulk.forms import SNIFFED_BYTES, form_of
from app.bulk.renames import check_columns
from app.bulk.results import RESULTS
from app.bulk.schemas import ExportRequest
from app.bulk.uploads import Received, receive
from app.collection.repository import CollectionRepository
from app.db.database import Database
from app.errors import ConflictError, NotFoundError, OverloadedError, StorageError
from app.idempotency.attempts import Attempt, Attempts, once
from app.ids import IdSource
from app.job.repository import JobRepository, new_job
from app.job.schemas import JobAnswer
from app.job.service import to_answer
from app.job.tables import JobState, JobType

_AT_ONCE: Final = 2**20

DEFAULT_REJECTED: Final = 1000
"""Rejected rows up to which an import goes on, where the request does not say."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How a file is to be read.

    Attributes:
        columns: As given: `ours:theirs`, separated by commas, and quoted where a name has one.
        dry_run: Only say what would be done.
        max_rejected: Rows that cannot be stored; one more, and the import fails.
    """

    columns: str = ""
    dry_run: bool = False
    max_rejected: int = DEFAULT_REJECTED


@dataclass(frozen=True, slots=True)
class FileOf:
    """A file to hand out, up to `size`: it may be growing."""

    path: Path
    media_type: str
    name: str
    size: int

    async def read(self) -> AsyncIterator[bytes]:
        """Its bytes, some at a time; the file need not be there for none."""
        left = self.size
        if not left:
            return
        with self.path.open("rb") as file:
            while left and (piece := await asyncio.to_thread(file.read, min(left, _AT_ONCE))):
                left -= len(piece)
                yield piece


class BulkService:
    """Imports and exports.

    Args:
        database: Where jobs are.
        attempts: Those that run.
        jobs: Folder of the jobs' files.
        max_unfinished: Jobs that may wait or run.
        wake: Says that there is a new job.
    """

    def __init__(
        self, database: Database, attempts: Attempts, jobs: Path, max_unfinished: int, wake: Callable[[], None]
    ) -> None:
        self._database = database
        self._attempts = attempts
        self._jobs = jobs
        self._max_unfinished = max_unfinished
        self._wake = wake
        self._ids = IdSource()

    async def start_import(
        self,
        collection: str,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes],
        options: ImportOptions,
        attempt: Callable[[str], Attempt | None],
    ) -> JobAnswer:
        """Take an upload to the disk and queue its import.

        Args:
            collection: Must exist.
            headers: Content-Type and Content-Encoding say what the upload is.
            body: The upload.
            options: How to read it.
            attempt: From the upload's digest to what tells whether it was here before.
        """
        check_columns(options.columns)  # says what is wrong before anything is sent
        await self._database.read_async(lambda session: self._check_room(session, collection))
        key = self._ids.take()
        said = (headers.get("content-type"), headers.get("content-encoding"))
        upload, received = await receive(body, self._jobs / key, SNIFFED_BYTES, lambda head: form_of(*said, head))
        request = {
            "form": upload.form,
            "packing": upload.packing,
            "charset": upload.charset,
            "columns": options.columns,
            "dry_run": options.dry_run,
            "max_rejected": options.max_rejected,
            "bytes": received.n_bytes,
        }
        try:
            started = await self._start(key, JobType.IMPORT, collection, request, attempt(received.digest))
        except (asyncio.CancelledError, StorageError):
            raise  # the row may be stored or not: what it would need stays, and is tidied away if nobody does
        except BaseException:
            _remove(received)
            raise
        if started.id != key:  # the same request was here before
            _remove(received)
        return started

    async def start_export(self, collection: str, wanted: ExportRequest, attempt: Attempt | None) -> JobAnswer:
        """Queue an export."""
        return await self._start(self._ids.take(), JobType.EXPORT, collection, wanted.model_dump(mode="json"), attempt)

    async def results(self, key: str) -> FileOf:
        """What became of each row of an import, as far as it is."""
        kind, size = await self._database.read_async(lambda session: _results_of(session, key))
        if kind != JobType.IMPORT:
            raise NotFoundError(f"job {key} is no import: it has no results for rows")
        found = FileOf(self._jobs / key / RESULTS, "application/x-ndjson", f"{key}-results.ndjson", size)
        return _there(found) if size else found  # of a job that waits there is nothing to tell yet

    async def file(self, key: str) -> FileOf:
        """What an export has written.

        Raises:
            ConflictError: It is not done.
        """
        job = await self._database.read_async(lambda session: to_answer(JobRepository(session).get(key)))
        if job.type is not JobType.EXPORT:
            raise NotFoundError(f"job {key} is no export: it has no file")
        if job.state is not JobState.SUCCEEDED or job.result is None:
            raise ConflictError(f"the export is {job.state}: its file is there once it has succeeded")
        form = EXPORT_FILES[job.result["format"]]
        name = f"{job.collection}{form.suffix}"
        return _there(FileOf(self._jobs / key / form.name, form.media_type, name, job.result["bytes"]))

    async def _start(
        self, key: str, kind: JobType, collection: str, request: dict[str, Any], attempt: Attempt | None
    ) -> JobAnswer:
        def start(session: Session) -> JobAnswer:
            collection_id = self._check_room(session, collection)
            job = new_job(key, kind, collection_id, collection, request)
            JobRepository(session).add(job)
            return to_answer(job)

        with self._attempts.running(attempt):
            started = await self._database.write_async(
                lambda session: once(session, attempt, JobAnswer, lambda: start(session))
            )
        self._wake()
        return started

    def _check_room(self, session: Session, collection: str) -> int:
        """The id of the collection, if there is room for a job."""
        collection_id = CollectionRepository(session).get(collection).id
        n_unfinished = len(JobRepository(session).list_unfinished((JobType.IMPORT, JobType.EXPORT)))
        if n_unfinished >= self._max_unfinished:
            raise OverloadedError(
                f"{n_unfinished} imports and exports wait or run already: repeat the request when some are over"
            )
        return collection_id


def _results_of(session: Session, key: str) -> tuple[str, int]:
    job = JobRepository(session).get(key)
    return job.type, job.checkpoint.get("results_size", 0)


def _there(file: FileOf) -> FileOf:
    if not file.path.exists() or file.path.stat().st_size < file.size:
        raise NotFoundError("the file is gone or was never written: run the job again")
    return file


def _remove(received: Received) -> None:
    shutil.rmtree(received.path.parent, ignore_errors=True)
