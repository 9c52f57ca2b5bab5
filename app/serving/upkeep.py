"""Compactions and rebuilds as jobs: ordered by the housekeeper or by an admin, run by one server, on a thread each."""

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from secrets import token_hex
from typing import Any, Final

import structlog

from app.data_layout import jobs_folder
from app.db.database import Database
from app.errors import UnavailableError
from app.job.errors import JobFailedError, JobLostError
from app.job.names import worker_name
from app.job.repository import Progress
from app.job.run import JobRun
from app.job.tables import JobType
from app.job.worker import Duty, Handler, Worker
from app.priority import let_others_go_first
from app.record.writer import RecordWriter
from app.serving.housekeeper import Housekeeper, is_worth_it
from app.serving.loading import Loader
from app.serving.orders import Orders
from app.serving.release import ServingRelease
from app.serving.repository import find_active
from app.serving.roster import Roster
from app.serving.snapshots.base import Base, BuildError
from index.errors import VectorIndexError

_LOOK_S: Final = 0.5
_AWAY_S: Final = 1.0

_LOADED_S: Final = 30.0
"""So long a snapshot of another server is waited for before one is built all the same."""

_LOADED_LOOK_S: Final = 0.05

_log = structlog.get_logger(__name__)


class Upkeep:
    """Runs what is ordered of compactions and rebuilds.

    Args:
        database: The truth.
        orders: Says when there is a new one.
        housekeeper: Compacts.
        loader: Rebuilds.
        roster: The releases in memory.
        reload: Has a release loaded again from its newest snapshot.
    """

    def __init__(
        self,
        database: Database,
        orders: Orders,
        housekeeper: Housekeeper,
        loader: Loader,
        roster: Roster,
        reload: Callable[[int], None],
    ) -> None:
        self._database, self._orders = database, orders
        self._housekeeper, self._loader, self._roster, self._reload = housekeeper, loader, roster, reload
        self._stopping = threading.Event()
        # a thread for each: a rebuild takes as long as hundreds of compactions
        self._threads = [
            self._thread(JobType.COMPACTION, self._compact),
            self._thread(JobType.REBUILD, self._rebuild),
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Give up what runs; it is done again by whoever comes next."""
        self._stopping.set()
        self._orders.wakened.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    @property
    def is_alive(self) -> bool:
        """Whether the threads run."""
        return all(thread.is_alive() for thread in self._threads)

    def _thread(self, kind: JobType, run: Handler) -> threading.Thread:
        worker = Worker(
            self._database,
            {kind: Duty(run, lambda folder, state: None)},
            worker_name(os.getpid(), f"{kind}-{token_hex(4)}"),
            jobs_folder(self._housekeeper.data),
            served=lambda collection_id: bool(self._roster.of_collection(collection_id)),
        )
        return threading.Thread(target=self._run, args=(worker,), name=kind, daemon=True)

    def _run(self, worker: Worker) -> None:
        let_others_go_first()
        while not self._stopping.is_set():
            self._orders.wakened.clear()
            try:
                while not self._stopping.is_set() and worker.run_next():
                    pass
            except UnavailableError as error:
                _log.warning("upkeep_waits", reason=error.detail)
                self._stopping.wait(_AWAY_S)
            except Exception:  # the thread serves every collection and must live on
                _log.exception("upkeep_failed")
                self._stopping.wait(_AWAY_S)
            self._orders.wakened.wait(_LOOK_S)
        try:
            worker.let_go()
        except UnavailableError as error:
            _log.warning("upkeep_not_released", reason=error.detail)

    def _compact(self, run: JobRun) -> dict[str, Any]:
        """The release that answers first, then the warm ones; the trouble of one is not the others'."""
        held = self._roster.of_collection(run.collection_id)
        if not held:
            raise _not_served(run)
        results, failures = list[dict[str, Any]](), list[JobFailedError]()
        for release in [held[0], *filter(is_worth_it, held[1:])]:
            if not self._is_held(release):
                continue  # dropped while the one before was built, with its folder, which must not come back
            try:
                results.append(self._build(run, release))
            except JobFailedError as error:
                if self._is_held(release):
                    failures.append(error)
        if failures:
            raise failures[0]
        if not results:
            raise _not_served(run)
        return results[0]

    def _is_held(self, release: ServingRelease) -> bool:
        """Whether it is in memory still, perhaps loaded again."""
        return any(held.key == release.key for held in self._roster.of_collection(release.key.collection_id))

    def _build(self, run: JobRun, held: ServingRelease) -> dict[str, Any]:
        seq = held.applied_seq
        release = self._newest(run, held)
        while True:
            is_done = release is not held and release.view.base.applied_seq >= seq  # by another server, a moment ago
            if is_done and not is_worth_it(release):
                return _to_result(release.view.base)
            run.report(Progress("building", 0, release.view.index.count))
            try:
                return self._guarded(run, partial(self._housekeeper.compact, release, self._is_to_stop(run)))
            except JobFailedError:
                before, release = release, self._newest(run, release)
                if release is before:
                    raise  # else an erasure on another server has saved one, and removed what this one rested on

    def _newest(self, run: JobRun, release: ServingRelease) -> ServingRelease:
        """The release over the newest snapshot: what another server has saved is about to be loaded."""
        deadline, is_to_stop = time.monotonic() + _LOADED_S, self._is_to_stop(run)
        while self._housekeeper.has_newer(release) and time.monotonic() < deadline and not is_to_stop():
            self._stopping.wait(_LOADED_LOOK_S)
            held = self._roster.of_collection(run.collection_id)
            release = next((again for again in held if again.key == release.key), release)
        return release

    def _rebuild(self, run: JobRun) -> dict[str, Any]:
        active = self._database.read(lambda session: find_active(session, run.collection_id))
        if active is None:
            raise _not_served(run)

        def tell(done: int, total: int) -> None:
            run.report(Progress("encoding", done, total))

        # a change of nothing: what is rebuilt is newer than any snapshot before, for all servers that share the folder
        self._database.write(lambda session: RecordWriter(session, run.collection_id).mark_change()).result()
        result = self._guarded(run, lambda: self._loader.rebuild(active, tell, self._is_to_stop(run)))
        self._reload(active.key.release_id)
        return result

    def _guarded(self, run: JobRun, build: Callable[[], Base]) -> dict[str, Any]:
        try:
            base = build()
        except (OSError, BuildError, VectorIndexError) as error:
            if self._stopping.is_set():
                raise JobLostError("the server is stopping") from None
            run.check()  # cancelled?
            raise JobFailedError("not_built", f"{error}; searches go on as before") from None
        return _to_result(base)

    def _is_to_stop(self, run: JobRun) -> Callable[[], bool]:
        return lambda: self._stopping.is_set() or run.is_cancelled()


def _to_result(base: Base) -> dict[str, Any]:
    return {"records": len(base.index), "seq": base.applied_seq, "index_recall": float(base.index.index_recall)}


def _not_served(run: JobRun) -> JobFailedError:
    return JobFailedError("not_served", f"the collection {run.collection!r} is gone or not in this server's memory")
