"""Who asks: what is written beside everything that somebody ordered, and what he may do."""

from dataclasses import dataclass
from typing import Final

from starlette.types import Scope

from app.access.limits import Bucket
from app.access.scopes import EVERY_SCOPE, KeyScope

CALLER: Final = "samesay.caller"
"""Key of the Caller in the ASGI scope; missing where nobody was asked who he is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sent a request.

    Attributes:
        name: What is written beside what he orders.
        scopes: What he may do.
        collections: Names of the collections that he may do it to; None for all.
        bucket: What he may still ask for; None for no limit.
    """

    name: str
    scopes: frozenset[KeyScope] = EVERY_SCOPE
    collections: frozenset[str] | None = None
    bucket: Bucket | None = None


ANONYMOUS: Final = Caller(name="anonymous")
"""Who asks a server that wants no key."""

COMMAND_LINE: Final = "command line"
"""Name of who works on the data folder itself."""


def caller_of(scope: Scope) -> str:
    """The name of who sent this request."""
    caller: Caller = scope.get(CALLER, ANONYMOUS)
    return caller.name


def collections_of(scope: Scope) -> frozenset[str] | None:
    """The collections that whoever sent this request may see; None for all."""
    caller: Caller = scope[CALLER]
    return caller.collections
