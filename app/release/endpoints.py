"""Routes of releases."""

from fastapi import APIRouter, Request, Response

from app.access.declaring import requires
from app.access.scopes import KeyScope
from app.http_body import answer
from app.openapi import problems
from app.parameters import COLLECTION, CollectionName, ReleaseNumber
from app.release.schemas import ReleaseAnswer
from app.schemas import Page
from app.services import services

router = APIRouter(prefix=COLLECTION + "/releases", tags=["releases"])


@router.get("", operation_id="list_releases", response_model=Page[ReleaseAnswer], responses=problems(404))
@requires(KeyScope.DATA_READ)
async def list_releases(request: Request, collection: CollectionName) -> Response:
    """List the releases of a collection, oldest first."""
    items = await services(request).releases.list_all(collection)
    return answer(Page[ReleaseAnswer](items=items, next_cursor=None))


@router.get("/{number}", operation_id="get_release", response_model=ReleaseAnswer, responses=problems(404))
@requires(KeyScope.DATA_READ)
async def get_release(request: Request, collection: CollectionName, number: ReleaseNumber) -> Response:
    """Get one release."""
    return answer(await services(request).releases.get(collection, number))
