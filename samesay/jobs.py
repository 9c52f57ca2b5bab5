"""Jobs: long work of the server, to look at, to wait for, to cancel, and to take the results of."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import httpx
from pydantic import TypeAdapter, ValidationError

from samesay.answers import JobData, JobEvent, JobProblem, JobProgress, JobState, Page, RowResult
from samesay.calls import Call, Repeat, asking, changing, path, reader, unexpected
from samesay.errors import JobCancelledError, JobFailedError
from samesay.events import UNFINISHED, Deadline, job_events
from samesay.operations import Resource, X, listing, operation, planned
from samesay.paging import pages
from samesay.plans import Item, Items, Plan, next_piece, tapped
from samesay.sending import failure_of, opened

_JOB = reader(JobData)
_ROW: TypeAdapter[RowResult] = TypeAdapter(RowResult)


class Job(Resource[X]):
    """A job, as it was when last looked at.

    Args:
        transport: Does what is described.
        data: What the server said of it.
    """

    def __init__(self, transport: X, data: JobData) -> None:
        super().__init__(transport)
        self.data = data

    @property
    def id(self) -> str:
        """Its id."""
        return self.data.id

    @property
    def state(self) -> JobState:
        """Where it stands."""
        return self.data.state

    @property
    def progress(self) -> JobProgress:
        """How far it is."""
        return self.data.progress

    @property
    def result(self) -> dict[str, Any] | None:
        """What came of it; the fields depend on its type."""
        return self.data.result

    @property
    def error(self) -> JobProblem | None:
        """Why it failed."""
        return self.data.error

    @property
    def is_over(self) -> bool:
        """Whether it has ended, one way or the other."""
        return self.state not in UNFINISHED

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.data.type} {self.state}>"

    @operation
    def refresh(self) -> "Call[Job[X]]":
        """Look again."""
        return self._look()

    @operation
    def cancel(self) -> "Call[Job[X]]":
        """Stop it; what runs stops within seconds. ConflictError where there is nothing left to stop."""
        request = changing("DELETE", path("v1", "jobs", self.id), None).request
        return Call(request, self._looked_at, Repeat.NEVER)

    @planned
    def wait(
        self, *, timeout: float | None = None, on_progress: Callable[[JobProgress], None] | None = None
    ) -> "Plan[Job[X]]":
        """Wait until it has succeeded, by its events; a server that is started anew meanwhile is waited for.

        Args:
            timeout: Seconds to wait at most; None for ever.
            on_progress: Hears how far it is, whenever that changes.

        Raises:
            JobFailedError, JobCancelledError: It ended otherwise.
            JobTimeoutError: It goes on.
        """
        deadline, last = Deadline(self.id, timeout), 0

        def hear(event: JobEvent) -> None:
            nonlocal last
            last = event.number
            if on_progress is not None:
                on_progress(event.progress)

        while not self.is_over:
            yield from tapped(job_events(self.id, last, self._transport.retries, deadline), hear)
            yield from self._sent(self._look())
        self._raise_unless_succeeded()
        return self

    @listing
    def events(self, *, after: int = 0) -> Items[JobEvent]:
        """What happens to it, up to its end.

        Args:
            after: `number` of the last event that is known already.
        """
        return job_events(self.id, after, self._transport.retries, Deadline(self.id, None))

    @listing
    def results(self) -> Items[RowResult]:
        """What became of each row of an import, as far as it is."""
        return Items(self._rows())

    @planned
    def download(self, to: str | os.PathLike[str]) -> Plan[Path]:
        """Save what an export wrote; the file is there whole or not at all.

        Returns:
            Its path.
        """
        target = Path(to)
        part = target.with_name(f"{target.name}.{uuid.uuid4().hex[:12]}.part")  # nobody else's, nor another download's
        call = asking("GET", path("v1", "jobs", self.id, "file"), None)
        response = yield from opened(call, self._transport.retries)
        try:
            with part.open("wb") as file:
                while (piece := (yield from next_piece(response))) is not None:
                    file.write(piece)
            part.replace(target)
        except httpx.TransportError as error:
            raise failure_of(call.request, error, 1) from error
        finally:
            part.unlink(missing_ok=True)
        return target

    def _rows(self) -> Plan[None]:
        call = asking("GET", path("v1", "jobs", self.id, "results"), None)
        response = yield from opened(call, self._transport.retries)
        rest = b""
        try:
            while (piece := (yield from next_piece(response))) is not None:
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    yield Item(_ROW.validate_json(line))
        except httpx.TransportError as error:
            raise failure_of(call.request, error, 1) from error
        except ValidationError as error:
            raise unexpected(response, error) from None

    def _look(self) -> "Call[Job[X]]":
        return Call(asking("GET", path("v1", "jobs", self.id), None).request, self._looked_at, Repeat.ALWAYS)

    def _looked_at(self, response: httpx.Response) -> "Job[X]":
        self.data = _JOB(response)
        return self

    def _raise_unless_succeeded(self) -> None:
        if self.state == "cancelled":
            raise JobCancelledError(self.id, f"job {self.id} was cancelled")
        if self.state != "succeeded":
            error = self.error or JobProblem(code="unknown", detail="the server does not say why")
            raise JobFailedError(self.id, code=error.code, detail=error.detail)


class Jobs(Resource[X]):
    """All jobs of the server."""

    @operation
    def get(self, job_id: str) -> Call[Job[X]]:
        """One job."""
        return Call(asking("GET", path("v1", "jobs", job_id), None).request, job_reader(self._transport), Repeat.ALWAYS)

    @listing
    def list(
        self,
        *,
        collection: str | None = None,
        state: Literal["queued", "running", "succeeded", "failed", "cancelling", "cancelled"] | None = None,
        page_size: int = 100,
    ) -> Items[Job[X]]:
        """The jobs, newest first."""
        query = {"collection": collection, "state": state, "limit": page_size}
        call = asking("GET", path("v1", "jobs"), Page[JobData], query=query)

        def read(response: httpx.Response) -> Page[Any]:
            page: Page[JobData] = call.read(response)
            return Page[Any](items=[Job(self._transport, data) for data in page.items], next_cursor=page.next_cursor)

        return pages(Call(call.request, read, call.repeat), self._transport.retries)


def job_reader(transport: X) -> Callable[[httpx.Response], Job[X]]:
    """What reads the answer that tells of a job."""
    return lambda response: Job(transport, _JOB(response))


def starting(transport: X, call: Call[None]) -> Call[Job[X]]:
    """A call that is answered with a job."""
    return Call(call.request, job_reader(transport), call.repeat)
