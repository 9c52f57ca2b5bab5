"""Routes of API keys."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from app.access.caller import caller_of
from app.access.declaring import requires
from app.access.schemas import ApiKeyAnswer, ApiKeyCreate, ApiKeyRotate, ApiKeySecret
from app.access.scopes import KeyScope
from app.http.body import answer, read_body
from app.http.openapi import json_body, problems
from app.http.parameters import Cursor, Limit
from app.schemas import Page
from app.services import services

router = APIRouter(prefix="/v1/api-keys", tags=["access"])

KeyId = Annotated[str, Path(max_length=64, description="id of the key", examples=["0123456789abcdef"])]

_KEY = {"name": "chat bot", "scopes": ["search", "classify"], "collections": ["faq"], "rate_limit": 50}


@router.get("", operation_id="list_api_keys", response_model=Page[ApiKeyAnswer], responses=problems())
@requires(KeyScope.ADMIN)
async def list_api_keys(request: Request, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """List the keys, oldest first, revoked ones too; without their secrets, which nobody has."""
    return answer(await services(request).api_keys.list_page(cursor, limit))


@router.post(
    "",
    operation_id="create_api_key",
    status_code=201,
    response_model=ApiKeySecret,
    responses=problems(400, 409, 413, 507),
    openapi_extra=json_body(ApiKeyCreate, bot=_KEY, ingest={"name": "nightly import", "scopes": ["data:write"]}),
)
@requires(KeyScope.ADMIN)
async def create_api_key(request: Request) -> Response:
    """Make a key. Its secret is in this answer only; from the first key on, no request is let in without one."""
    wanted = await read_body(request, ApiKeyCreate)
    made = await services(request).api_keys.create(wanted, caller_of(request.scope))
    return answer(made, status=201, headers={"Location": f"/v1/api-keys/{made.id}"})


@router.get("/{key:name}", operation_id="get_api_key", response_model=ApiKeyAnswer, responses=problems(404))
@requires(KeyScope.ADMIN)
async def get_api_key(request: Request, key: KeyId) -> Response:
    """Get one key, without its secret."""
    return answer(await services(request).api_keys.get(key))


@router.delete("/{key:name}", operation_id="revoke_api_key", status_code=204, responses=problems(404, 507))
@requires(KeyScope.ADMIN)
async def revoke_api_key(request: Request, key: KeyId) -> Response:
    """Refuse a key from now on; every server does so within 5 seconds. It stays in the list, and cannot be had back."""
    await services(request).api_keys.revoke(key)
    return Response(status_code=204)


@router.post(
    "/{key:name}:rotate",
    operation_id="rotate_api_key",
    response_model=ApiKeySecret,
    responses=problems(400, 404, 409, 413, 507),
    openapi_extra=json_body(ApiKeyRotate, at_once={}, in_an_hour={"grace_s": 3600}),
)
@requires(KeyScope.ADMIN)
async def rotate_api_key(request: Request, key: KeyId) -> Response:
    """Give a key a new secret, which is in this answer only; the old one stays good for `grace_s` seconds."""
    wanted = await read_body(request, ApiKeyRotate)
    return answer(await services(request).api_keys.rotate(key, wanted.grace_s))
