"""Where looks at what is due begin: never after anything that is due, and not at entries of what was done long ago."""

from datetime import timedelta

from clocks import FakeClock

from tracker.courier.lowwater import MARGIN, WHOLE_EVERY, LowWater

SECOND = timedelta(seconds=1)


def seen(clock: FakeClock, oldest_ago: float | None, *, took: float = 0) -> LowWater:
    """One look at all, which took so many seconds, has found something due for so long."""
    water = LowWater()
    oldest = None if oldest_ago is None else clock() - oldest_ago * SECOND
    water.see(oldest, since=None, started=clock(), ended=clock() + took * SECOND)
    return water


def test_the_first_look_is_at_all(clock: FakeClock) -> None:
    assert LowWater().mark(clock()) is None


def test_the_next_begins_before_what_has_been_due_longest(clock: FakeClock) -> None:
    assert seen(clock, 3600).mark(clock()) == clock() - 3600 * SECOND - MARGIN


def test_where_nothing_was_due_it_begins_before_what_may_be_written_just_now(clock: FakeClock) -> None:
    assert seen(clock, None).mark(clock()) == clock() - MARGIN


def test_a_look_from_the_mark_moves_it(clock: FakeClock) -> None:
    water = seen(clock, 3600)
    clock.advance(10)

    water.see(clock() - 5 * SECOND, since=water.mark(clock()), started=clock(), ended=clock())

    assert water.mark(clock()) == clock() - 5 * SECOND - MARGIN


def test_all_is_looked_at_from_time_to_time(clock: FakeClock) -> None:
    water = seen(clock, None)
    clock.advance(WHOLE_EVERY.total_seconds() - 1)
    water.see(None, since=water.mark(clock()), started=clock(), ended=clock())
    assert water.mark(clock()) is not None

    clock.advance(1)

    assert water.mark(clock()) is None


def test_a_look_that_takes_long_is_repeated_seldom(clock: FakeClock) -> None:
    water = seen(clock, None, took=10)

    clock.advance(10 + 199)
    assert water.mark(clock()) is not None
    clock.advance(1)
    assert water.mark(clock()) is None


def test_a_clock_that_was_set_back_has_all_looked_at(clock: FakeClock) -> None:
    water = seen(clock, None)

    clock.advance(-1)

    assert water.mark(clock()) is None
