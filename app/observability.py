"""Logs as events with fields, and metrics. Never the text of a sentence, never a key."""

import logging
import sys
from collections.abc import Iterator
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from structlog.typing import Processor

from app.db.database import Database
from app.encoding.batcher import BatchStats
from app.errors import UnavailableError
from app.job.repository import JobRepository
from app.serving.serving import Serving

_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_SENTENCES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def configure_logging(level: str) -> None:
    """Write events, and the warnings of libraries, as JSON lines to stderr; stdout is for what a command prints."""
    fields: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    as_line = structlog.processors.JSONRenderer(ensure_ascii=False)
    structlog.configure(
        processors=[*fields, as_line],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    libraries = logging.StreamHandler(sys.stderr)
    libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *fields],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, as_line],
        )
    )
    logging.basicConfig(handlers=[libraries], level=logging.WARNING)


class Metrics:
    """Every metric of one app, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "samesay_requests_total", "Requests answered", ["route", "method", "status"], registry=self.registry
        )
        self._request_seconds = self._histogram("samesay_request_duration_seconds", "Time to answer", ["route"])
        self._batch = self._histogram("samesay_encode_batch_sentences", "Sentences encoded at once", buckets=_SENTENCES)
        self._wait = self._histogram("samesay_queue_wait_seconds", "Longest wait in a batch")
        self._encode = self._histogram("samesay_encode_duration_seconds", "Time of one call of an encoder")
        self._search = self._histogram("samesay_search_duration_seconds", "Time of one call of an index")
        self._lag = self._histogram("samesay_follower_lag_seconds", "From a write's commit until searches find it")
        self._decisions = Counter(
            "samesay_decisions_total", "Decisions by outcome", ["outcome"], registry=self.registry
        )
        self._feedback = Counter("samesay_feedback_total", "Feedback received", ["verdict"], registry=self.registry)
        self._resolved = Counter(
            "samesay_feedback_resolved_total", "Items accepted or rejected", ["state"], registry=self.registry
        )
        self._kept_queries = Counter(
            "samesay_kept_queries_total", "Queries to keep, by what became of them", ["outcome"], registry=self.registry
        )
        self._refused = Counter(
            "samesay_requests_refused_total", "Requests refused by reason", ["reason"], registry=self.registry
        )
        self.encoded, self.searched, self.followed = self._encode.observe, self._search.observe, self._lag.observe
        self._children: dict[tuple[str, str, int], Any] = {}
        self._timers: dict[str, Histogram] = {}

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request; `route` is a pattern, never a path."""
        key = (route, method, status)
        child = self._children.get(key)
        if child is None:  # looking labels up costs more than counting
            child = self._children[key] = self._requests.labels(route, method, str(status))
            self._timers[route] = self._request_seconds.labels(route)
        child.inc()
        self._timers[route].observe(seconds)

    def batched(self, stats: BatchStats) -> None:
        """Count a batch of the encoder."""
        self._batch.observe(stats.n_sentences)
        self._wait.observe(stats.longest_wait_s)

    def refused(self, reason: str) -> None:
        """Count a request that its key, or the lack of one, does not allow."""
        self._refused.labels(reason).inc()

    def decided(self, outcome: str) -> None:
        """Count a decision."""
        self._decisions.labels(outcome).inc()

    def fed_back(self, verdict: str) -> None:
        """Count feedback that was stored."""
        self._feedback.labels(verdict).inc()

    def resolved(self, state: str, n: int) -> None:
        """Count items that were accepted or rejected."""
        self._resolved.labels(state).inc(n)

    def kept_queries(self, outcome: str, n: int) -> None:
        """Count queries that were kept or dropped."""
        self._kept_queries.labels(outcome).inc(n)

    def watch(self, serving: Serving) -> None:
        """Report the indexes in memory whenever the metrics are read."""
        self.registry.register(_IndexCollector(serving))

    def watch_jobs(self, database: Database) -> None:
        """Report how many jobs there are whenever the metrics are read."""
        self.registry.register(_JobCollector(database))

    def exposition(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)

    def _histogram(
        self, name: str, text: str, labels: tuple[str, ...] | list[str] = (), buckets: tuple[float, ...] = _SECONDS
    ) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)


class _JobCollector(Collector):
    """A gauge of the jobs, of all servers of the database together."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def describe(self) -> list[GaugeMetricFamily]:
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        jobs = GaugeMetricFamily("samesay_jobs", "Jobs that are kept", labels=["type", "state"])
        try:
            counts = self._database.read(lambda session: JobRepository(session).count_by_state())
        except UnavailableError:  # the other metrics are needed all the more
            return
        for (kind, state), n in counts.items():
            jobs.add_metric([kind, state], n)
        yield jobs


class _IndexCollector(Collector):
    """Gauges of what is in memory."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def describe(self) -> list[GaugeMetricFamily]:
        return []

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
