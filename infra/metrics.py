"""What a process counts and measures, for Prometheus. One registry a process, never the library's
own: an embedded stack shows all of it on its API.

stepline_submissions_total{type,answer}       accepted, refused (503) or replayed
stepline_http_request_seconds{method,route,status}
stepline_tasks_ended_total{type,status}       by this worker
stepline_task_retries_total{type}             attempts that failed and are tried again
stepline_tasks_lost_total{queue}              holders that died, seen at the takeover
stepline_queue_seconds{queue}                 from acceptance (or its time) to the first start
stepline_step_seconds{handler,outcome}
stepline_tasks_running{queue}
stepline_loop_blocked_total                   the event loop stood still for over a second
stepline_history_rows_total, stepline_history_lag_seconds, stepline_dead_letters_total{reason}
stepline_queue_messages{queue}, stepline_queue_oldest_seconds{queue}   (API; asked at each scrape)
stepline_dead_letters_open, stepline_tasks_deferred, stepline_workers_alive, stepline_up{part}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from prometheus_client import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

__all__ = ["CONTENT_TYPE", "Metrics"]

QUEUE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
STEP_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
HTTP_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


Instrument = TypeVar("Instrument", Counter, Histogram)


class Labelled(Generic[Instrument]):
    """An instrument that remembers its children: the library looks for one at each call, under a
    lock, which takes longer than to count."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument: Instrument = instrument
        self._children: dict[tuple[str, ...], Instrument] = {}

    def labels(self, *values: str) -> Instrument:
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._instrument.labels(*values)
        return child


class Metrics:
    """The instruments of one process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.submissions = Labelled(
            Counter(
                "stepline_submissions",
                "Submissions answered.",
                ("type", "answer"),
                registry=registry,
            )
        )
        self.http = Labelled(
            Histogram(
                "stepline_http_request_seconds",
                "Seconds to the beginning of the answer.",
                ("method", "route", "status"),
                buckets=HTTP_BUCKETS,
                registry=registry,
            )
        )
        self.ended = Labelled(
            Counter(
                "stepline_tasks_ended", "Tasks ended here.", ("type", "status"), registry=registry
            )
        )
        self.retries = Counter(
            "stepline_task_retries", "Attempts to be tried again.", ("type",), registry=registry
        )
        self.lost = Counter(
            "stepline_tasks_lost", "Tasks taken from dead holders.", ("queue",), registry=registry
        )
        self.queue_seconds = Labelled(
            Histogram(
                "stepline_queue_seconds",
                "Seconds from acceptance to the first start.",
                ("queue",),
                buckets=QUEUE_BUCKETS,
                registry=registry,
            )
        )
        self.step_seconds = Labelled(
            Histogram(
                "stepline_step_seconds",
                "Seconds that a step ran.",
                ("handler", "outcome"),
                buckets=STEP_BUCKETS,
                registry=registry,
            )
        )
        self.loop_blocked = Counter(
            "stepline_loop_blocked", "The event loop stood still for a second.", registry=registry
        )
        self.history_rows = Counter(
            "stepline_history_rows", "Records committed.", registry=registry
        )
        self.history_lag = Gauge(
            "stepline_history_lag_seconds",
            "Age of the newest record at its commit.",
            registry=registry,
        )
        self.dead_letters = Counter(
            "stepline_dead_letters", "Dead letters recorded.", ("reason",), registry=registry
        )
        self.queue_messages = Gauge(
            "stepline_queue_messages", "Messages ready.", ("queue",), registry=registry
        )
        self.queue_oldest = Gauge(
            "stepline_queue_oldest_seconds",
            "Age of the oldest task that waits for a worker.",
            ("queue",),
            registry=registry,
        )
        self.dead_letters_open = Gauge(
            "stepline_dead_letters_open", "Dead letters not seen to.", registry=registry
        )
        self.deferred = Gauge(
            "stepline_tasks_deferred", "Tasks that wait for their time.", registry=registry
        )
        self.workers_alive = Gauge(
            "stepline_workers_alive", "Worker processes that beat.", registry=registry
        )
        self.up = Gauge("stepline_up", "1: the part answers.", ("part",), registry=registry)

    def watch_running(self, count: Callable[[], Mapping[str, int]]) -> None:
        """Ask `count` at each scrape how many tasks of each queue run here."""
        self.registry.register(_Running(count))

    def render(self) -> bytes:
        """The text exposition."""
        return generate_latest(self.registry)


class _Running(Collector):
    def __init__(self, count: Callable[[], Mapping[str, int]]) -> None:
        self._count = count

    def collect(self) -> list[GaugeMetricFamily]:
        family = GaugeMetricFamily("stepline_tasks_running", "Tasks held here.", labels=["queue"])
        for queue, count in self._count().items():
            family.add_metric([queue], count)
        return [family]
