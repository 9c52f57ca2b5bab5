"""The door of the server: who asks, and may he come in at all. What he may do there is checked at each endpoint."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from starlette.types import Scope

from app.access.caller import ANONYMOUS, CALLER
from app.access.declaring import ADMITTED
from app.access.keyring import Keyring
from app.access.refusals import REFUSAL, Refusal, RefusalLog
from app.errors import ForbiddenError

_SAFE_SITES: Final = frozenset({b"same-origin", b"none"})


class Door:
    """Lets requests in; for one thread.

    Args:
        keyring: Knows the keys.
        count: Counts refusals by their reasons.
        open_paths: Methods and paths that are answered without a key.
        origins: Sites whose pages may ask, beside the server's own.
    """

    def __init__(
        self,
        keyring: Keyring,
        count: Callable[[str], None],
        open_paths: frozenset[tuple[str, str]],
        origins: Iterable[str] = (),
    ) -> None:
        self._keyring = keyring
        self._open_paths = open_paths
        self._origins = frozenset(origin.encode() for origin in origins)
        self._refusals = RefusalLog(count)

    def enter(self, scope: Scope) -> None:
        """Note in the ASGI scope who asks.

        Raises:
            UnauthorisedError: A key is wanted, and there is none, or a bad one.
            RateLimitedError: The key has asked for too much.
            ForbiddenError: No key is wanted, and it is not this machine's user who asks but a page that he looks at.
        """
        if (scope["method"], scope["path"]) in self._open_paths:
            scope[ADMITTED] = True
            return
        if self._keyring.is_required:
            self._keyring.admit(scope, _find(scope, b"authorization"))
            return
        self._refuse_other_sites(scope)
        scope[CALLER] = ANONYMOUS

    def close(self, scope: Scope) -> None:
        """Count a request that was refused, here or by an endpoint."""
        if REFUSAL in scope:
            self._refusals.tell(scope)

    def _refuse_other_sites(self, scope: Scope) -> None:
        """A server without keys trusts whoever is on this machine, but not the web pages that his browser shows.

        A page can send a POST anywhere, and a name that its owner points at 127.0.0.1 makes it look like our own.
        """
        host, origin = _find(scope, b"host") or b"", _find(scope, b"origin")
        is_ours = origin is None or origin.partition(b"://")[2] == host
        is_ours = is_ours and _find(scope, b"sec-fetch-site", b"none") in _SAFE_SITES
        if not _is_here(host) or not (is_ours or origin in self._origins):
            scope[REFUSAL] = Refusal.OTHER_SITE
            raise ForbiddenError(
                "this server wants no key, and so answers only what is sent to 127.0.0.1 or localhost, and no web page "
                "of another site: set SAMESAY_API_KEY, and SAMESAY_CORS_ORIGINS for pages of yours"
            )


def _find(scope: Scope, name: bytes, default: bytes | None = None) -> bytes | None:
    for key, value in scope["headers"]:  # three times as fast as a generator: this is on the way of every request
        if key == name:
            found: bytes = value
            return found
    return default


@lru_cache(maxsize=64)
def _is_here(host: bytes) -> bool:
    """Whether the Host header names this machine."""
    name = host.decode("latin-1").lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
