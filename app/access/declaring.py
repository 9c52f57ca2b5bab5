"""What each route says about who may use it. A route that says nothing is refused before the server starts.

The check is where the endpoint is called, so that it holds on whatever way a request came there; see docs/adr/0021.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import Any, Final, TypeVar, cast

from fastapi import APIRouter, FastAPI, Request, Response

from app.access.caller import CALLER, Caller, caller_of
from app.access.queries import check_query
from app.access.refusals import REFUSAL, Refusal
from app.access.scopes import KeyScope
from app.audit.service import Deed
from app.errors import ForbiddenError, NotAuditedError, ServiceError, UndeclaredRouteError
from app.http.errors import REQUEST_ID
from app.services import services

ADMITTED: Final = "samesay.admitted"
"""Key in the ASGI scope, set once a request was found to be allowed: nothing is answered without."""

_DECLARED: Final = "__samesay_access__"
_TARGET: Final = "samesay.target"
_COLLECTION: Final = "samesay.collection"
_READING: Final = frozenset({"GET", "HEAD"})

Endpoint = TypeVar("Endpoint", bound=Callable[..., Awaitable[Response]])


class Reach(StrEnum):
    """What a route is about, and so what a key of some collections only may do with it."""

    COLLECTION = "collection"
    """The collection in its path: only those of the key."""

    JOB = "job"
    """The job in its path: only those of the key's collections."""

    OWN = "own"
    """A list: the endpoint leaves out what is not of the key's collections."""

    NOTHING = "nothing"
    """No collection's data: any key."""

    ALL = "all"
    """The server as a whole: a key of all collections."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use a route.

    Attributes:
        scopes: Any of these allows it; none means that any key does.
        reach: What it is about.
        is_open: Whether no key is wanted at all.
        is_audited: Whether it is written into the audit log when it changes something.
    """

    scopes: tuple[KeyScope, ...]
    reach: Reach
    is_open: bool = False
    is_audited: bool = True


def requires(*scopes: KeyScope, reach: Reach | None = None, is_audited: bool = True) -> Callable[[Endpoint], Endpoint]:
    """Declare which keys may use the endpoint, and check it at every call; unknown query parameters too.

    Args:
        scopes: Any of these allows it; none means that any key does.
        reach: What it is about; by default the collection or job among its parameters, and without one all.
        is_audited: False for reads that are no GET, and for data in bulk.
    """

    def declare(endpoint: Endpoint) -> Endpoint:
        access = Access(scopes, reach or _reach_of(endpoint), is_audited=is_audited)

        @wraps(endpoint)
        async def checked(*, request: Request, **given: Any) -> Response:
            caller: Caller | None = request.scope.get(CALLER)
            if caller is None:
                raise UndeclaredRouteError(f"nobody was asked for a key on the way to {request.url.path}")
            if scopes and caller.scopes.isdisjoint(scopes):
                raise _lacks_scope(request, caller, scopes)
            if caller.collections is not None:
                await _check_reach(request, caller, access.reach, given)
            check_query(request)
            request.scope[ADMITTED] = True
            if is_audited and request.method not in _READING:
                return await _audited(endpoint, request, given)
            return await endpoint(request=request, **given)

        setattr(checked, _DECLARED, access)
        return cast(Endpoint, checked)

    return declare


def require_for(request: Request, scope: KeyScope, field: str) -> None:
    """Refuse a request whose body has a field that takes another scope than the route; called by the endpoint.

    Raises:
        ForbiddenError: The key lacks it.
    """
    caller: Caller = request.scope[CALLER]
    if scope not in caller.scopes:
        raise _lacks_scope(request, caller, (scope,), f"{field}: ")


def open_to_all(endpoint: Endpoint) -> Endpoint:
    """Declare that the endpoint is answered without a key; its path has no parameters."""

    @wraps(endpoint)
    async def opened(*, request: Request, **given: Any) -> Response:
        request.scope[ADMITTED] = True
        return await endpoint(request=request, **given)

    setattr(opened, _DECLARED, Access((), Reach.NOTHING, is_open=True, is_audited=False))
    return cast(Endpoint, opened)


def name_target(request: Request, target: str, collection: str | None = None) -> None:
    """Say what the request is about, and what collection that is of, for the audit log, where the path does not."""
    request.scope[_TARGET], request.scope[_COLLECTION] = target, collection


@dataclass(frozen=True, slots=True)
class Declared:
    """A route with what it declares."""

    path: str
    methods: frozenset[str]
    operation_id: str
    access: Access


