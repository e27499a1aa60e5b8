"""From where free tasks are looked for: from the bottom while that is cheap, from the marks where it is not."""

import pytest
from clocks import FakeClock

from tracker.poller.marks import Marks


@pytest.fixture
def marks(clock: FakeClock) -> Marks:
    return Marks(clock.timer)


def step(marks: Marks, took: float, last: int | None = None, *, is_full: bool = False) -> int:
    """One look, and what it showed; returns from where it was."""
    marks.begin()
    above = marks["default"]
    marks.looked(took)
    marks.saw("default", last, is_full=is_full)
    return above


def test_while_more_is_behind_the_last_key_the_next_step_goes_on_from_there(marks: Marks) -> None:
    assert [step(marks, 0, last, is_full=last < 30) for last in (10, 20, 30)] == [0, 10, 20]


def test_a_cheap_look_begins_at_the_bottom_again(marks: Marks, clock: FakeClock) -> None:
    step(marks, 0.001, 10)
    clock.advance(0.75)

    assert step(marks, 0.001) == 0


def test_a_dear_look_rests_twenty_times_as_long_and_five_seconds_at_most(marks: Marks, clock: FakeClock) -> None:
    step(marks, 0.1, 10)
    clock.advance(1.9)
    assert step(marks, 0.0001) == 10
    clock.advance(0.2)
    assert step(marks, 60, 10) == 0
    clock.advance(4.9)
    assert step(marks, 0.0001) == 10
    clock.advance(0.2)

    assert step(marks, 60) == 0


def test_a_mark_never_goes_back(marks: Marks) -> None:
    step(marks, 1, 20)
    step(marks, 1, 10)

    assert step(marks, 1) == 20
