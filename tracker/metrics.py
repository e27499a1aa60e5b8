"""What Prometheus gets to see. Labels have few values: never a task's id, never an address."""

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.samples import Sample

from tracker.model import DeliveryStatus, EndpointState, Status

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0

_LATENESS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, _MINUTE, 5 * _MINUTE)
_ATTEMPT = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, _MINUTE)
_DATABASE = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_AFTER_FINISH = (
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    *(_MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR, 6 * _HOUR, _DAY, 3 * _DAY),
)
_GATHERED = 128


class Gathering(Histogram):
    """A histogram of what happens thousands of times a second: it sorts numbers many at a time, and when it is read.

    One by one that takes longer than what is measured: two locks for each number, and a look at every bucket.
    """

    def _metric_init(self) -> None:
        super()._metric_init()
        self._gathered: list[float] = []

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:  # noqa: ARG002 - the base's
        """Count a number; an exemplar is not kept."""
        self._gathered.append(amount)
        if len(self._gathered) >= _GATHERED:
            self._sort_in()

    def _sort_in(self) -> None:
        gathered, self._gathered = self._gathered, []
        for bucket, count in Tally(bisect_left(self._upper_bounds, amount) for amount in gathered).items():
            self._buckets[bucket].inc(count)
        self._sum.inc(sum(gathered))

    def _child_samples(self) -> Iterable[Sample]:
        self._sort_in()
        return super()._child_samples()


class Metrics:
    """Every metric of one daemon; made once and handed to whoever counts."""

    def __init__(self, *, version: str) -> None:
        # One more series beside every counter and histogram, which nobody asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library left it without types
        self._registry = CollectorRegistry()
        self._describe_tasks()
        self._describe_upstreams()
        self._describe_deliveries()
        self._describe_endpoints()
        self._describe_process(version)

    def _describe_tasks(self) -> None:
        registry = self._registry
        self.tasks = Gauge("tracker_tasks", "Tasks by status.", ["status"], registry=registry)
        self.events = Counter("tracker_events", "Lines added to histories.", ["event"], registry=registry)
        self.finish_to_detect = Histogram(
            "tracker_finish_to_detect_seconds",
            "From the end of a task at its upstream to the moment we saw it.",
            buckets=_AFTER_FINISH,
            registry=registry,
        )
        self.finish_to_deliver = Gathering(
            "tracker_finish_to_deliver_seconds",
            "From the end of a task at its upstream to the receiver's 2xx.",
            buckets=_AFTER_FINISH,
            registry=registry,
        )
        for status in Status:
            self.tasks.labels(status=status)

    def _describe_upstreams(self) -> None:
        registry, upstream = self._registry, ["upstream"]
        self.watched = Gauge("tracker_watched_tasks", "Tasks that this daemon watches.", upstream, registry=registry)
        self.polls = Counter("tracker_polls", "Looks at single tasks.", upstream, registry=registry)
        self.lateness = Gathering(
            "tracker_poll_lateness_seconds",
            "How much later than due a task was looked at.",
            upstream,
            buckets=_LATENESS,
            registry=registry,
        )
        self.upstream_requests = Counter(
            "tracker_upstream_requests", "HTTP requests sent to upstreams.", upstream, registry=registry
        )
        self.upstream_errors = Counter(
            "tracker_upstream_errors",
            "Requests that told nothing usable, by kind of miss.",
            ["upstream", "kind"],
            registry=registry,
        )
        self.upstream_paused = Gauge(
            "tracker_upstream_paused", "1 while an upstream is left alone.", upstream, registry=registry
        )
        self.unknown_statuses = Counter(
            "tracker_unknown_statuses", "Status words that mean nothing to us.", upstream, registry=registry
        )

    def _describe_deliveries(self) -> None:
        registry = self._registry
        self.deliveries = Gauge(
            "tracker_deliveries_by_status", "Messages in the outbox by status.", ["status"], registry=registry
        )
        self.delivery_outcomes = Counter(
            "tracker_deliveries", "Attempts to deliver by outcome.", ["outcome"], registry=registry
        )
        self.attempt_duration = Gathering(
            "tracker_attempt_duration_seconds",
            "How long attempts to deliver took.",
            buckets=_ATTEMPT,
            registry=registry,
        )
        self.oldest_due_delivery = Gauge(
            "tracker_oldest_due_delivery_seconds",
            "How long the oldest due message has been waiting; 0 when none is.",
            registry=registry,
        )
        for status in DeliveryStatus:
            self.deliveries.labels(status=status)

    def _describe_endpoints(self) -> None:
        registry = self._registry
        self.endpoints = Gauge("tracker_endpoints", "Receivers by state.", ["state"], registry=registry)
        self.endpoint_turns = Counter(
            "tracker_endpoint_turns", "How often a receiver came into a state.", ["state"], registry=registry
        )
        self.operator_messages = Counter(
            "tracker_operator_messages", "Attempts to tell the operator by outcome.", ["outcome"], registry=registry
        )
        for state in EndpointState:
            self.endpoints.labels(state=state)
            self.endpoint_turns.labels(state=state)

    def _describe_process(self, version: str) -> None:
        registry = self._registry
        self.heartbeat = Gauge(
            "tracker_loop_heartbeat_timestamp_seconds",
            "When each loop last came round, in seconds since 1970.",
            ["loop"],
            registry=registry,
        )
        self.database = Histogram(
            "tracker_database_seconds",
            "How long transactions took; operation is read or write.",
            ["operation"],
            buckets=_DATABASE,
            registry=registry,
        )
        for operation in ("read", "write"):
            self.database.labels(operation=operation)
        build = Gauge("tracker_build_info", "1, with the version of tracker.", ["version"], registry=registry)
        build.labels(version=version).set(1)

    def exposition(self) -> tuple[bytes, str]:
        """Everything in Prometheus' text format, and the content type to send it with."""
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4
