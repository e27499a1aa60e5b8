"""When things are due: bounds that hold for every pace, quietness and throw of the dice."""

from datetime import timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tracker.cadence import (
    LONGEST_RETRY_AFTER,
    PATIENCE_SECONDS,
    SLOWEST_SECONDS,
    aligned,
    jittered,
    patient,
    pause,
    retry_delay,
    stops,
    when_missing,
)

DICE = st.floats(0, 1, exclude_max=True)
MIDDLE = 0.5
INTERVALS = st.floats(0.05, 3600)
SCHEDULE = tuple(timedelta(seconds=s) for s in (0, 5, 300, 1800))


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


@pytest.mark.parametrize(
    ("quiet", "expected"), [(0, 5), (599, 5), (650, 5), (700, 10), (1150, 55), (86_400, 60), (-3600, 5)]
)
def test_where_looks_are_free_the_interval_is_kept_for_ten_minutes_of_silence(quiet: float, expected: float) -> None:
    assert patient(5, quiet=quiet) == pytest.approx(expected)


@pytest.mark.parametrize(("misses", "expected"), [(0, 5), (1, 5), (2, 7.5), (3, 11.25), (50, 60)])
def test_missing_tasks_are_looked_at_less_often(misses: int, expected: float) -> None:
    assert when_missing(5, interval=5, misses=misses) == expected


def test_a_gap_that_is_longer_stays_as_long_when_a_task_is_missing() -> None:
    assert when_missing(30, interval=5, misses=2) == 30


def test_an_interval_longer_than_a_minute_is_kept() -> None:
    assert when_missing(patient(600, quiet=86_400), interval=600, misses=9) == 600


@given(interval=INTERVALS, quiet=st.floats(0, 10**6), misses=st.integers(0, 10**9), dice=DICE)
def test_the_next_look_is_within_a_tenth_of_its_bounds(interval: float, quiet: float, misses: int, dice: float) -> None:
    gap = jittered(when_missing(patient(interval, quiet=quiet), interval=interval, misses=misses), dice)

    assert interval * 0.89 <= gap <= max(interval, SLOWEST_SECONDS) * 1.11


@given(interval=INTERVALS, quiet=st.floats(0, 10**6))
def test_an_end_is_found_at_most_a_tenth_of_the_silence_late(interval: float, quiet: float) -> None:
    assert patient(interval, quiet=quiet) <= max(interval, (quiet - PATIENCE_SECONDS) * 0.1)


@pytest.mark.parametrize(("failures", "expected"), [(0, 0), (1, 5), (2, 300), (3, 1800)])
def test_retries_follow_the_schedule(failures: int, expected: float) -> None:
    assert retry_delay(failures, schedule=SCHEDULE, retry_after=None, dice=MIDDLE) == seconds(expected)


@given(failures=st.integers(len(SCHEDULE), 100), retry_after=st.none() | st.timedeltas(), dice=DICE)
def test_a_schedule_that_is_used_up_gives_up(failures: int, retry_after: timedelta | None, dice: float) -> None:
    assert retry_delay(failures, schedule=SCHEDULE, retry_after=retry_after, dice=dice) is None


@given(failures=st.integers(0, len(SCHEDULE) - 1), dice=DICE)
def test_jitter_is_a_fifth_to_either_side(failures: int, dice: float) -> None:
    delay = retry_delay(failures, schedule=SCHEDULE, retry_after=None, dice=dice)

    assert delay is not None
    assert SCHEDULE[failures] * 0.799 <= delay <= SCHEDULE[failures] * 1.201


@given(failures=st.integers(0, len(SCHEDULE) - 1), retry_after=st.timedeltas(), dice=DICE)
def test_a_retry_is_never_earlier_than_the_receiver_asked_within_a_day(
    failures: int, retry_after: timedelta, dice: float
) -> None:
    delay = retry_delay(failures, schedule=SCHEDULE, retry_after=retry_after, dice=dice)

    assert delay is not None
    assert delay >= min(retry_after, LONGEST_RETRY_AFTER)
    assert delay <= LONGEST_RETRY_AFTER * 1.201


@pytest.mark.parametrize(("times", "expected"), [(0, 5), (1, 5), (2, 10), (4, 40), (5, 60), (10**6, 60)])
def test_pauses_double_up_to_a_minute(times: int, expected: float) -> None:
    assert pause(times, retry_after=None) == seconds(expected)


@pytest.mark.parametrize(("asked", "expected"), [(1, 10), (60, 60), (3600, 3600), (10**9, 86_400), (-5, 10)])
def test_a_pause_is_as_long_as_the_upstream_asks_within_a_day(asked: float, expected: float) -> None:
    assert pause(2, retry_after=seconds(asked)) == seconds(expected)


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_pauses_never_get_shorter(fewer: int, more: int) -> None:
    assume(fewer < more)

    assert pause(fewer, retry_after=None) <= pause(more, retry_after=None)


@given(st.floats(0, 10**7), st.integers(1, 10**6))
def test_due_times_meet_at_five_stops_in_each_interval(due: float, milliseconds: int) -> None:
    interval = timedelta(milliseconds=milliseconds)
    stop = interval.total_seconds() / 5

    met = aligned(due, interval=interval)

    assert abs(met - due) <= stop * 0.5001
    assert abs(met / stop - round(met / stop)) < 1e-3


@given(tasks=st.integers(0, 10**7), look_size=st.integers(2, 1000))
def test_stops_are_few_enough_to_fill_requests_and_many_enough_to_avoid_crowds(tasks: int, look_size: int) -> None:
    number = stops(tasks, look_size=look_size)

    assert 5 <= number <= 600
    assert number == 5 or tasks / number >= 4 * look_size
    assert number == 600 or tasks / number < 5 * look_size + 1 or number == 5
