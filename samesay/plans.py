"""Plans: what a method does, step by step, without doing it.

A plan is a generator. It yields steps; a transport does each (blocking, or awaiting) and sends back what came of it, or
throws the transport error that it met. So every method, with its retries, pages and streams, is written once.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx

from samesay.calls import Request

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request and read the whole answer; comes back as httpx.Response."""

    request: Request


@dataclass(frozen=True, slots=True)
class Open:
    """Send a request and read no more than the answer's head, unless it is a refusal; comes back as httpx.Response."""

    request: Request


@dataclass(frozen=True, slots=True)
class Next:
    """Read the next piece of an open answer; comes back as bytes, None at its end."""

    response: httpx.Response


@dataclass(frozen=True, slots=True)
class Close:
    """Read no more of an open answer. What a plan leaves open is closed at its end."""

    response: httpx.Response


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Item:
    """Hand a value to whoever iterates."""

    value: Any


Step = Send | Open | Next | Close | Pause | Item
Plan = Generator[Step, Any, T]


@dataclass(frozen=True, slots=True)
class Items(Generic[T]):
    """A plan whose items are of this type."""

    plan: Plan[None]


def send(request: Request) -> Plan[httpx.Response]:
    """Step Send, typed."""
    response: httpx.Response = yield Send(request)
    return response


def open_answer(request: Request) -> Plan[httpx.Response]:
    """Step Open, typed."""
    response: httpx.Response = yield Open(request)
    return response


def next_piece(response: httpx.Response) -> Plan[bytes | None]:
    """Step Next, typed."""
    piece: bytes | None = yield Next(response)
    return piece


def tapped(items: Items[T], on_item: Callable[[T], None]) -> Plan[None]:
    """A plan without items, that hands them to a function."""
    plan = items.plan
    try:
        step = next(plan)
        while True:
            if isinstance(step, Item):
                on_item(step.value)
                step = plan.send(None)
                continue
            try:
                reply = yield step
            except httpx.TransportError as error:
                step = plan.throw(error)
            else:
                step = plan.send(reply)
    except StopIteration:
        return
    finally:
        plan.close()
