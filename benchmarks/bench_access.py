"""What the check of a key and of its rate costs a request on the hot path, beside the same middleware without it.

python -m benchmarks access [--keys 1000] [--requests 20000]
Requests go through the middleware and the short way to an endpoint that answers at once, without a socket; the ways
take turns, and of each the median of all requests is told.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fastapi import Request, Response
from sqlalchemy.orm import Session
from starlette.types import Message, Scope

from app.access.caller import ANONYMOUS, CALLER
from app.access.declaring import requires
from app.access.door import Door
from app.access.key_format import format_key, new_id, new_secret
from app.access.keyring import Keyring
from app.access.scopes import KeyScope
from app.access.tables import ApiKey
from app.db.database import Database
from app.db.opening import open_database
from app.hot_routes import HotRoutes
from app.middleware import ServiceMiddleware
from app.observability.metrics import Metrics
from app.settings import Settings

ROUNDS: Final = 20
SETTINGS_KEY: Final = "the key of the settings"
PATH: Final = "/v1/collections/faq:search"
BODY: Final = b'{"query": "how do I get my money back", "k": 10}'


class NoDoor(Door):
    """Asks nobody."""

    def __init__(self) -> None:
        """Nothing to know."""

    def enter(self, scope: Scope) -> None:
        scope[CALLER] = ANONYMOUS

    def close(self, scope: Scope) -> None:
        """Nothing was refused."""


@dataclass(frozen=True, slots=True)
class Way:
    """One kind of request."""

    app: ServiceMiddleware
    key: str | None

    def ask(self) -> float:
        """Seconds of one request."""
        scope = self._scope()
        started = time.perf_counter()
        _run(self.app(scope, _receive, _send))
        return time.perf_counter() - started

    def _scope(self) -> Scope:
        headers = [(b"host", b"127.0.0.1:8765"), (b"user-agent", b"bench"), (b"content-type", b"application/json")]
        if self.key is not None:
            headers.append((b"authorization", f"Bearer {self.key}".encode()))
        return {
            "type": "http",
            "method": "POST",
            "path": PATH,
            "raw_path": PATH.encode(),
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 1),
        }


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(Settings(data=Path(folder)))
        try:
            ways = _ways(database, arguments.keys)
        finally:
            database.close()
        medians = measure(ways, arguments.requests)
    base = medians["without a check"]
    for name, median in medians.items():
        print(f"{name:36} {median:6.2f} us a request, {median - base:5.2f} us more", flush=True)
    print(json.dumps({"keys": arguments.keys, **{name: round(median - base, 2) for name, median in medians.items()}}))


def measure(ways: dict[str, Way], requests: int) -> dict[str, float]:
    """Microseconds of the median request of each way."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            seconds[name] += [way.ask() for _ in range(requests // ROUNDS)]
    return {name: 1e6 * statistics.median(found) for name, found in seconds.items()}


def _ways(database: Database, n_keys: int) -> dict[str, Way]:
    open_ring = Keyring(database)
    keys = database.write(lambda session: _add_keys(session, n_keys)).result()
    plain, limited = Keyring(database, api_key=SETTINGS_KEY), Keyring(database, rate_limit=1e9)
    return {
        "without a check": Way(_app(lambda _: NoDoor()), None),
        "a server without keys": Way(_app(_door(open_ring)), None),
        "the key of the settings": Way(_app(_door(plain)), SETTINGS_KEY),
        "a key of the database": Way(_app(_door(plain)), keys[n_keys // 2]),
        "a key of the database, with a rate": Way(_app(_door(limited)), keys[n_keys // 2]),
    }


def _door(keyring: Keyring) -> Callable[[Metrics], Door]:
    return lambda metrics: Door(keyring, metrics.refused, frozenset({("GET", "/livez")}))


def _add_keys(session: Session, n_keys: int) -> list[str]:
    made = [(new_id(), new_secret()) for _ in range(n_keys)]
    for key, secret in made:
        fields: dict[str, Any] = {"scopes": ["search", "classify"], "collections": ["faq"], "created_by": "bench"}
        session.add(ApiKey(key=key, name=key, digest=secret.digest, **fields))
    return [format_key(key, secret.secret) for key, secret in made]


def _app(make_door: Callable[[Metrics], Door]) -> ServiceMiddleware:
    metrics = Metrics()
    hot = HotRoutes(_nothing, verbs={"search": _search}, put_record=_search)
    return ServiceMiddleware(
        hot,
        metrics=metrics,
        door=make_door(metrics),
        max_body_bytes=2**20,
        max_bodies_bytes=2**24,
        max_upload_bytes=2**20,
    )


@requires(KeyScope.SEARCH, is_audited=False)
async def _search(request: Request, collection: str) -> Response:
    await request.body()
    return Response(b"{}", media_type="application/json")


async def _nothing(*_: object) -> None:
    raise AssertionError("every request is for the short way")


async def _receive() -> Message:
    return {"type": "http.request", "body": BODY, "more_body": False}


async def _send(message: Message) -> None:
    if message["type"] == "http.response.start" and message["status"] != 200:
        raise AssertionError(message)


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run what waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits for something")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=20_000)
    return parser.parse_args()


if __name__ == "__main__":
    main()
