"""Query parameters that a route does not know are refused: an ignored dry-run=true would write."""

from itertools import islice
from typing import Final

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute

from app.errors import FieldProblem, InvalidValueError
from app.http.errors import ERROR_FORM
from app.unknown_names import unknown

_OURS: Final = "/v1/"
_MOST_NAMED: Final = 100
_LONGEST_NAME: Final = 64


def check_query(request: Request) -> None:
    """Refuse parameters that the route does not know; the routes of other APIs take what their clients send.

    The short way (app/hot_routes.py) finds no route of FastAPI: it takes only the queries that it knows whole.

    Raises:
        InvalidValueError: There are some; each is named, with those that are known.
    """
    scope = request.scope
    if not scope["query_string"]:
        return
    route = scope.get("route")
    if isinstance(route, APIRoute) and scope["path"].startswith(_OURS) and ERROR_FORM not in scope:
        _refuse_unknown(request, _names_of(route))


def _names_of(route: APIRoute) -> list[str]:
    parameters = get_flat_params(route.dependant)
    return sorted(parameter.alias for parameter in parameters if isinstance(parameter.field_info, Query))


def _refuse_unknown(request: Request, known: list[str]) -> None:
    strange = (name for name in request.query_params if name not in known)
    problems = [
        FieldProblem(name[:_LONGEST_NAME], unknown("query parameter", name, known))
        for name in islice(strange, _MOST_NAMED)
    ]
    if problems:
        raise InvalidValueError.of(problems, whole="the query")
