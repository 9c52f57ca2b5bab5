"""Gauges that are looked up whenever the metrics are read: indexes, jobs, queues, and the room on the disk."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app.db.database import Database
from app.errors import UnavailableError
from app.job.repository import JobRepository
from app.job.tables import JobState, JobType
from app.serving.serving import Serving

Queue = tuple[Callable[[], int], int]
"""How long a queue is now, and how long it may be."""


class GaugeCollector(Collector):
    """Looks gauges up; asked for no values before the metrics are read."""

    def describe(self) -> list[GaugeMetricFamily]:
        """Name nothing yet: there is nothing to look at while the app is being wired."""
        return []


class JobCollector(GaugeCollector):
    """The jobs, of all servers of the database together."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[GaugeMetricFamily]:
        jobs = GaugeMetricFamily("samesay_jobs", "Jobs that are kept", labels=["type", "state"])
        try:
            counts = self._database.read(lambda session: JobRepository(session).count_by_state())
        except UnavailableError:  # the other metrics are needed all the more
            return
        for kind in JobType:
            for state in JobState:
                jobs.add_metric([kind, state], counts.get((kind, state), 0))
        yield jobs


class QueueCollector(GaugeCollector):
    """The bounded queues of this server, by name."""

    def __init__(self, queues: Mapping[str, Queue]) -> None:
        self._queues = queues

    def collect(self) -> Iterator[GaugeMetricFamily]:
        length = GaugeMetricFamily("samesay_queue_length", "What waits, or is being done", labels=["queue"])
        limit = GaugeMetricFamily("samesay_queue_limit", "More is refused with 503", labels=["queue"])
        for name, (now, most) in self._queues.items():
            length.add_metric([name], now())
            limit.add_metric([name], most)
        yield from (length, limit)


class DiskCollector(GaugeCollector):
    """The room that is left where the data folder lies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError:
            return
        yield GaugeMetricFamily("samesay_data_free_bytes", "Free on the data folder's disk", value=free)


class IndexCollector(GaugeCollector):
    """What is in memory."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def collect(self) -> Iterator[GaugeMetricFamily]:
        vectors = GaugeMetricFamily("samesay_index_vectors", "Searchable records", labels=["collection"])
        delta = GaugeMetricFamily("samesay_index_delta_vectors", "Not compacted yet", labels=["collection"])
        dead = GaugeMetricFamily("samesay_index_tombstone_ratio", "Dead rows of all rows", labels=["collection"])
        seq = GaugeMetricFamily("samesay_index_applied_seq", "Last searchable change", labels=["collection"])
        recall = GaugeMetricFamily("samesay_index_recall", "Measured index_recall@10", labels=["collection"])
        lag = GaugeMetricFamily("samesay_follower_lag_changes", "Changes not searchable yet", labels=["collection"])
        info = GaugeMetricFamily("samesay_release_info", "Active releases", labels=["collection", "release", "encoder"])
        for release in self._serving.releases:
            name, stats = [release.key.collection], release.view.index.stats()
            vectors.add_metric(name, stats.count)
            recall.add_metric(name, stats.index_recall)
            lag.add_metric(name, self._serving.lag(release.key.collection_id))
            delta.add_metric(name, stats.delta)
            dead.add_metric(name, stats.tombstones / max(1, stats.base + stats.delta))
            seq.add_metric(name, stats.applied_seq)
            info.add_metric([*name, str(release.key.number), release.bundle.sha[:12]], 1)
        failing = GaugeMetricFamily("samesay_collections_failing", "Collections that cannot be served")
        failing.add_metric([], len(self._serving.failing))
        yield from (vectors, delta, dead, seq, recall, lag, info, failing)
