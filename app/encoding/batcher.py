"""The micro-batcher: requests that come at the same time share one call of the encoder.

A door that refuses instead of queueing without bound, batches bounded by padded tokens, entries dropped whose caller
has gone, and one hop to a worker thread for a whole batch. The design is text-embeddings-inference's. A short job that
comes alone is done on the event loop: going to the thread and back takes longer than a search.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final, Generic, Protocol, TypeVar

import structlog

from app.errors import NotReadyError, OverloadedError, UnavailableError

_log = structlog.get_logger(__name__)


ON_LOOP_S: Final = 0.001
"""A job is done on the event loop if the last one of its kind took less: about so long may all others wait for it."""

MOST_KINDS: Final = 1_000
"""Kinds of jobs whose last duration is kept."""


class Job(Protocol):
    """What a batch is made of."""

    @property
    def n_sentences(self) -> int: ...

    @property
    def most_tokens(self) -> int:
        """No sentence of it has more tokens."""
        ...

    @property
    def kind(self) -> Hashable | None:
        """Jobs of a kind take about as long as each other; None says nothing about it."""
        ...


J = TypeVar("J", bound=Job)
R = TypeVar("R")

_Outcomes = list[tuple["asyncio.Future[R]", R | BaseException]]


@dataclass(frozen=True, slots=True)
class BatchStats:
    """How a batch went."""

    n_sentences: int
    longest_wait_s: float


@dataclass(slots=True)
class _Entry(Generic[J, R]):
    job: J
    future: "asyncio.Future[R]"
    came_at: float


class MicroBatcher(Generic[J, R]):
    """Runs jobs in batches on a thread of its own. `submit` belongs to one event loop.

    Args:
        run: Does the jobs of a batch, one result each.
        batch_tokens: Padded tokens of a batch at most; a larger job is a batch of its own.
        max_queued: Sentences that may be waiting or running.
        observe: Hears of every batch.
    """

    def __init__(
        self,
        run: Callable[[list[J]], list[R]],
        *,
        batch_tokens: int,
        max_queued: int,
        observe: Callable[[BatchStats], None] = lambda _: None,
    ) -> None:
        self._run_jobs = run
        self._batch_tokens = batch_tokens
        self._max_queued = max_queued
        self._observe = observe
        self._queue: SimpleQueue[_Entry[J, R] | None] = SimpleQueue()
        self._held: _Entry[J, R] | None = None  # taken, but too large for the batch it came to
        self._queued = 0
        self._fresh: list[_Entry[J, R]] = []  # came in this turn of the event loop
        self._door = threading.Lock()  # nothing goes into the queue after its end
        self._handed = 0  # jobs that the worker has and has not brought back
        self._last_s: dict[Hashable, float] = {}  # what the last job of a kind took that was done alone
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)

    @property
    def queued(self) -> int:
        """Sentences that wait or run."""
        return self._queued

    @property
    def is_alive(self) -> bool:
        """Whether jobs are being done."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to take jobs."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what the worker was handed, take no more."""
        with self._door:
            self._stopped = True
            self._queue.put(None)
        if self._thread.ident is not None:
            self._thread.join()

    def submit(self, job: J) -> "asyncio.Future[R]":
        """Hand in a job.

        Raises:
            OverloadedError: Too many sentences wait already; at once, so that the caller can go elsewhere.
        """
        if self._stopped:
            raise _stopping()
        if self._queued and self._queued + job.n_sentences > self._max_queued:
            raise OverloadedError(f"{self._queued} sentences wait for the encoder already: try again in a second")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._queued += job.n_sentences
        if not self._fresh:
            loop.call_soon(self._dispatch)
        self._fresh.append(_Entry(job, future, time.monotonic()))
        return future

    def _dispatch(self) -> None:
        """Do what came in one turn of the event loop, or hand it to the worker, all at once."""
        entries, self._fresh = self._fresh, []
        if len(entries) == 1 and not self._handed and not self._stopped and self._is_brief(entries[0].job):
            done, freed, stats = self._do(entries)
            self._resolve(done, freed)
            if stats:
                self._observe(stats)
        elif not self._hand_over(entries):
            refused: _Outcomes[R] = [(entry.future, _stopping()) for entry in entries]
            self._resolve(refused, sum(entry.job.n_sentences for entry in entries))

    def _is_brief(self, job: J) -> bool:
        return job.kind is not None and self._last_s.get(job.kind, math.inf) < ON_LOOP_S

    def _hand_over(self, entries: list[_Entry[J, R]]) -> bool:
        """Give the worker something to do, unless it has been told that there is no more."""
        with self._door:
            if self._stopped:
                return False
            self._handed += len(entries)
            for entry in entries:
                self._queue.put(entry)
        return True

    def _work(self) -> None:
        while self._work_once():
            pass

    def _work_once(self) -> bool:
        """Do a batch, and keep nothing of it while waiting for the next; false at the end."""
        entries, last = self._take()
        if entries:
            self._bring_back(entries)
        return not last

    def _take(self) -> tuple[list[_Entry[J, R]], bool]:
        """Wait for a job, then take what came meanwhile, as long as it fits."""
        entry, self._held = self._held or self._queue.get(), None
        entries: list[_Entry[J, R]] = []
        n_sentences = longest = 0
        while entry is not None:
            n_sentences += entry.job.n_sentences
            longest = max(longest, entry.job.most_tokens)
            if entries and n_sentences * longest > self._batch_tokens:
                self._held = entry
                return entries, False
            entries.append(entry)
            try:
                entry = self._queue.get_nowait()
            except Empty:
                return entries, False
        return entries, True

    def _bring_back(self, entries: list[_Entry[J, R]]) -> None:
        loop, (done, freed, stats) = entries[0].future.get_loop(), self._do(entries)
        try:
            loop.call_soon_threadsafe(self._resolve_handed, len(entries), done, freed)
        except RuntimeError:
            _log.warning("answers_lost", n=len(done), reason="the event loop is closed")
        if stats:
            self._observe(stats)

    def _do(self, entries: list[_Entry[J, R]]) -> "tuple[_Outcomes[R], int, BatchStats | None]":
        """What became of each entry that somebody waits for, how many sentences there were, and how it went."""
        live = [entry for entry in entries if not entry.future.done()]  # done already: nobody waits for it any more
        freed = sum(entry.job.n_sentences for entry in entries)
        if not live:
            return [], freed, None
        started = time.monotonic()
        outcomes = self._run_isolated([entry.job for entry in live])
        if len(live) == 1:
            self._remember(live[0].job.kind, time.monotonic() - started)
        done = [(entry.future, outcome) for entry, outcome in zip(live, outcomes, strict=True)]
        n_sentences = sum(entry.job.n_sentences for entry in live)
        return done, freed, BatchStats(n_sentences, started - live[0].came_at)

    def _remember(self, kind: Hashable | None, took_s: float) -> None:
        if kind is not None:
            if len(self._last_s) >= MOST_KINDS:
                self._last_s.clear()
            self._last_s[kind] = took_s

    def _run_isolated(self, jobs: list[J]) -> list[R | BaseException]:
        """All together; if that fails, each alone, so that a bad one fails nobody else."""
        try:
            results = self._run_jobs(jobs)
            if len(results) != len(jobs):
                raise ValueError(f"{len(jobs)} jobs came to {len(results)} results")
            return list(results)
        except Exception as error:
            if len(jobs) == 1:
                if not isinstance(error, UnavailableError):  # else it says all there is to say
                    _log.exception("batch_failed")
                return [error]
        return [outcome for job in jobs for outcome in self._run_isolated([job])]

    def _resolve_handed(self, n_jobs: int, done: "_Outcomes[R]", freed: int) -> None:
        self._handed -= n_jobs
        self._resolve(done, freed)

    def _resolve(self, done: "_Outcomes[R]", freed: int) -> None:
        self._queued -= freed
        for future, outcome in done:
            if future.done():
                continue
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)


def _stopping() -> NotReadyError:
    return NotReadyError("the server is stopping: send the request again")
