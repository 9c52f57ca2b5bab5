"""Routes of the audit log."""

from fastapi import APIRouter, Request, Response

from app.access.declaring import requires
from app.access.scopes import KeyScope
from app.audit.schemas import AuditAnswer
from app.http.body import answer
from app.http.openapi import problems
from app.http.parameters import Cursor, Limit
from app.schemas import Page
from app.services import services

router = APIRouter(tags=["access"])


@router.get("/v1/audit", operation_id="list_audit", response_model=Page[AuditAnswer], responses=problems())
@requires(KeyScope.ADMIN)
async def list_audit(request: Request, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """List what was changed, by whom and when, newest first. Records are left out: the change log has them."""
    return answer(await services(request).audit.list_page(cursor, limit))
