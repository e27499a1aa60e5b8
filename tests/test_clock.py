"""A clock that others go by too: however wrong our own is, it tells theirs."""

from datetime import timedelta

from clocks import START, FakeClock

from tracker.clock import SharedClock

HOURS = timedelta(hours=3)


def shared(clock: FakeClock) -> SharedClock:
    return SharedClock(clock, clock.timer)


def test_before_the_first_reading_it_tells_our_own(clock: FakeClock) -> None:
    assert shared(clock)() == START


def test_it_goes_on_from_what_was_read_whatever_our_own_does(clock: FakeClock) -> None:
    told = shared(clock)
    told.set(START - HOURS, asked=clock.seconds, answered=clock.seconds)

    clock.advance(5)
    clock.now += HOURS  # somebody set it

    assert told() == START - HOURS + timedelta(seconds=5)
    assert told.ahead == 2 * HOURS


def test_the_moment_of_a_reading_is_halfway_between_question_and_answer(clock: FakeClock) -> None:
    told = shared(clock)
    told.set(START, asked=clock.seconds - 0.2, answered=clock.seconds)

    assert told() == START + timedelta(seconds=0.1)


def test_a_slow_answer_does_not_replace_what_is_known_better(clock: FakeClock) -> None:
    told = shared(clock)
    told.set(START, asked=clock.seconds, answered=clock.seconds)
    clock.advance(5)

    told.set(START + timedelta(seconds=4, milliseconds=900), asked=clock.seconds - 2, answered=clock.seconds)

    assert told() == START + timedelta(seconds=5)


def test_a_clock_that_was_set_is_followed_even_by_a_slow_answer(clock: FakeClock) -> None:
    told = shared(clock)
    told.set(START, asked=clock.seconds, answered=clock.seconds)
    clock.advance(5)

    told.set(START + HOURS, asked=clock.seconds - 2, answered=clock.seconds)

    assert told() == START + HOURS + timedelta(seconds=1)
