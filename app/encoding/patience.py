"""Waiting for a result no longer than its caller does."""

import asyncio
from typing import Any, Final, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from app.errors import OverloadedError

T = TypeVar("T")

SOON_S: Final = 0.1
"""Results that come sooner are not worth the watching."""

DEADLINE_S: Final = 30.0


async def while_wanted(future: "asyncio.Future[T]", receive: Receive) -> T:
    """Await a result; where it takes long, give it up as soon as the caller hangs up, or after DEADLINE_S.

    Raises:
        OverloadedError: The deadline passed.
        ClientDisconnect: The caller has gone.
    """
    timer = asyncio.get_running_loop().call_later(SOON_S, _watch, future, receive)
    try:
        return await future
    finally:
        timer.cancel()


def _watch(future: "asyncio.Future[Any]", receive: Receive) -> None:
    task = asyncio.ensure_future(_give_up_when_gone(future, receive))
    future.add_done_callback(lambda _: task.cancel())


async def _give_up_when_gone(future: "asyncio.Future[Any]", receive: Receive) -> None:
    try:
        async with asyncio.timeout(DEADLINE_S - SOON_S):
            while (await receive())["type"] != "http.disconnect":
                pass
        reason: Exception = ClientDisconnect()
    except TimeoutError:
        reason = OverloadedError(f"no answer within {DEADLINE_S:.0f} s: try again later")
    if not future.done():
        future.set_exception(reason)
