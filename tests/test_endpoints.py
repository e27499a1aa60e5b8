"""What answers change about an endpoint: tables and properties of the pure part."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tracker.endpoints import (
    FAILING_BEFORE_A_PAUSE,
    FAILING_BEFORE_DISABLING,
    FAILURES_BEFORE_A_PAUSE,
    LONGEST_BETWEEN_PROBES,
    disabled,
    enabled,
    failed,
    probe_delay,
    probe_failed,
    succeeded,
)
from tracker.model import EndpointHealth, EndpointState

START = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
FRESH = EndpointHealth()


def failing(times: int, every: timedelta) -> EndpointHealth:
    health = FRESH
    for number in range(times):
        health = failed(health, "timeout", START + number * every, dice=0.5)
    return health


def test_five_failures_over_a_minute_pause_it() -> None:
    health = failing(FAILURES_BEFORE_A_PAUSE, FAILING_BEFORE_A_PAUSE / 4)

    assert health.state is EndpointState.PAUSED
    assert health.paused_until == START + FAILING_BEFORE_A_PAUSE + timedelta(seconds=30)
    assert health.reason == "5 failures in a row, the last one: timeout"


def test_many_failures_within_a_minute_do_not_pause_it() -> None:
    assert failing(50, timedelta(seconds=1)).state is EndpointState.ACTIVE


def test_few_failures_over_hours_do_not_pause_it() -> None:
    assert failing(4, timedelta(hours=1)).state is EndpointState.ACTIVE


def test_a_probe_that_fails_doubles_the_wait_up_to_five_minutes() -> None:
    health = failing(5, timedelta(seconds=15))
    waits = []
    for _ in range(6):
        now = health.paused_until or START
        health = probe_failed(health, "timeout", now, dice=0.5)
        waits.append((health.paused_until or now) - now)

    assert [wait.total_seconds() for wait in waits] == [60, 120, 240, 300, 300, 300]


def test_attempts_that_were_under_way_when_it_was_paused_leave_the_probe_where_it_is() -> None:
    paused = failing(5, timedelta(seconds=15))

    health = failed(paused, "timeout", START + timedelta(seconds=80), dice=0.5)

    assert (health.probes, health.paused_until) == (0, paused.paused_until)
    assert health.failures == 6


def test_a_success_ends_a_pause_and_forgets_the_failures() -> None:
    health = succeeded(failing(5, timedelta(seconds=15)), START)

    assert health == EndpointHealth(last_success_at=START)


def test_five_days_without_a_success_disable_it() -> None:
    health = failing(9, FAILING_BEFORE_DISABLING / 8)
    assert health.state is EndpointState.PAUSED

    health = failed(health, "refused", START + FAILING_BEFORE_DISABLING, dice=0.5)

    assert health.state is EndpointState.DISABLED
    assert health.paused_until is None
    assert "no success for 5 days and 10 failures" in (health.reason or "")


def test_what_was_disabled_stays_so_until_somebody_enables_it() -> None:
    health = disabled(FRESH, "by admin")

    assert failed(health, "timeout", START, dice=0.5).state is EndpointState.DISABLED
    assert succeeded(health, START).state is EndpointState.DISABLED
    assert enabled(health).state is EndpointState.ACTIVE


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10**6)), max_size=60), st.floats(0, 1, exclude_max=True))
def test_only_a_paused_endpoint_has_a_time_for_its_next_probe(answers: list[tuple[bool, int]], dice: float) -> None:
    health, now = FRESH, START
    for is_success, seconds in answers:
        now += timedelta(seconds=seconds)
        health = succeeded(health, now) if is_success else failed(health, "timeout", now, dice=dice)

        assert (health.paused_until is not None) is (health.state is EndpointState.PAUSED)
        assert (health.reason is None) is (health.state is EndpointState.ACTIVE)


@given(st.integers(0, 10**6), st.floats(0, 1, exclude_max=True))
def test_probes_never_wait_longer_than_five_minutes_and_a_fifth(probes: int, dice: float) -> None:
    assert timedelta(seconds=24) <= probe_delay(probes, dice=dice) <= LONGEST_BETWEEN_PROBES * 1.2
