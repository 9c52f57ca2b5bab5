"""The event streams of jobs: they end with the job, and no caller takes them all."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.db.database import Database
from app.errors import OverloadedError
from app.http.cursors import Cursors
from app.job.repository import JobRepository, new_job
from app.job.service import JobService
from app.job.tables import JobState, JobType
from tests.fakes.job_rows import add_job


def test_a_stream_that_is_to_go_on_after_events_that_there_are_not_ends_with_the_job(database: Database) -> None:
    job = new_job("a", JobType.EXPORT, 1, "faq", {})
    database.write(lambda session: JobRepository(session).add(job)).result()

    async def follow() -> list[bytes]:
        stream = await JobService(database, Cursors(b"key"), Path()).events("a", 500, "key 1")
        assert stream is not None
        database.write(lambda session: JobRepository(session).finish(1, JobState.SUCCEEDED)).result()
        return [part async for part in stream]

    (_, event) = asyncio.run(asyncio.wait_for(follow(), 10))
    assert (event.startswith(b"id: 2\n"), b"succeeded" in event) == (True, True)


def test_one_caller_cannot_take_every_stream(database: Database) -> None:
    add_job(database, "a")
    service = JobService(database, Cursors(b"key"), Path())

    async def follow(caller: str) -> AsyncIterator[bytes]:
        stream = await service.events("a", 0, caller)
        assert stream is not None
        await anext(stream)
        return stream

    async def crowd() -> None:
        of_one = [await follow("key 1") for _ in range(100)]
        with pytest.raises(OverloadedError, match="100 event streams are open, 100 of them yours"):
            await follow("key 1")
        of_others = [await follow(f"key {2 + n % 3}") for n in range(100)]
        with pytest.raises(OverloadedError, match="200 event streams are open, 0 of them yours"):
            await follow("key 9")
        for stream in (of_one.pop(), of_others.pop()):
            await stream.aclose()  # type: ignore[attr-defined]
        await follow("key 1")
        await follow("key 9")

    asyncio.run(asyncio.wait_for(crowd(), 30))
