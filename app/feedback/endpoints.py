"""Routes of feedback and kept queries."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response

from app.access.caller import caller_of
from app.access.declaring import requires
from app.access.scopes import KeyScope
from app.feedback.repository import FeedbackFilter
from app.feedback.schemas import (
    EraseFeedbackAnswer,
    EraseFeedbackRequest,
    FeedbackAnswer,
    FeedbackCreate,
    FeedbackPatch,
    FeedbackReceipt,
    ResolveAnswer,
    ResolveRequest,
    ReviewQueue,
)
from app.feedback.tables import FeedbackSource, FeedbackState, Verdict
from app.http.body import answer, read_body
from app.http.openapi import json_body, problems
from app.http.parameters import COLLECTION, CollectionName, Cursor, Limit
from app.idempotency.attempts import IdempotencyKey, attempt_of
from app.schemas import Page
from app.services import services

router = APIRouter(prefix=COLLECTION, tags=["feedback"])

FeedbackKey = Annotated[
    str, Path(pattern="^[0-9a-f]{32}$", description="id of an item", examples=["0193a1b2c3d44e5f8a9b0c1d2e3f4a5b"])
]

_RIGHT: Final = {
    "text": "where is my parcel",
    "verdict": "right_group",
    "group": "order_track",
    "answer_id": "0193a1b2c3d44e5f8a9b0c1d2e3f4a5b",
}
_NONE: Final = {"text": "what is the capital of France", "verdict": "out_of_scope"}
_IDS: Final = ["0193a1b2c3d44e5f8a9b0c1d2e3f4a5b", "0193a1b2c3d44e5f8a9b0c1d2e3f4a5c"]


@router.post(
    "/feedback",
    operation_id="give_feedback",
    status_code=201,
    response_model=FeedbackReceipt,
    responses=problems(400, 404, 409, 413, 507),
    openapi_extra=json_body(FeedbackCreate, right_group=_RIGHT, out_of_scope=_NONE),
)
@requires(KeyScope.FEEDBACK, is_audited=False)
async def give_feedback(
    request: Request, collection: CollectionName, idempotency_key: IdempotencyKey = None
) -> Response:
    """Say what the right answer to a sentence is, or that the answer was wrong; durable when answered."""
    wanted = await read_body(request, FeedbackCreate)
    attempt = attempt_of(request, idempotency_key, await request.body())
    receipt = await services(request).feedback.receive(collection, wanted, caller_of(request.scope), attempt)
    location = f"/v1/collections/{collection}/feedback/{receipt.id}"
    return answer(receipt, status=201, headers={"Location": location})


@router.get("/feedback", operation_id="list_feedback", response_model=Page[FeedbackAnswer], responses=problems(404))
@requires(KeyScope.DATA_READ)
async def list_feedback(
    request: Request,
    collection: CollectionName,
    state: Annotated[FeedbackState | None, Query(description="only those")] = None,
    verdict: Annotated[Verdict | None, Query(description="only those; a kept query has none")] = None,
    source: Annotated[FeedbackSource | None, Query(description="only those")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List feedback and kept queries, oldest first."""
    wanted = FeedbackFilter(state=state, verdict=verdict, source=source)
    return answer(await services(request).feedback.list_page(collection, wanted, cursor, limit))


@router.get(
    "/feedback/clusters",
    operation_id="list_feedback_clusters",
    response_model=ReviewQueue,
    responses=problems(404),
)
@requires(KeyScope.DATA_READ)
async def list_feedback_clusters(request: Request, collection: CollectionName, limit: Limit = 50) -> Response:
    """What waits to be looked at, clustered by the active release, the most pressing first."""
    return answer(await services(request).feedback.review(collection, limit, request.receive))


@router.get("/feedback/{feedback}", operation_id="get_feedback", response_model=FeedbackAnswer, responses=problems(404))
@requires(KeyScope.DATA_READ)
async def get_feedback(request: Request, collection: CollectionName, feedback: FeedbackKey) -> Response:
    """Get one item."""
    return answer(await services(request).feedback.get(collection, feedback))


@router.patch(
    "/feedback/{feedback}",
    operation_id="resolve_feedback",
    response_model=FeedbackAnswer,
    responses=problems(400, 404, 409, 413, 507),
    openapi_extra=json_body(
        FeedbackPatch,
        accept={"state": "accepted", "group": "order_track"},
        out_of_scope={"state": "accepted", "role": "out_of_scope"},
        reject={"state": "rejected"},
    ),
)
@requires(KeyScope.DATA_WRITE)
async def resolve_feedback(request: Request, collection: CollectionName, feedback: FeedbackKey) -> Response:
    """Accept an item, which makes a record of it in the same transaction, or reject it; again, it changes nothing."""
    patch = await read_body(request, FeedbackPatch)
    return answer(await services(request).feedback.resolve(collection, feedback, patch, caller_of(request.scope)))


@router.delete("/feedback/{feedback}", operation_id="delete_feedback", status_code=204, responses=problems(404, 507))
@requires(KeyScope.DATA_WRITE)
async def delete_feedback(request: Request, collection: CollectionName, feedback: FeedbackKey) -> Response:
    """Delete an item; the record that it became stays."""
    await services(request).feedback.delete(collection, feedback)
    return Response(status_code=204)


@router.post(
    "/feedback:resolve",
    operation_id="resolve_several_feedback",
    response_model=ResolveAnswer,
    responses=problems(400, 404, 409, 413, 507),
    openapi_extra=json_body(ResolveRequest, cluster={"ids": _IDS, "state": "accepted", "group": "order_track"}),
)
@requires(KeyScope.DATA_WRITE)
async def resolve_several_feedback(
    request: Request, collection: CollectionName, idempotency_key: IdempotencyKey = None
) -> Response:
    """Accept or reject up to 1,000 items in one transaction, such as a cluster; each has a status of its own."""
    wanted = await read_body(request, ResolveRequest)
    attempt = attempt_of(request, idempotency_key, await request.body())
    who = caller_of(request.scope)
    return answer(await services(request).feedback.resolve_several(collection, wanted, who, attempt))


@router.post(
    "/feedback:erase",
    operation_id="erase_feedback",
    response_model=EraseFeedbackAnswer,
    responses=problems(400, 404, 413, 503, 507),
    openapi_extra=json_body(EraseFeedbackRequest, person={"texts": ["my name is Mary, call me"]}),
)
@requires(KeyScope.DATA_WRITE)
async def erase_feedback(request: Request, collection: CollectionName) -> Response:
    """Delete all feedback and kept queries with these texts, and overwrite every copy in the database's files.

    All examples of shadows go too, and no server stores a query any more that it was asked before.

    Texts that differ in case, width or white space only count as equal. Records stay; the answer names those that came
    of the erased items, for POST records:erase.
    """
    wanted = await read_body(request, EraseFeedbackRequest)
    return answer(await services(request).feedback.erase(collection, wanted.texts))
