"""Routes for those who run the server."""

import asyncio

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from app.access.declaring import Reach, open_to_all, requires
from app.access.scopes import KeyScope
from app.health.schemas import HealthAnswer, InfoAnswer
from app.http.body import answer
from app.http.headers import DOCS_PATH
from app.http.openapi import problems
from app.services import services

router = APIRouter(tags=["server"])


@router.get("/", operation_id="open_docs", include_in_schema=False)
@open_to_all
async def open_docs(request: Request) -> Response:
    """Lead whoever opens the server's address in a browser to the page that describes the routes."""
    return RedirectResponse(DOCS_PATH)


@router.get("/livez", operation_id="livez", response_model=HealthAnswer, responses=problems())
@open_to_all
async def livez(request: Request) -> Response:
    """Say that the process answers and that all of its threads work."""
    return answer(services(request).health.alive())


@router.get("/readyz", operation_id="readyz", response_model=HealthAnswer, responses=problems())
@open_to_all
async def readyz(request: Request) -> Response:
    """Say whether queries can be answered."""
    return answer(await services(request).health.ready())


@router.get("/v1/info", operation_id="get_info", response_model=InfoAnswer, responses=problems())
@requires(reach=Reach.NOTHING)
async def get_info(request: Request) -> Response:
    """Say what this server is and what its limits are."""
    return answer(await services(request).health.info())


@router.get(
    "/metrics",
    operation_id="get_metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus text format", "content": {"text/plain": {}}}, **problems()},
)
@requires(KeyScope.METRICS)
async def get_metrics(request: Request) -> Response:
    """Report everything measured, in Prometheus' text format."""
    content = await asyncio.to_thread(services(request).health.metrics)  # asks the database
    return Response(content, media_type="text/plain; version=0.0.4; charset=utf-8")
