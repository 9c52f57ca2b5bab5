"""Threads that nobody waits for: their niceness, as the kernel tells it."""

import os
import subprocess
import sys
import threading

import pytest

from app.priority import let_others_go_first

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux alone")


def test_a_thread_alone_is_lowered() -> None:
    before, found = os.getpriority(os.PRIO_PROCESS, 0), []

    def work() -> None:
        let_others_go_first(7)
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [7]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_what_it_starts_later_inherits_it() -> None:
    found: list[int] = []

    def tell() -> None:
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    def work() -> None:
        let_others_go_first()
        inner = threading.Thread(target=tell)
        inner.start()
        inner.join()
        code = "import os; print(os.getpriority(os.PRIO_PROCESS, 0))"
        found.append(int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [5, 5]


def test_a_system_that_refuses_leaves_all_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    before = os.getpriority(os.PRIO_PROCESS, 0)
    let_others_go_first(9)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_elsewhere_it_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(os, "setpriority", lambda *_: 1 / 0)
    let_others_go_first()