def declared_routes(app: FastAPI) -> list[Declared]:
    """Every route of the app.

    Raises:
        UndeclaredRouteError: One does not say who may use it.
    """
    own = {app.openapi_url, app.docs_url}  # the framework's, open to all
    return [_declared(prefix, route) for prefix, route in _routes(app.router) if getattr(route, "path", "") not in own]


def open_paths(app: FastAPI) -> frozenset[tuple[str, str]]:
    """Methods and paths that are answered without a key."""
    found = {(method, route.path) for route in declared_routes(app) if route.access.is_open for method in route.methods}
    return frozenset(found | {("GET", path) for path in (app.openapi_url, app.docs_url) if path})


def _routes(router: APIRouter, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for route in router.routes:
        included = getattr(route, "original_router", None)
        if included is None:
            yield prefix, route
        else:  # newer FastAPI keeps the included router as it is
            yield from _routes(included, prefix + getattr(getattr(route, "include_context", None), "prefix", ""))


def _declared(prefix: str, route: Any) -> Declared:
    access: Access | None = getattr(getattr(route, "endpoint", None), _DECLARED, None)
    path = prefix + str(getattr(route, "path_format", getattr(route, "path", route)))
    if access is None:
        raise UndeclaredRouteError(f"{path} does not say who may use it: put @requires(KeyScope....) on its endpoint")
    in_path = access.reach not in (Reach.COLLECTION, Reach.JOB) or f"{{{access.reach}}}" in path
    if not in_path or (access.is_open and "{" in path):
        raise UndeclaredRouteError(f"{path} has not the parameters that its declaration {access} needs")
    return Declared(path, frozenset(route.methods) - {"HEAD"}, str(route.operation_id), access)


def _reach_of(endpoint: Callable[..., Any]) -> Reach:
    parameters = inspect.signature(endpoint).parameters
    named = [reach for reach in (Reach.COLLECTION, Reach.JOB) if reach.value in parameters]
    return named[0] if named else Reach.ALL


def _lacks_scope(request: Request, caller: Caller, scopes: tuple[KeyScope, ...], place: str = "") -> ForbiddenError:
    request.scope[REFUSAL] = Refusal.SCOPE
    wanted = scopes[0] if len(scopes) == 1 else "any of " + ", ".join(scopes)
    return ForbiddenError(f"{place}the {caller.name} lacks the scope {wanted}: use a key that has it")


async def _check_reach(request: Request, caller: Caller, reach: Reach, given: dict[str, Any]) -> None:
    """Refuse what a key of some collections only cannot reach."""
    assert caller.collections is not None
    if reach is Reach.JOB:
        await services(request).jobs.check_is_of(given["job"], caller.collections)
    elif reach is Reach.COLLECTION and given["collection"] not in caller.collections:
        request.scope[REFUSAL] = Refusal.COLLECTION
        raise ForbiddenError(f"the {caller.name} is not for the collection {given['collection'][:63]!r}: use another")
    elif reach is Reach.ALL:
        request.scope[REFUSAL] = Refusal.COLLECTION
        raise ForbiddenError(f"the {caller.name} is for some collections only: this needs a key for all of them")


async def _audited(endpoint: Endpoint, request: Request, given: dict[str, Any]) -> Response:
    """Call the endpoint, and write what it did before anybody is told. What was refused changed nothing."""
    try:
        response = await endpoint(request=request, **given)
    except ServiceError as error:
        if error.status >= 500:  # it may be done, or half done
            await _try_to_write(endpoint, request, error.status)
        raise
    except Exception:
        await _try_to_write(endpoint, request, 500)
        raise
    if response.status_code < 400:
        await _write(endpoint, request, response.status_code, response.headers.get("location"))
    return response


async def _try_to_write(endpoint: Endpoint, request: Request, status: int) -> None:
    """Write it, if that can be done; the error that is on its way says more than that it cannot."""
    with suppress(NotAuditedError):
        await _write(endpoint, request, status)


async def _write(endpoint: Endpoint, request: Request, status: int, location: str | None = None) -> None:
    """Write what was done; what came of it, such as a job, has its id at the end of its location."""
    places = dict(request.path_params)
    collection = places.pop("collection", request.scope.get(_COLLECTION))
    target = request.scope.get(_TARGET) or "/".join(map(str, places.values())) or (location or "").rpartition("/")[2]
    deed = Deed(
        caller=caller_of(request.scope),
        action=endpoint.__name__,
        collection=collection,
        target=target or None,
        status=status,
        request_id=request.scope[REQUEST_ID],
    )
    try:
        await services(request).audit.write(deed)
    except ServiceError as error:
        raise NotAuditedError(
            f"answered {status}, but the audit log could not be written ({error.detail}): look before you repeat it"
        ) from error
