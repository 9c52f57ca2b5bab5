"""What is counted and timed, in Prometheus' terms."""

import platform
from importlib import metadata
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, ProcessCollector, generate_latest
from prometheus_client.registry import Collector

from app.encoding.batcher import BatchStats

_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_SENTENCES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Every metric of one app, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        Info("samesay_build", "What runs", registry=self.registry).info(
            {"version": metadata.version("samesay"), "python": platform.python_version()}
        )
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

    def watch(self, *collectors: Collector) -> None:
        """Look these up whenever the metrics are read."""
        for collector in collectors:
            self.registry.register(collector)

    def exposition(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)

    def _histogram(
        self, name: str, text: str, labels: tuple[str, ...] | list[str] = (), buckets: tuple[float, ...] = _SECONDS
    ) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)
