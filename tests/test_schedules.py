"""The retry schedules of others, simulated, and our own recovery beside them."""

import math
import random

import pytest

from bench.recovery import measure
from bench.schedules import CONVOY, OUTPOST, SVIX, Schedule, recover

PLAIN = Schedule(name="plain", waits=(10, 20, 40))


def dice() -> float:
    return 0.5


def test_a_message_that_arrives_after_the_recovery_is_delivered_at_once() -> None:
    found = recover(PLAIN, [100], up_at=100, dice=dice)

    assert (found.dead, found.last_after, found.requests) == (0, 0, 0)


def test_a_message_waits_for_its_next_slot() -> None:
    """Tried at 0, 10, 30 and 70; the receiver is back at 31."""
    found = recover(PLAIN, [0], up_at=31, dice=dice)

    assert (found.dead, found.last_after, found.requests) == (0, 39, 3)
    assert found.empty_after == 39


def test_without_attempts_left_a_message_is_dead_and_the_backlog_never_empty() -> None:
    found = recover(PLAIN, [0, 65], up_at=71, dice=dice)

    assert (found.dead, found.last_after, found.requests) == (1, 4, 4 + 1)
    assert found.empty_after == math.inf


@pytest.mark.parametrize(("roll", "last"), [(0.0, 2.0), (0.5, 4.0), (0.75, 5.0)])
def test_jitter_moves_a_wait_either_way(roll: float, last: float) -> None:
    jittered = Schedule(name="jittered", waits=(10,), jitter=0.2)

    assert recover(jittered, [0], up_at=6, dice=lambda: roll).last_after == last


@pytest.mark.parametrize(
    ("schedule", "hours"), [(SVIX, 27.6), (CONVOY, 0.28), (OUTPOST, 8.5)], ids=["Svix", "Convoy", "Outpost"]
)
def test_each_schedule_covers_what_its_makers_say(schedule: Schedule, hours: float) -> None:
    assert sum(schedule.waits) / 3600 == pytest.approx(hours, rel=0.01)


def test_the_same_seed_makes_the_same_outage() -> None:
    arrivals = [float(second) for second in range(0, 21_600, 60)]

    first, second = (recover(SVIX, arrivals, up_at=21_600, dice=random.Random(3).random) for _ in range(2))  # noqa: S311 - a simulation

    assert first == second


def test_a_receiver_that_comes_back_gets_everything_once_and_no_more_at_once_than_its_share() -> None:
    drained = measure(7, messages=200, hours=0.25)

    assert (drained.missing, drained.repeats) == (0, 0)
    assert 1 < drained.most_at_once <= 4
    assert drained.requests < 60
    assert drained.waited < 360
