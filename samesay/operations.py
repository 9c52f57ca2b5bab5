"""Methods that are described once and are there in both clients: blocking in one, to be awaited in the other.

    class Groups(Resource[X]):
        @operation
        def get(self, group: str) -> Call[Group]: ...

    Groups(SyncTransport(...), ...).get("g1")           # a Group
    await Groups(AsyncTransport(...), ...).get("g1")    # a Group

Type checkers see both, by the overloads of `__get__`.
"""

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast, overload

from samesay.calls import Call, path
from samesay.plans import Items, Plan
from samesay.sending import sent
from samesay.transports import AsyncTransport, SyncTransport

P = ParamSpec("P")
T = TypeVar("T")
X = TypeVar("X", bound=SyncTransport | AsyncTransport)


class Resource(Generic[X]):
    """A part of the API.

    Args:
        transport: Does what is described.
    """

    def __init__(self, transport: X) -> None:
        self._transport: X = transport

    def _sent(self, call: Call[T]) -> Plan[T]:
        return sent(call, self._transport.retries)


class OfCollection(Resource[X]):
    """A part of the API that belongs to one collection.

    Args:
        transport: Does what is described.
        collection: The collection's name.
    """

    def __init__(self, transport: X, collection: str) -> None:
        super().__init__(transport)
        self._collection = collection

    def _path(self, *steps: str | int, verb: str | None = None) -> str:
        return path("v1", "collections", self._collection, *steps) + (f":{verb}" if verb else "")


class Operation(Generic[P, T]):
    """A method whose plan comes to one result."""

    def __init__(self, plan: Callable[..., Plan[T]]) -> None:
        functools.update_wrapper(cast(Any, self), plan)
        self._plan = plan

    @overload
    def __get__(self, resource: None, owner: object = None) -> Self: ...

    @overload
    def __get__(self, resource: Resource[SyncTransport], owner: object = None) -> Callable[P, T]: ...

    @overload
    def __get__(
        self, resource: Resource[AsyncTransport], owner: object = None
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...

    def __get__(self, resource: Any, owner: object = None) -> Any:
        if resource is None:
            return self

        @functools.wraps(self._plan)
        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return resource._transport.run(self._plan(resource, *args, **kwargs))

        return method


class Listing(Generic[P, T]):
    """A method whose plan comes to items, one after the other."""

    def __init__(self, items: Callable[..., Items[T]]) -> None:
        functools.update_wrapper(cast(Any, self), items)
        self._items = items

    @overload
    def __get__(self, resource: None, owner: object = None) -> Self: ...

    @overload
    def __get__(self, resource: Resource[SyncTransport], owner: object = None) -> Callable[P, Iterator[T]]: ...

    @overload
    def __get__(self, resource: Resource[AsyncTransport], owner: object = None) -> Callable[P, AsyncIterator[T]]: ...

    def __get__(self, resource: Any, owner: object = None) -> Any:
        if resource is None:
            return self

        @functools.wraps(self._items)
        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return resource._transport.iterate(self._items(resource, *args, **kwargs))

        return method


def operation(describe: Callable[Concatenate[Any, P], Call[T]]) -> Operation[P, T]:
    """A method that is one call."""

    @functools.wraps(describe)
    def plan(resource: Resource[Any], *args: P.args, **kwargs: P.kwargs) -> Plan[T]:
        return resource._sent(describe(resource, *args, **kwargs))

    return Operation(plan)


def planned(plan: Callable[Concatenate[Any, P], Plan[T]]) -> Operation[P, T]:
    """A method that is several steps."""
    return Operation(plan)


def listing(items: Callable[Concatenate[Any, P], Items[T]]) -> Listing[P, T]:
    """A method whose results are iterated over."""
    return Listing(items)
