"""The micro-batcher: requests that come at the same time share one call of the encoder.

A door that refuses instead of queueing without bound, batches bounded by padded tokens, entries dropped whose caller
has gone, and one hop to a worker thread for a whole batch. The design is text-embeddings-inference's.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, Protocol, TypeVar

import structlog

from app.errors import NotReadyError, OverloadedError

_log = structlog.get_logger(__name__)


class Job(Protocol):
    """What a batch is made of."""

    @property
    def n_sentences(self) -> int: ...

    @property
    def most_tokens(self) -> int:
        """No sentence of it has more tokens."""
        ...


J = TypeVar("J", bound=Job)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class BatchStats:
    """How a batch went."""

    n_jobs: int
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
        """Finish what was taken, take no more."""
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
            raise NotReadyError("the server is stopping: send the request again")
        if self._queued and self._queued + job.n_sentences > self._max_queued:
            raise OverloadedError(f"{self._queued} sentences wait for the encoder already: try again in a second")
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._queued += job.n_sentences
        self._queue.put(_Entry(job, future, time.monotonic()))
        return future

    def _work(self) -> None:
        while True:
            entries, last = self._take()
            if entries:
                self._do(entries)
            if last:
                return

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

    def _do(self, entries: list[_Entry[J, R]]) -> None:
        live = [entry for entry in entries if not entry.future.done()]  # done already: nobody waits for it any more
        outcomes: list[R | BaseException] = []
        if live:
            waited = time.monotonic() - live[0].came_at
            outcomes = self._run_isolated([entry.job for entry in live])
            self._observe(BatchStats(len(live), sum(entry.job.n_sentences for entry in live), waited))
        done = [(entry.future, outcome) for entry, outcome in zip(live, outcomes, strict=True)]
        freed = sum(entry.job.n_sentences for entry in entries)
        try:
            entries[0].future.get_loop().call_soon_threadsafe(self._resolve, done, freed)
        except RuntimeError:
            _log.warning("answers_lost", n=len(done), reason="the event loop is closed")

    def _run_isolated(self, jobs: list[J]) -> list[R | BaseException]:
        """All together; if that fails, each alone, so that a bad one fails nobody else."""
        try:
            results = self._run_jobs(jobs)
            if len(results) != len(jobs):
                raise ValueError(f"{len(jobs)} jobs came to {len(results)} results")
            return list(results)
        except Exception as error:
            if len(jobs) == 1:
                _log.exception("batch_failed")
                return [error]
        return [outcome for job in jobs for outcome in self._run_isolated([job])]

    def _resolve(self, done: "list[tuple[asyncio.Future[R], R | BaseException]]", freed: int) -> None:
        self._queued -= freed
        for future, outcome in done:
            if future.done():
                continue
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
