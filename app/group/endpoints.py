"""Routes of groups."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.access.declaring import requires
from app.access.scopes import KeyScope
from app.group.schemas import GroupAnswer, GroupPatch, GroupPut, RecordsOf
from app.http.body import answer, read_body
from app.http.openapi import json_body, problems
from app.http.parameters import COLLECTION, CollectionName, Cursor, ItemKey, Limit
from app.http.preconditions import CHANGES, CREATES_OR_CHANGES, etag, read_precondition
from app.schemas import Page
from app.services import services

router = APIRouter(prefix=COLLECTION + "/groups", tags=["groups"])

_EXAMPLE = {"title": "How do I get a refund?", "payload": {"answer": "Open your order and choose Refund."}}


@router.get("", operation_id="list_groups", response_model=Page[GroupAnswer], responses=problems(404))
@requires(KeyScope.DATA_READ)
async def list_groups(
    request: Request, collection: CollectionName, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List the groups of a collection, oldest first."""
    return answer(await services(request).groups.list_page(collection, cursor, limit))


@router.get("/{group}", operation_id="get_group", response_model=GroupAnswer, responses=problems(404))
@requires(KeyScope.DATA_READ)
async def get_group(request: Request, collection: CollectionName, group: ItemKey) -> Response:
    """Get one group."""
    found = await services(request).groups.get(collection, group)
    return answer(found, headers=etag(found.etag))


@router.put(
    "/{group}",
    operation_id="put_group",
    response_model=GroupAnswer,
    responses={201: {"model": GroupAnswer, "description": "Created"}, **problems(400, 404, 412, 413, 507)},
    openapi_extra=json_body(GroupPut, refund=_EXAMPLE) | CREATES_OR_CHANGES,
)
@requires(KeyScope.DATA_WRITE)
async def put_group(request: Request, collection: CollectionName, group: ItemKey) -> Response:
    """Create or replace a group. If-None-Match: * only creates, If-Match only replaces what was seen."""
    wanted = await read_body(request, GroupPut)
    put, created = await services(request).groups.put(collection, group, wanted, read_precondition(request))
    return answer(put, status=201 if created else 200, headers=etag(put.etag))


@router.patch(
    "/{group}",
    operation_id="change_group",
    response_model=GroupAnswer,
    responses=problems(400, 404, 412, 413, 507),
    openapi_extra=json_body(GroupPatch, title={"title": "Refunds"}) | CHANGES,
)
@requires(KeyScope.DATA_WRITE)
async def change_group(request: Request, collection: CollectionName, group: ItemKey) -> Response:
    """Change what is given, keep the rest."""
    patch = await read_body(request, GroupPatch)
    changed = await services(request).groups.change(collection, group, patch, read_precondition(request))
    return answer(changed, headers=etag(changed.etag))


@router.delete(
    "/{group}",
    operation_id="delete_group",
    status_code=204,
    responses=problems(404, 409, 412, 507),
    openapi_extra=CHANGES,
)
@requires(KeyScope.DATA_WRITE)
async def delete_group(
    request: Request,
    collection: CollectionName,
    group: ItemKey,
    records: Annotated[RecordsOf | None, Query(description="what becomes of its records")] = None,
) -> Response:
    """Delete a group; one that has records needs ?records=delete or ?records=detach."""
    await services(request).groups.delete(collection, group, records, read_precondition(request))
    return Response(status_code=204)
