"""Routes of collections."""

from fastapi import APIRouter, Request, Response

from app.access.caller import collections_of
from app.access.declaring import Reach, name_target, require_for, requires
from app.access.scopes import KeyScope
from app.collection.schemas import CollectionAnswer, CollectionCreate, CollectionPatch
from app.feedback.keeping import FeedbackSettings
from app.http.body import answer, read_body
from app.http.openapi import json_body, problems
from app.http.parameters import COLLECTION, CollectionName, Cursor, Limit
from app.http.preconditions import CHANGES, etag, read_precondition
from app.idempotency.attempts import IdempotencyKey, attempt_of
from app.job.endpoints import accepted
from app.job.schemas import JobAnswer
from app.job.tables import JobType
from app.schemas import Page
from app.services import services

router = APIRouter(tags=["collections"])


@router.get(
    "/v1/collections", operation_id="list_collections", response_model=Page[CollectionAnswer], responses=problems()
)
@requires(KeyScope.DATA_READ, reach=Reach.OWN)
async def list_collections(request: Request, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """List the collections, oldest first."""
    return answer(await services(request).collections.list_page(cursor, limit, collections_of(request.scope)))


@router.post(
    "/v1/collections",
    operation_id="create_collection",
    status_code=201,
    response_model=CollectionAnswer,
    responses=problems(400, 409, 413, 507),
    openapi_extra=json_body(CollectionCreate, faq={"name": "faq", "encoder": "faq-encoder"}),
)
@requires(KeyScope.DATA_WRITE)
async def create_collection(request: Request, idempotency_key: IdempotencyKey = None) -> Response:
    """Create a collection; it starts with release 1 of the encoder."""
    wanted = await read_body(request, CollectionCreate)
    _check_may_train(request, wanted)
    attempt = attempt_of(request, idempotency_key, await request.body(), collection=wanted.name)
    created = await services(request).collections.create(wanted, attempt)
    name_target(request, created.name)
    return answer(created, status=201, headers=etag(created.etag))


@router.get(COLLECTION, operation_id="get_collection", response_model=CollectionAnswer, responses=problems(404))
@requires(KeyScope.DATA_READ)
async def get_collection(request: Request, collection: CollectionName) -> Response:
    """Get one collection, with the state of its index."""
    found = await services(request).collections.get(collection)
    return answer(found, headers=etag(found.etag))


@router.patch(
    COLLECTION,
    operation_id="change_collection",
    response_model=CollectionAnswer,
    responses=problems(400, 404, 412, 413, 507),
    openapi_extra=json_body(CollectionPatch, description={"description": "questions of our customers"}) | CHANGES,
)
@requires(KeyScope.DATA_WRITE)
async def change_collection(request: Request, collection: CollectionName) -> Response:
    """Change what is given, keep the rest. If-Match guards against a change unseen."""
    patch = await read_body(request, CollectionPatch)
    _check_may_train(request, patch)
    changed = await services(request).collections.change(collection, patch, read_precondition(request))
    return answer(changed, headers=etag(changed.etag))


@router.post(
    f"{COLLECTION}:compact",
    operation_id="compact_collection",
    status_code=202,
    response_model=JobAnswer,
    responses=problems(404, 507),
)
@requires(KeyScope.DATA_WRITE)
async def compact_collection(request: Request, collection: CollectionName) -> Response:
    """Fold all changes into a new index now; it happens by itself when there are many."""
    return accepted(await services(request).orders.order_async(JobType.COMPACTION, collection))


@router.post(
    f"{COLLECTION}:rebuild",
    operation_id="rebuild_collection",
    status_code=202,
    response_model=JobAnswer,
    responses=problems(404, 409, 507),
)
@requires(KeyScope.DATA_WRITE)
async def rebuild_collection(request: Request, collection: CollectionName) -> Response:
    """Encode every record anew and build the index from nothing; searches go on meanwhile."""
    return accepted(await services(request).orders.order_async(JobType.REBUILD, collection))


@router.delete(
    COLLECTION,
    operation_id="delete_collection",
    status_code=204,
    responses=problems(404, 412, 507),
    openapi_extra=CHANGES,
)
@requires(KeyScope.DATA_WRITE)
async def delete_collection(request: Request, collection: CollectionName) -> Response:
    """Delete a collection with everything in it: its jobs end, and encoders go that were trained for it alone."""
    await services(request).collections.delete(collection, read_precondition(request))
    return Response(status_code=204)


def _check_may_train(request: Request, wanted: FeedbackSettings) -> None:
    """Whoever accepts feedback afterwards orders trainings, and so may need no such scope."""
    if wanted.auto_retrain_after is not None:
        require_for(request, KeyScope.TRAIN, "auto_retrain_after")
