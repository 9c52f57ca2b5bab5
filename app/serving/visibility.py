"""Who waits for which change to become searchable."""

import asyncio
import threading


class Visibility:
    """How far each collection can be searched, and the callers that wait for more. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards both dicts
        self._visible: dict[int, int] = {}
        self._waiting: dict[int, list[tuple[int, asyncio.AbstractEventLoop, asyncio.Future[bool]]]] = {}

    async def wait(self, collection_id: int, seq: int, timeout_s: float) -> bool:
        """Wait until the change is searchable; False when it took too long or the collection is gone."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        with self._lock:
            if self._visible.get(collection_id, 0) >= seq:
                return True
            self._waiting.setdefault(collection_id, []).append((seq, loop, future))
        try:
            return await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            return False
        finally:
            self._forget(collection_id, future)

    def advance(self, collection_id: int, seq: int) -> None:
        """Tell those who wait for a change up to `seq`."""
        with self._lock:
            self._visible[collection_id] = seq
            waiting = self._waiting.get(collection_id)
            if not waiting:
                return
            ready = [waiter for waiter in waiting if waiter[0] <= seq]
            self._waiting[collection_id] = [waiter for waiter in waiting if waiter[0] > seq]
        _resolve(ready, True)

    def drop(self, collection_id: int) -> None:
        """The collection is gone: nobody needs to wait longer."""
        with self._lock:
            self._visible.pop(collection_id, None)
            gone = self._waiting.pop(collection_id, [])
        _resolve(gone, False)

    def _forget(self, collection_id: int, future: "asyncio.Future[bool]") -> None:
        with self._lock:
            waiting = self._waiting.get(collection_id)
            if waiting is not None:
                waiting[:] = [waiter for waiter in waiting if waiter[2] is not future]
                if not waiting:
                    del self._waiting[collection_id]


def _resolve(waiters: list[tuple[int, asyncio.AbstractEventLoop, "asyncio.Future[bool]"]], visible: bool) -> None:
    for _, loop, future in waiters:
        loop.call_soon_threadsafe(_set, future, visible)


def _set(future: "asyncio.Future[bool]", visible: bool) -> None:
    if not future.done():
        future.set_result(visible)
