"""Two processes that write without a pause take turns: neither waits for more than the other's transaction."""

import multiprocessing
import threading
import time
from multiprocessing.synchronize import Event
from pathlib import Path

from app.db.turn import WriteTurn

HELD_S = 0.02


def write_without_a_pause(database: Path, begun: Event, stopped: Event) -> None:
    turn = WriteTurn(database)
    while not stopped.is_set():
        with turn:
            begun.set()
            time.sleep(HELD_S)
    turn.close()


def test_one_that_writes_without_a_pause_lets_others_in(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    begun, stopped = context.Event(), context.Event()
    other = context.Process(target=write_without_a_pause, args=(tmp_path / "db", begun, stopped))
    other.start()
    try:
        assert begun.wait(30)
        turn, waits = WriteTurn(tmp_path / "db"), []
        for _ in range(30):
            asked = time.monotonic()
            with turn:
                waits.append(time.monotonic() - asked)
        turn.close()
        assert sum(waits) / len(waits) < 5 * HELD_S, "it is passed once at most, not again and again"
    finally:
        stopped.set()
        other.join(30)


def test_nobody_else_is_in_during_a_turn(tmp_path: Path) -> None:
    first, second = WriteTurn(tmp_path / "db"), WriteTurn(tmp_path / "db")
    order: list[str] = []

    def enter_second() -> None:
        with second:
            order.append("second")

    with first:
        thread = threading.Thread(target=enter_second)
        thread.start()
        time.sleep(0.05)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]
    first.close()
    second.close()
