"""The micro-batcher: bounded, fair, and safe from its jobs."""

import asyncio
import threading
import time
from dataclasses import dataclass

import pytest

from app.encoding.batcher import MicroBatcher
from app.errors import NotReadyError, OverloadedError


@dataclass(frozen=True)
class Job:
    name: str
    n_sentences: int = 1
    most_tokens: int = 10
    kind: str | None = "brief"


class Worker:
    """Runs batches only when it is let, and remembers them."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.entered = threading.Event()

    def run(self, jobs: list[Job]) -> list[str]:
        self.entered.set()
        assert self.gate.wait(5)
        self.batches.append([job.name for job in jobs])
        if any(job.name == "bad" for job in jobs):
            raise ValueError("a bad job")
        return [job.name.upper() for job in jobs]


async def blocked(worker: Worker, **options: int) -> "MicroBatcher[Job, str]":
    """A batcher whose worker is busy with a first job."""
    batcher: MicroBatcher[Job, str] = MicroBatcher(worker.run, **{"batch_tokens": 1000, "max_queued": 100, **options})
    batcher.start()
    batcher.submit(Job("first"))
    await asyncio.to_thread(worker.entered.wait, 5)
    return batcher


def test_jobs_that_wait_become_one_batch_and_each_gets_its_own_result() -> None:
    async def scenario() -> None:
        worker = Worker()
        batcher = await blocked(worker)
        futures = [batcher.submit(Job(name)) for name in "abc"]
        worker.gate.set()
        assert await asyncio.gather(*futures) == ["A", "B", "C"]
        assert worker.batches == [["first"], ["a", "b", "c"]]
        assert batcher.queued == 0
        batcher.stop()

    asyncio.run(scenario())


def test_a_batch_holds_no_more_padded_tokens_than_allowed() -> None:
    async def scenario() -> None:
        worker = Worker()
        batcher = await blocked(worker, batch_tokens=60)
        # c would pad a and b to its length: 3 * 30 > 60; d alone is too large and goes alone
        jobs = [Job("a"), Job("b"), Job("c", most_tokens=30), Job("d", most_tokens=500), Job("e")]
        futures = [batcher.submit(job) for job in jobs]
        worker.gate.set()
        assert await asyncio.gather(*futures) == list("ABCDE")
        assert worker.batches == [["first"], ["a", "b"], ["c"], ["d"], ["e"]]
        batcher.stop()

    asyncio.run(scenario())


def test_a_full_queue_refuses_at_the_door() -> None:
    async def scenario() -> None:
        worker = Worker()
        batcher = await blocked(worker, max_queued=4)
        held = batcher.submit(Job("a", n_sentences=3))
        with pytest.raises(OverloadedError, match="4 sentences wait"):
            batcher.submit(Job("b"))
        worker.gate.set()
        assert await held == "A"
        assert await batcher.submit(Job("b")) == "B"
        batcher.stop()

    asyncio.run(scenario())


def test_what_nobody_waits_for_is_not_done() -> None:
    async def scenario() -> None:
        worker = Worker()
        batcher = await blocked(worker)
        gone, stays = batcher.submit(Job("gone")), batcher.submit(Job("stays"))
        gone.cancel()
        worker.gate.set()
        assert await stays == "STAYS"
        assert worker.batches[1] == ["stays"]
        assert batcher.queued == 0
        batcher.stop()

    asyncio.run(scenario())


def test_a_job_that_was_given_up_while_it_ran_harms_nobody() -> None:
    async def scenario() -> None:
        worker = Worker()
        batcher: MicroBatcher[Job, str] = MicroBatcher(worker.run, batch_tokens=1000, max_queued=100)
        worker.gate.set()
        batcher.start()
        futures = [batcher.submit(Job(name)) for name in "ab"]
        futures[0].set_exception(OverloadedError("no answer within 30 s"))
        assert await asyncio.wait_for(futures[1], 5) == "B"
        with pytest.raises(OverloadedError):
            await futures[0]
        assert batcher.queued == 0
        batcher.stop()

    asyncio.run(scenario())


def test_a_worker_that_miscounts_fails_its_jobs_and_lives_on() -> None:
    async def scenario() -> None:
        wrong: list[list[str]] = [[], []]
        batcher: MicroBatcher[Job, str] = MicroBatcher(
            lambda jobs: wrong.pop() if wrong else ["fine"] * len(jobs), batch_tokens=1000, max_queued=100
        )
        batcher.start()
        with pytest.raises(ValueError, match="1 jobs came to 0 results"):
            await asyncio.wait_for(batcher.submit(Job("a")), 5)
        wrong.clear()
        assert await asyncio.wait_for(batcher.submit(Job("b")), 5) == "fine"
        assert batcher.is_alive
        batcher.stop()

    asyncio.run(scenario())


def test_a_bad_job_fails_alone() -> None:
    async def scenario() -> None:
        worker = Worker()
        batcher = await blocked(worker)
        futures = [batcher.submit(Job(name)) for name in ("a", "bad", "c")]
        worker.gate.set()
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        assert (outcomes[0], outcomes[2]) == ("A", "C")
        assert isinstance(outcomes[1], ValueError)
        batcher.stop()

    asyncio.run(scenario())


def test_a_stopping_batcher_finishes_what_its_worker_was_handed() -> None:
    async def scenario() -> None:
        worker = Worker()
        batcher = await blocked(worker)
        handed = batcher.submit(Job("a"))
        await asyncio.sleep(0)
        fresh = batcher.submit(Job("b"))
        worker.gate.set()
        batcher.stop()
        assert await handed == "A"
        for late in (lambda: fresh, lambda: batcher.submit(Job("c"))):
            with pytest.raises(NotReadyError):
                await late()
        assert batcher.queued == 0

    asyncio.run(scenario())


PATIENCE_S = 0.2  # so that a busy machine makes no brief job slow


class Places:
    """Runs jobs at once and remembers which thread did which."""

    def __init__(self) -> None:
        self.on_loop: dict[str, bool] = {}

    def run(self, jobs: list[Job]) -> list[str]:
        here = threading.current_thread() is threading.main_thread()
        self.on_loop |= {job.name: here for job in jobs}
        if any(job.name.startswith("slow") for job in jobs):
            time.sleep(2 * PATIENCE_S)
        return [job.name for job in jobs]


def where(*turns: list[Job]) -> dict[str, bool]:
    """Whether each job was done on the event loop, of jobs that came in these turns of it."""

    async def scenario() -> dict[str, bool]:
        places = Places()
        batcher: MicroBatcher[Job, str] = MicroBatcher(places.run, batch_tokens=1000, max_queued=100)
        batcher.start()
        for jobs in turns:
            assert await asyncio.gather(*map(batcher.submit, jobs)) == [job.name for job in jobs]
        batcher.stop()
        return places.on_loop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.encoding.batcher.ON_LOOP_S", PATIENCE_S)
        return asyncio.run(scenario())


def test_a_brief_job_that_comes_alone_is_done_on_the_event_loop() -> None:
    assert where([Job("first")], [Job("second")], [Job("third")]) == {"first": False, "second": True, "third": True}


def test_jobs_that_come_together_are_not() -> None:
    assert where([Job("first")], [Job("a"), Job("b")]) == {"first": False, "a": False, "b": False}


def test_what_says_that_it_may_take_long_is_not() -> None:
    assert where([Job("first")], [Job("long", kind=None)], [Job("brief")])["long"] is False


def test_brief_jobs_go_back_to_the_worker_when_they_turn_out_slow() -> None:
    places = where([Job("first")], [Job("slow")], [Job("after")], [Job("again")])
    assert places == {"first": False, "slow": True, "after": False, "again": True}


def test_kinds_of_jobs_are_told_apart() -> None:
    turns = [[Job(f"{name}{number}", kind=name)] for number in range(3) for name in ("slow", "fast")]
    places = where(*turns)
    assert [places[f"slow{number}"] for number in range(3)] == [False] * 3
    assert [places[f"fast{number}"] for number in range(3)] == [False, True, True]


def test_a_stopped_batcher_does_nothing_on_the_event_loop_either() -> None:
    async def scenario() -> None:
        places = Places()
        batcher: MicroBatcher[Job, str] = MicroBatcher(places.run, batch_tokens=1000, max_queued=100)
        batcher.start()
        await batcher.submit(Job("first"))
        fresh = batcher.submit(Job("fresh"))
        batcher.stop()
        with pytest.raises(NotReadyError):
            await fresh
        assert list(places.on_loop) == ["first"]

    asyncio.run(scenario())


def test_nothing_is_done_on_the_event_loop_while_the_worker_is_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.encoding.batcher.ON_LOOP_S", PATIENCE_S)

    async def scenario() -> None:
        worker = Worker()
        worker.gate.set()
        batcher: MicroBatcher[Job, str] = MicroBatcher(worker.run, batch_tokens=1000, max_queued=100)
        batcher.start()
        await batcher.submit(Job("first"))  # from now on brief jobs are done on the loop
        worker.gate.clear()
        worker.entered.clear()
        held = batcher.submit(Job("held", kind=None))
        await asyncio.to_thread(worker.entered.wait, 5)
        waits = batcher.submit(Job("waits"))
        await asyncio.sleep(0.01)
        assert not waits.done()
        worker.gate.set()
        assert await asyncio.gather(held, waits) == ["HELD", "WAITS"]
        batcher.stop()

    asyncio.run(scenario())
