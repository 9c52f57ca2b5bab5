"""Threads that nobody waits for: their niceness and slice, as the kernel tells them."""

import ctypes
import os
import platform
import struct
import subprocess
import sys
import threading

import pytest

from app.priority import SLICE_NS, let_others_go_first

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux alone")

_SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}


def attributes() -> tuple[int, int]:
    """(niceness, slice in ns) of this thread; sched_getattr(2)."""
    buffer = ctypes.create_string_buffer(56)
    number = _SCHED_GETATTR[platform.machine()]
    assert ctypes.CDLL(None, use_errno=True).syscall(number, 0, buffer, 56, 0) == 0
    fields = struct.unpack("=IIQiIQQQ", buffer.raw[:48])
    return fields[3], fields[5]


def takes_slices() -> bool:
    major, minor = platform.release().split(".")[:2]
    return platform.machine() in _SCHED_GETATTR and (int(major), int(minor.split("-")[0])) >= (6, 12)


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


@pytest.mark.skipif(not takes_slices(), reason="Linux takes slices from 6.12 on")
def test_its_slice_is_long_and_those_that_it_starts_inherit_both() -> None:
    found: list[tuple[int, int]] = []

    def work() -> None:
        let_others_go_first()
        found.append(attributes())
        inner = threading.Thread(target=lambda: found.append(attributes()))
        inner.start()
        inner.join()
        code = "import os; print(os.getpriority(os.PRIO_PROCESS, 0))"
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
        found.append((int(told), SLICE_NS))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(5, SLICE_NS)] * 3
    assert attributes()[1] != SLICE_NS


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
