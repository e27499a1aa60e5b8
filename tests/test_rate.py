"""How many requests in a second an upstream gets, and what being throttled does to that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.poller.rate import Rate


def sent(rate: Rate, since: float, until: float) -> int:
    """How many requests are sent where there is always one more to send; 200 a second at most."""
    count, now = 0, since
    while now < until:
        if rate.next_at <= now:
            rate.spend(1, now)
            count += 1
        now += 0.005
    return count


def test_without_a_limit_nothing_is_held_back() -> None:
    rate = Rate(most=None)
    rate.spend(1000, 50.0)

    assert rate.next_at == 0


def test_a_limit_holds_from_the_first_second() -> None:
    assert sent(Rate(most=4), 0, 10) == pytest.approx(40, abs=2)


def test_requests_that_were_not_thought_of_are_made_up_for() -> None:
    rate = Rate(most=2)
    rate.spend(1, 100.0)
    rate.add(2, 100.0)
    rate.add(0, 100.0)

    assert rate.next_at == 101.5


def test_being_throttled_halves_what_was_sent() -> None:
    rate = Rate(most=20)
    sent(rate, 0, 30)

    assert rate.throttled(30) == pytest.approx(10, rel=0.5)


def test_without_a_limit_the_rate_of_late_is_halved() -> None:
    rate = Rate(most=None)
    for moment in range(40):
        rate.spend(5, moment / 2)

    assert 3 < rate.throttled(20) < 10


def test_it_comes_back_by_and_by() -> None:
    rate = Rate(most=10)
    sent(rate, 0, 30)
    slowed = rate.throttled(30)

    assert rate.limit(31) == pytest.approx(slowed, rel=0.05)
    assert rate.limit(60) == pytest.approx(min(slowed * 1.41, 10), rel=0.05)
    assert rate.limit(30 + 200) == 10


def test_what_has_no_limit_has_none_again_in_the_end() -> None:
    rate = Rate(most=None)
    rate.spend(10, 0)
    rate.throttled(1)

    assert rate.limit(60) is not None
    assert rate.limit(300) is None


def test_an_upstream_that_takes_so_many_a_second_throttles_seldom_and_is_used_well() -> None:
    """It takes 5 in each second and throttles the sixth; each time it is left alone for 5 s, as pauses do."""
    rate, now, answered, throttled = Rate(most=None), 0.0, 0, 0
    in_second, second = 0, 0
    while now < 600:
        now += 0.005
        if int(now) != second:
            second, in_second = int(now), 0
        if rate.next_at > now:
            continue
        rate.spend(1, now)
        in_second += 1
        if in_second <= 5:
            answered += 1
        else:
            throttled += 1
            rate.throttled(now)
            now += 5

    assert throttled < 30, "with pauses alone it would be a hundred"
    assert answered > 600 * 5 * 0.5


@given(
    most=st.none() | st.floats(0.1, 1000),
    events=st.lists(st.tuples(st.floats(0, 100), st.integers(1, 50), st.booleans()), max_size=60),
)
def test_whatever_happens_it_goes_on(most: float | None, events: list[tuple[float, int, bool]]) -> None:
    rate, now = Rate(most=most), 0.0
    for wait, requests, is_throttled in events:
        now += wait
        rate.spend(requests, now)
        if is_throttled:
            assert rate.throttled(now) >= 0.2
        limit = rate.limit(now)
        assert limit is None or limit > 0
        assert most is None or (limit is not None and limit <= most)
