"""Routes of records."""

from functools import partial

from fastapi import APIRouter, Request, Response

from app.access.charging import charge
from app.access.declaring import requires
from app.access.scopes import KeyScope
from app.http.body import answer, read_body
from app.http.openapi import json_body, problems
from app.http.parameters import COLLECTION, CollectionName, Cursor, ItemKey, Limit, Wait, WaitFor
from app.http.preconditions import CHANGES, CREATES_OR_CHANGES, etag, read_precondition
from app.idempotency.attempts import IdempotencyKey, attempt_of
from app.record.schemas import (
    BatchAnswer,
    BatchRequest,
    DeleteAnswer,
    EraseAnswer,
    EraseRequest,
    RecordAnswer,
    RecordPut,
    WriteAnswer,
)
from app.schemas import Page
from app.services import services

router = APIRouter(prefix=COLLECTION, tags=["records"])

_RECORD = {"text": "How do I get my money back?", "group": "refund", "metadata": {"channel": "mail"}}
_BATCH = {
    "upsert": [{"id": "r1", "text": "How do I get my money back?", "group": "refund"}],
    "delete": ["r9"],
}


@router.get("/records", operation_id="list_records", response_model=Page[RecordAnswer], responses=problems(404))
@requires(KeyScope.DATA_READ)
async def list_records(
    request: Request, collection: CollectionName, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List the records of a collection, oldest first."""
    return answer(await services(request).records.list_page(collection, cursor, limit))


@router.get("/records/{record}", operation_id="get_record", response_model=RecordAnswer, responses=problems(404))
@requires(KeyScope.DATA_READ)
async def get_record(request: Request, collection: CollectionName, record: ItemKey) -> Response:
    """Get one record."""
    found = await services(request).records.get(collection, record)
    return answer(found, headers=etag(found.etag))


@router.put(
    "/records/{record}",
    operation_id="put_record",
    response_model=WriteAnswer,
    responses={201: {"model": WriteAnswer, "description": "Created"}, **problems(400, 404, 409, 412, 413, 507)},
    openapi_extra=json_body(RecordPut, refund=_RECORD) | CREATES_OR_CHANGES,
)
@requires(KeyScope.DATA_WRITE, is_audited=False)
async def put_record(
    request: Request, collection: CollectionName, record: ItemKey, wait: WaitFor = Wait.COMMITTED
) -> Response:
    """Create or replace a record; durable when answered. The same content again changes nothing."""
    wanted = await read_body(request, RecordPut)
    precondition = read_precondition(request)
    written, created = await services(request).records.put(collection, record, wanted, wait, precondition)
    return answer(written, status=201 if created else 200, headers=etag(written.etag))


@router.delete(
    "/records/{record}",
    operation_id="delete_record",
    status_code=204,
    responses={202: {"model": DeleteAnswer, "description": "Deleted, not visible yet"}, **problems(404, 409, 412, 507)},
    openapi_extra=CHANGES,
)
@requires(KeyScope.DATA_WRITE, is_audited=False)
async def delete_record(
    request: Request, collection: CollectionName, record: ItemKey, wait: WaitFor = Wait.COMMITTED
) -> Response:
    """Delete a record; durable when answered. With wait=visible, 202 says that searches may find it for a while."""
    visible = await services(request).records.delete(collection, record, wait, read_precondition(request))
    return answer(DeleteAnswer(visible=False), status=202) if visible is False else Response(status_code=204)


@router.post(
    "/records:batch",
    operation_id="change_records",
    response_model=BatchAnswer,
    responses=problems(400, 404, 409, 413, 507),
    openapi_extra=json_body(BatchRequest, batch=_BATCH),
)
@requires(KeyScope.DATA_WRITE, is_audited=False)
async def change_records(
    request: Request,
    collection: CollectionName,
    wait: WaitFor = Wait.COMMITTED,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Upsert and delete up to 1,000 records in one transaction; each item has a status of its own."""
    body = await request.body()
    attempt, count = attempt_of(request, idempotency_key, body), partial(charge, request.scope)
    return answer(await services(request).records.change_batch(collection, body, wait, attempt, count))


@router.post(
    "/records:erase",
    operation_id="erase_records",
    response_model=EraseAnswer,
    responses=problems(400, 404, 413, 503, 507),
    openapi_extra=json_body(EraseRequest, person={"ids": ["r1", "r9"]}),
)
@requires(KeyScope.DATA_WRITE)
async def erase_records(request: Request, collection: CollectionName) -> Response:
    """Delete up to 1,000 records and overwrite every copy the service has of them; takes as long as a new index does.

    Gone when answered: the records, their vectors, texts and metadata in the index and in all snapshots, feedback and
    kept queries with the same texts, all examples of shadows, the answers kept for Idempotency-Key that name them, and
    what the database's file held of all that. No server stores a query any more that it was asked before. Out of its
    reach: backups, what a trained encoder keeps (its vocabulary, hashes of grams, names of groups and labels, weights)
    as long as it is kept, and the log of PostgreSQL.
    """
    wanted = await read_body(request, EraseRequest)
    return answer(await services(request).eraser.erase(collection, wanted.ids))
