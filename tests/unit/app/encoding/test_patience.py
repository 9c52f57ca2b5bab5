"""A result is waited for only as long as its caller waits."""

import asyncio

import pytest
from starlette.requests import ClientDisconnect

from app.encoding import patience


def test_the_work_of_a_caller_that_hangs_up_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "SOON_S", 0.01)

    async def scenario() -> None:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def hang_up() -> dict[str, str]:
            return {"type": "http.disconnect"}

        with pytest.raises(ClientDisconnect):
            await patience.while_wanted(future, hang_up)
        assert future.done()

    asyncio.run(scenario())


def test_a_patient_caller_gets_a_late_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "SOON_S", 0.01)

    async def scenario() -> str:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()
        loop.call_later(0.1, future.set_result, "late")
        return await patience.while_wanted(future, asyncio.Event().wait)  # type: ignore[arg-type]

    assert asyncio.run(scenario()) == "late"
