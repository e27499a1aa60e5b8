"""What benchmarks read in a daemon's metrics."""

import math

import pytest

from bench.exposition import parse
from tracker.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(version="1.2.3")


def told(metrics: Metrics) -> str:
    return metrics.exposition()[0].decode()


def test_counters_are_summed_over_labels_or_read_for_one(metrics: Metrics) -> None:
    metrics.polls.labels("default").inc(5)
    metrics.polls.labels('odd "name"').inc(2)

    found = parse(told(metrics))

    assert found.total("tracker_polls_total") == 7
    assert found.total("tracker_polls_total", upstream="default") == 5
    assert found.total("tracker_polls_total", upstream="other") == 0


def test_a_quantile_is_told_of_what_was_observed_meanwhile(metrics: Metrics) -> None:
    for _ in range(1000):
        metrics.lateness.labels("default").observe(200.0)
    before = parse(told(metrics))
    for number in range(100):
        metrics.lateness.labels("default").observe(0.3 if number < 95 else 4.0)

    found = parse(told(metrics)).since(before)

    assert 0.25 < found.quantile(0.5, "tracker_poll_lateness_seconds") <= 0.5
    assert 2.5 < found.quantile(0.99, "tracker_poll_lateness_seconds") <= 5


def test_beyond_the_last_bucket_a_quantile_is_infinite(metrics: Metrics) -> None:
    metrics.lateness.labels("default").observe(10_000.0)

    assert parse(told(metrics)).quantile(0.99, "tracker_poll_lateness_seconds") == math.inf


def test_of_nothing_there_is_no_quantile(metrics: Metrics) -> None:
    assert math.isnan(parse(told(metrics)).quantile(0.99, "tracker_poll_lateness_seconds"))
