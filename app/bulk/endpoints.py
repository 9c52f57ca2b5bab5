"""Routes of imports and exports."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from app.access.declaring import requires
from app.access.scopes import KeyScope
from app.bulk.forms import CONTENT_TYPES
from app.bulk.schemas import ExportRequest
from app.bulk.service import DEFAULT_REJECTED, FileOf, ImportOptions
from app.http.body import read_body
from app.http.openapi import json_body, problems
from app.http.parameters import COLLECTION, CollectionName
from app.idempotency.attempts import Attempt, IdempotencyKey, attempt_of
from app.job.endpoints import JobKey, accepted
from app.job.schemas import JobAnswer
from app.services import services

router = APIRouter(tags=["bulk"])

_EXAMPLES: Final = {
    "application/x-ndjson": '{"id": "r1", "text": "how do I get my money back", "group": "refund"}\n',
    "text/csv": "id,group,text\nr1,refund,how do I get my money back\n",
    "text/tab-separated-values": "group\ttext\nrefund\thow do I get my money back\n",
}


def _example(content_type: str) -> dict[str, Any]:
    """An example of an upload, where one can be read."""
    return {"examples": {"one": {"value": _EXAMPLES[content_type]}}} if content_type in _EXAMPLES else {}


_UPLOAD: Final = {
    "requestBody": {
        "required": True,
        "description": "the file itself; Content-Encoding: gzip or zstd where it is packed",
        "content": {
            name: {"schema": {"type": "string", "format": "binary"}} | _example(name) for name in CONTENT_TYPES
        },
    }
}


@router.post(
    f"{COLLECTION}/imports",
    operation_id="start_import",
    status_code=202,
    response_model=JobAnswer,
    responses=problems(404, 409, 413, 415, 507),
    openapi_extra=_UPLOAD,
)
@requires(KeyScope.DATA_WRITE)
async def start_import(
    request: Request,
    collection: CollectionName,
    columns: Annotated[
        str,
        Query(
            max_length=2000,
            description="the file's column for some of ours: text:question,group:intent; "
            "a pair with a comma is quoted as in CSV",
        ),
    ] = "",
    dry_run: Annotated[bool, Query(description="only say what would be new, changed, unchanged or rejected")] = False,
    max_rejected: Annotated[
        int, Query(ge=0, le=2**31 - 1, description="rows that may be rejected; with one more the import fails")
    ] = DEFAULT_REJECTED,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Upload a file of records: the job that stores them. The same record again changes nothing."""

    def attempt(digest: str) -> Attempt | None:
        said = [request.headers.get(name, "") for name in ("content-type", "content-encoding")]
        return attempt_of(request, idempotency_key, "\n".join([request.url.query, *said, digest]).encode())

    options = ImportOptions(columns=columns, dry_run=dry_run, max_rejected=max_rejected)
    started = await services(request).bulk.start_import(collection, request.headers, request.stream(), options, attempt)
    return accepted(started)


@router.post(
    f"{COLLECTION}/exports",
    operation_id="start_export",
    status_code=202,
    response_model=JobAnswer,
    responses=problems(400, 404, 409, 413, 507),
    openapi_extra=json_body(ExportRequest, parquet={"format": "parquet", "vectors": True}),
)
@requires(KeyScope.DATA_READ)
async def start_export(
    request: Request, collection: CollectionName, idempotency_key: IdempotencyKey = None
) -> Response:
    """Write all groups and records to a file, as they are at one moment; importing it gives the same collection."""
    wanted = await read_body(request, ExportRequest)
    attempt = attempt_of(request, idempotency_key, await request.body())
    return accepted(await services(request).bulk.start_export(collection, wanted, attempt))


@router.get(
    "/v1/jobs/{job}/results",
    operation_id="get_import_results",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "a line for each row: line, status, code, id, detail",
            "content": {"application/x-ndjson": {}},
        },
        **problems(404),
    },
)
@requires(KeyScope.DATA_READ, KeyScope.DATA_WRITE)
async def get_import_results(request: Request, job: JobKey) -> Response:
    """Get what became of each row of an import, as far as it is."""
    return _file(await services(request).bulk.results(job))


@router.get(
    "/v1/jobs/{job}/file",
    operation_id="get_export_file",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "the export",
            "content": {"application/x-ndjson": {}, "application/vnd.apache.parquet": {}},
        },
        **problems(404, 409),
    },
)
@requires(KeyScope.DATA_READ)
async def get_export_file(request: Request, job: JobKey) -> Response:
    """Get the file that an export has written; it is kept for a week at most, and goes with its collection."""
    return _file(await services(request).bulk.file(job))


def _file(found: FileOf) -> Response:
    headers = {"Content-Length": str(found.size), "Content-Disposition": f'attachment; filename="{found.name}"'}
    return StreamingResponse(found.read(), media_type=found.media_type, headers=headers)
