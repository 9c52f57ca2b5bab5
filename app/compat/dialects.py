"""Which routes tell errors in the form of which other server."""

from collections.abc import Mapping
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from app.compat.openai.errors import openai_error
from app.compat.tei.errors import tei_error
from app.http.errors import ERROR_FORM, ErrorForm

_ROOT: Final = "/"
_MODELS: Final = "/v1/models/"
_FORMS: Final[Mapping[str, ErrorForm]] = {
    "/v1/embeddings": openai_error,
    "/v1/models": openai_error,
    _ROOT: tei_error,
    "/embed": tei_error,
    "/similarity": tei_error,
    "/rerank": tei_error,
    "/info": tei_error,
    "/health": tei_error,
}


class Dialects:
    """Stands before everything that can refuse a request, and says in which form to do so.

    Args:
        app: What comes after.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            form = _form_of(scope["method"], scope["path"])
            if form is not None:
                scope[ERROR_FORM] = form
        await self._app(scope, receive, send)


def _form_of(method: str, path: str) -> ErrorForm | None:
    if path == _ROOT and method != "POST":
        return None  # somebody looks for a page
    return _FORMS.get(path) or (openai_error if path.startswith(_MODELS) else None)
