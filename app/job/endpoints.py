"""Routes of jobs."""

from typing import Annotated, Final

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from app.access.caller import caller_of, collections_of
from app.access.declaring import Reach, name_target, requires
from app.access.scopes import KeyScope
from app.http.body import answer
from app.http.openapi import problems
from app.http.parameters import Cursor, Limit
from app.job.schemas import JobAnswer
from app.job.tables import JobState
from app.schemas import Page
from app.services import services

router = APIRouter(tags=["jobs"])

JobKey = Annotated[str, Path(max_length=64, description="id of the job", examples=["0193a1b2c3d44e5f8a9b0c1d2e3f4a5b"])]
LastEvent = Annotated[
    int, Header(alias="Last-Event-ID", ge=0, le=2**31 - 1, description="go on after this event; 0 from the first")
]

ORDERS: Final = (KeyScope.DATA_WRITE, KeyScope.TRAIN, KeyScope.RELEASE)
"""Any of these lets a key order jobs, and so cancel them."""

JOBS: Final = (KeyScope.DATA_READ, *ORDERS)
"""Any of these lets a key order jobs or read what they read: it may look at jobs."""


def accepted(job: JobAnswer) -> Response:
    """The answer to what began a job."""
    return answer(job, status=202, headers={"Location": f"/v1/jobs/{job.id}", "Retry-After": "1"})


@router.get("/v1/jobs", operation_id="list_jobs", response_model=Page[JobAnswer], responses=problems())
@requires(*JOBS, reach=Reach.OWN)
async def list_jobs(
    request: Request,
    limit: Limit = 100,
    cursor: Cursor = None,
    collection: Annotated[str | None, Query(max_length=63, description="those of this collection only")] = None,
    state: Annotated[list[JobState] | None, Query(description="those in any of these states only")] = None,
) -> Response:
    """List the jobs, newest first. Of finished ones the 200 of each type that ended last are kept."""
    within = collections_of(request.scope)
    return answer(await services(request).jobs.list_page(cursor, limit, collection, state or [], within))


@router.get("/v1/jobs/{job}", operation_id="get_job", response_model=JobAnswer, responses=problems(404))
@requires(*JOBS)
async def get_job(request: Request, job: JobKey) -> Response:
    """Get one job with its progress; poll this, or follow its events."""
    return answer(await services(request).jobs.get(job))


@router.delete(
    "/v1/jobs/{job}",
    operation_id="cancel_job",
    status_code=202,
    response_model=JobAnswer,
    responses=problems(404, 409, 507),
)
@requires(*ORDERS)
async def cancel_job(request: Request, job: JobKey) -> Response:
    """Cancel a job. One that runs is `cancelling` until its worker has stopped, within seconds."""
    cancelled = await services(request).jobs.cancel(job)
    name_target(request, cancelled.id, cancelled.collection)
    return answer(cancelled, status=202)


@router.get(
    "/v1/jobs/{job}/events",
    operation_id="follow_job",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-Sent Events, each with the job's state and progress",
            "content": {"text/event-stream": {}},
        },
        204: {"description": "The job is over, and Last-Event-ID was its last event"},
        **problems(404),
    },
)
@requires(*JOBS)
async def follow_job(request: Request, job: JobKey, last_event_id: LastEvent = 0) -> Response:
    """Follow a job as Server-Sent Events, from the first event on or after Last-Event-ID, until the job is over."""
    stream = await services(request).jobs.events(job, last_event_id, caller_of(request.scope))
    if stream is None:
        return Response(status_code=204)  # tells an EventSource not to connect again
    return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
