"""What Prometheus gets to see."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tracker.metrics import Gathering, Metrics
from tracker.model import DeliveryStatus, Status

SERIES = {
    "tracker_tasks": {"status"},
    "tracker_watched_tasks": {"upstream"},
    "tracker_polls_total": {"upstream"},
    "tracker_poll_lateness_seconds": {"upstream"},
    "tracker_upstream_requests_total": {"upstream"},
    "tracker_upstream_errors_total": {"upstream", "kind"},
    "tracker_upstream_paused": {"upstream"},
    "tracker_unknown_statuses_total": {"upstream"},
    "tracker_events_total": {"event"},
    "tracker_deliveries_total": {"outcome"},
    "tracker_deliveries_by_status": {"status"},
    "tracker_endpoints": {"state"},
    "tracker_endpoint_turns_total": {"state"},
    "tracker_operator_messages_total": {"outcome"},
    "tracker_attempt_duration_seconds": set(),
    "tracker_oldest_due_delivery_seconds": set(),
    "tracker_finish_to_detect_seconds": set(),
    "tracker_finish_to_deliver_seconds": set(),
    "tracker_loop_heartbeat_timestamp_seconds": {"loop"},
    "tracker_database_seconds": {"operation"},
    "tracker_build_info": {"version"},
}


def touched() -> Metrics:
    """Metrics where every series has been given a value."""
    metrics = Metrics(version="1.2.3")
    metrics.tasks.labels(status="running").set(3)
    metrics.events.labels(event="status").inc()
    metrics.finish_to_detect.observe(2)
    metrics.finish_to_deliver.observe(3)
    metrics.watched.labels(upstream="default").set(6)
    metrics.polls.labels(upstream="default").inc(5)
    metrics.lateness.labels(upstream="default").observe(0.2)
    metrics.upstream_requests.labels(upstream="default").inc()
    metrics.upstream_errors.labels(upstream="default", kind="throttled").inc()
    metrics.upstream_paused.labels(upstream="default").set(1)
    metrics.unknown_statuses.labels(upstream="default").inc()
    metrics.deliveries.labels(status="pending").set(7)
    metrics.delivery_outcomes.labels(outcome="delivered").inc(2)
    metrics.attempt_duration.observe(0.1)
    metrics.endpoint_turns.labels(state="paused").inc(3)
    metrics.operator_messages.labels(outcome="delivered").inc(4)
    metrics.oldest_due_delivery.set(4)
    metrics.heartbeat.labels(loop="poller").set(1_700_000_000)
    metrics.database.labels(operation="write").observe(0.001)
    return metrics


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    body, _ = metrics.exposition()
    families = text_string_to_metric_families(body.decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_exactly_these_series_exist_with_exactly_these_labels() -> None:
    seen: dict[str, set[str]] = {}
    for name, labels in samples(touched()):
        stem = name
        for suffix in ("_bucket", "_count", "_sum"):
            stem = stem.removesuffix(suffix)
        seen.setdefault(stem, set()).update(key for key, _ in labels if key != "le")

    assert seen == SERIES


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("tracker_tasks", {"status": "running"}, 3),
        ("tracker_polls_total", {"upstream": "default"}, 5),
        ("tracker_upstream_errors_total", {"upstream": "default", "kind": "throttled"}, 1),
        ("tracker_deliveries_by_status", {"status": "pending"}, 7),
        ("tracker_endpoint_turns_total", {"state": "paused"}, 3),
        ("tracker_operator_messages_total", {"outcome": "delivered"}, 4),
        ("tracker_deliveries_total", {"outcome": "delivered"}, 2),
        ("tracker_build_info", {"version": "1.2.3"}, 1),
        ("tracker_finish_to_detect_seconds_sum", {}, 2),
    ],
)
def test_a_series_tells_what_it_was_given(name: str, labels: dict[str, str], value: float) -> None:
    assert samples(touched())[name, frozenset(labels.items())] == value


@pytest.mark.parametrize(
    ("name", "statuses"), [("tracker_tasks", Status), ("tracker_deliveries_by_status", DeliveryStatus)]
)
def test_every_status_is_there_from_the_start(name: str, statuses: type[Status | DeliveryStatus]) -> None:
    fresh = samples(Metrics(version="1"))

    assert {fresh[name, frozenset({("status", status.value)})] for status in statuses} == {0}


def test_no_two_metrics_share_a_name() -> None:
    """A counter's bare name counts as taken: OpenMetrics refuses a gauge of that name beside it."""
    body, _ = touched().exposition()
    described = [line.split()[2].removesuffix("_total") for line in body.decode().splitlines() if "# TYPE" in line]

    assert sorted(described) == sorted(set(described))


@pytest.mark.parametrize("name", ["tracker_finish_to_detect_seconds", "tracker_finish_to_deliver_seconds"])
def test_the_way_from_finish_is_measured_from_a_tenth_of_a_second_to_three_days(name: str) -> None:
    edges = {
        float(dict(labels)["le"]) for series, labels in samples(Metrics(version="1")) if series == f"{name}_bucket"
    }

    assert min(edges) == 0.1
    assert max(edges - {float("inf")}) == 3 * 86400


def test_two_sets_of_metrics_share_nothing() -> None:
    one, other = Metrics(version="1"), Metrics(version="1")

    one.polls.labels(upstream="default").inc()

    assert ("tracker_polls_total", frozenset({("upstream", "default")})) in samples(one)
    assert ("tracker_polls_total", frozenset({("upstream", "default")})) not in samples(other)


def test_the_content_type_is_that_of_the_text_format() -> None:
    assert Metrics(version="1").exposition()[1] == "text/plain; version=0.0.4; charset=utf-8"


@given(st.lists(st.sampled_from([0.0, 0.125, 0.25, 0.5, 1.0, 7.0]), max_size=300))
def test_numbers_that_are_gathered_are_told_as_one_by_one(amounts: list[float]) -> None:
    """Whenever it is read, and read again."""
    Metrics(version="0")  # which has the library leave out when a series was made

    def told(kind: type[Histogram]) -> list[bytes]:
        registry = CollectorRegistry()
        lateness = kind("late", "How late.", ["upstream"], buckets=(0.125, 0.5, 1.0), registry=registry).labels("a")
        half = len(amounts) // 2
        for amount in amounts[:half]:
            lateness.observe(amount)
        first = generate_latest(registry)
        for amount in amounts[half:]:
            lateness.observe(amount)
        return [first, generate_latest(registry)]

    assert told(Gathering) == told(Histogram)
