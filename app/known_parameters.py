"""Refusing query parameters that a route does not have: a dry run with a misspelt name would write."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from app.errors import FieldProblem, InvalidValueError

_SHOWN: Final = 64


def refuse_unknown_parameters(request: Request) -> None:
    """Look at the names in the query of a request.

    Raises:
        InvalidValueError: The route has no parameter of such a name.
    """
    if not request.scope["query_string"]:
        return
    route = request.scope.get("route")
    assert isinstance(route, APIRoute)
    known = sorted(_names(route.dependant))
    problems = [FieldProblem(name[:_SHOWN], _reason(name, known)) for name in request.query_params if name not in known]
    if problems:
        raise InvalidValueError(f"{problems[0].pointer}: {problems[0].detail}", errors=problems)


def _names(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.query_params)
    for further in dependant.dependencies:
        yield from _names(further)


def _reason(name: str, known: list[str]) -> str:
    near = get_close_matches(name[:_SHOWN].lower(), known, 1)
    if near:
        return f"no such parameter; did you mean {near[0]}?"
    return f"no such parameter; known are {', '.join(known)}" if known else "no such parameter: there are none here"


KNOWN_PARAMETERS: Final = Depends(refuse_unknown_parameters)
"""For routers; those that other people's clients ask take whatever these send."""
