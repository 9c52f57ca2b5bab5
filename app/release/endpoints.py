"""Routes of releases."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from app.access.caller import caller_of
from app.access.declaring import requires
from app.access.scopes import KeyScope
from app.http.body import answer, read_optional_body
from app.http.openapi import optional_json_body, problems
from app.http.parameters import COLLECTION, CollectionName, Cursor, Limit, ReleaseNumber
from app.job.endpoints import accepted
from app.job.schemas import JobAnswer
from app.release.page.page import HEADERS
from app.release.schemas import (
    EventAnswer,
    ReleaseAnswer,
    ReportAnswer,
    ReportForm,
    ShadowAnswer,
    ShadowRequest,
    SwitchedAnswer,
    SwitchRequest,
)
from app.schemas import Page
from app.services import services

router = APIRouter(prefix=COLLECTION, tags=["releases"])

_WHY = optional_json_body(SwitchRequest, why={"why": "the new one misses questions on refunds"})


@router.get("/releases", operation_id="list_releases", response_model=Page[ReleaseAnswer], responses=problems(404))
@requires(KeyScope.DATA_READ)
async def list_releases(request: Request, collection: CollectionName) -> Response:
    """List the releases of a collection, oldest first."""
    items = await services(request).releases.list_all(collection)
    return answer(Page[ReleaseAnswer](items=items, next_cursor=None))


@router.get("/releases/{number}", operation_id="get_release", response_model=ReleaseAnswer, responses=problems(404))
@requires(KeyScope.DATA_READ)
async def get_release(request: Request, collection: CollectionName, number: ReleaseNumber) -> Response:
    """Get one release."""
    return answer(await services(request).releases.get(collection, number))


@router.get(
    "/releases/{number}/report",
    operation_id="get_release_report",
    response_model=ReportAnswer,
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}, **problems(404)},
)
@requires(KeyScope.DATA_READ)
async def get_release_report(
    request: Request,
    collection: CollectionName,
    number: ReleaseNumber,
    form: Annotated[ReportForm, Query(description="html: a page that one can read, with sentences")] = ReportForm.JSON,
) -> Response:
    """Get how a release was made and judged against the one that was active then."""
    if form is ReportForm.HTML:
        return HTMLResponse(await services(request).releases.page(collection, number), headers=HEADERS)
    report = await services(request).releases.report(collection, number)
    return answer(ReportAnswer(release=number, report=report))


@router.get(
    "/release-events",
    operation_id="list_release_events",
    response_model=Page[EventAnswer],
    responses=problems(404),
)
@requires(KeyScope.DATA_READ)
async def list_release_events(
    request: Request, collection: CollectionName, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List what happened to the releases of a collection, newest first: who did what, when and why."""
    return answer(await services(request).releases.events(collection, cursor, limit))


@router.post(
    "/releases/{number}:promote",
    operation_id="promote_release",
    response_model=SwitchedAnswer,
    responses={202: {"model": JobAnswer, "description": "Its index is built first"}, **problems(400, 404, 409, 413)},
    openapi_extra=_WHY,
)
@requires(KeyScope.RELEASE)
async def promote_release(request: Request, collection: CollectionName, number: ReleaseNumber) -> Response:
    """Let a release answer: at once where it is kept warm, else by a job that builds its index first."""
    wanted, who = await read_optional_body(request, SwitchRequest), caller_of(request.scope)
    if await services(request).releases.is_warm(collection, number):
        return answer(await services(request).releases.promote(collection, number, who, wanted.why))
    return accepted(await services(request).trainings.start_promotion(collection, number, who, wanted.why))


@router.post(
    "/releases/{number}:rollback",
    operation_id="roll_back_release",
    response_model=SwitchedAnswer,
    responses=problems(400, 404, 409, 413),
    openapi_extra=_WHY,
)
@requires(KeyScope.RELEASE)
async def roll_back_release(request: Request, collection: CollectionName, number: ReleaseNumber) -> Response:
    """Let the release answer again that was active before this one, which must be active now."""
    wanted = await read_optional_body(request, SwitchRequest)
    rolled_back = await services(request).releases.roll_back(collection, number, caller_of(request.scope), wanted.why)
    return answer(rolled_back)


@router.post(
    "/releases/{number}:shadow",
    operation_id="shadow_release",
    response_model=ShadowAnswer,
    responses=problems(400, 404, 409, 413),
    openapi_extra=optional_json_body(ShadowRequest, tenth={"share": 0.1, "examples": 20}, end={"share": 0}),
)
@requires(KeyScope.RELEASE)
async def shadow_release(request: Request, collection: CollectionName, number: ReleaseNumber) -> Response:
    """Ask a release that is kept warm some of the live queries too, to see how it would answer; nobody waits for it."""
    wanted = await read_optional_body(request, ShadowRequest)
    return answer(await services(request).releases.shadow(collection, number, wanted, caller_of(request.scope)))


@router.get(
    "/releases/{number}/shadow",
    operation_id="get_release_shadow",
    response_model=ShadowAnswer,
    responses=problems(404),
)
@requires(KeyScope.RELEASE)
async def get_release_shadow(request: Request, collection: CollectionName, number: ReleaseNumber) -> Response:
    """Get how a release's answers to live queries compare with the active one's."""
    return answer(await services(request).releases.get_shadow(collection, number))
