"""Who asks: what is written beside everything that somebody ordered."""

from typing import Final

from starlette.types import Scope

CALLER: Final = "samesay.caller"
"""Key of the caller's name in the ASGI scope."""

ANONYMOUS: Final = "anonymous"
"""Who asks a server that wants no key."""

ADMIN_KEY: Final = "admin key"
"""Who asks with the key in SAMESAY_API_KEY."""


def caller_of(scope: Scope) -> str:
    """The name of who sent this request."""
    return str(scope.get(CALLER, ANONYMOUS))
