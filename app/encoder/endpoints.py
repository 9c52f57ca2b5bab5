"""Routes of encoders."""

from fastapi import APIRouter, Request, Response

from app.access.declaring import requires
from app.access.scopes import KeyScope
from app.encoder.schemas import EncoderAnswer
from app.http.body import answer
from app.http.openapi import problems
from app.http.parameters import NameOrSha
from app.schemas import Page
from app.services import services

router = APIRouter(prefix="/v1/encoders", tags=["encoders"])


@router.get("", operation_id="list_encoders", response_model=Page[EncoderAnswer], responses=problems())
@requires(KeyScope.DATA_READ)
async def list_encoders(request: Request) -> Response:
    """List the registered encoders."""
    return answer(Page[EncoderAnswer](items=await services(request).encoders.list_all(), next_cursor=None))


@router.get("/{sha}", operation_id="get_encoder", response_model=EncoderAnswer, responses=problems(404))
@requires(KeyScope.DATA_READ)
async def get_encoder(request: Request, sha: NameOrSha) -> Response:
    """Get one encoder, by its sha256 or its name."""
    return answer(await services(request).encoders.get(sha))
