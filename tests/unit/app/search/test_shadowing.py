"""What a shadow counted, when the server ends."""

import threading
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.errors import StorageError, StorageFullError
from app.release.shadow import Tally
from app.search.shadowing import Shadows, _Series


@pytest.mark.parametrize("error", [StorageError("it is away"), StorageFullError("the disk is full")])
def test_a_database_that_takes_nothing_at_the_end_is_a_warning(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    died, asked = list[object](), list[object]()
    monkeypatch.setattr(threading, "excepthook", died.append)

    def write(unit: object) -> "Future[None]":
        asked.append(unit)
        refused: Future[None] = Future()
        refused.set_exception(error)
        return refused

    shadows = Shadows(cast(Any, None), cast(Any, SimpleNamespace(write=write)))
    shadows._tallies[_Series(1, 2, 1, 0)] = Tally()
    shadows.start()
    shadows.stop()
    assert asked and not died
    told = capsys.readouterr().out
    assert "shadow_waits" in told and "Traceback" not in told
