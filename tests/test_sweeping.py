"""Forgetting in steps that fit the machine, and walking only where it was not walked before."""

from datetime import timedelta

import pytest
from fakes import World, delivered, failed, statements, want

from tracker.janitor.stride import MOST_SECONDS, Stride
from tracker.janitor.sweeping import FROM_THE_BEGINNING_EVERY, Broom
from tracker.store import retention

DAY = timedelta(days=1)


class TestStride:
    def test_a_slow_step_is_followed_by_one_that_fits(self) -> None:
        stride = Stride(rows=1000)

        stride.took(1000, 10 * MOST_SECONDS)

        assert stride.rows == 80

    def test_quick_steps_grow_up_to_what_is_bearable(self) -> None:
        stride = Stride()
        for _ in range(100):
            stride.took(stride.rows, stride.rows * 0.0001)

        assert MOST_SECONDS / 2 <= stride.rows * 0.0001 <= MOST_SECONDS

    def test_a_step_that_found_little_says_nothing(self) -> None:
        stride = Stride(rows=100)

        stride.took(3, 0.0001)

        assert stride.rows == 100

    @pytest.mark.parametrize("seconds", [0.0, 1000.0])
    def test_it_stays_within_bounds(self, seconds: float) -> None:
        stride = Stride()
        for _ in range(200):
            stride.took(stride.rows, seconds)

        assert 10 <= stride.rows <= 5000


pytestmark = pytest.mark.anyio


async def sweep(broom: Broom, world: World) -> int:
    return await broom.sweep(ended_before=world.clock() - 30 * DAY, now=world.clock())


async def test_it_goes_on_where_it_ended_and_once_a_day_begins_anew(world: World) -> None:
    """What waited the first time is found on the next day, and not looked for before."""
    broom = Broom(world.database, retention.BODIES)
    world.settle(world.claim(*world.pending(want("1")))[0], failed(), again_after=40 * 86400)
    world.clock.advance(31 * 86400)
    assert await sweep(broom, world) == 0
    world.clock.advance(9 * 86400)
    await sweep(broom, world)
    world.settle(world.claim(*world.column("SELECT key FROM delivery"))[0], delivered())

    world.clock.advance(600)
    with statements() as sent:
        assert await sweep(broom, world) == 0
    assert not any("body" in statement for statement in sent), "nothing new has become old"

    world.clock.advance(FROM_THE_BEGINNING_EVERY.total_seconds())
    assert await sweep(broom, world) == 1
    assert world.column("SELECT body FROM delivery") == [None]


async def test_what_was_swept_is_not_walked_again(world: World) -> None:
    broom = Broom(world.database, retention.ATTEMPTS)
    for number in range(3):
        world.settle(world.claim(*world.pending(want(str(number))))[0], delivered())
        world.clock.advance(3600)
    world.clock.advance(30 * 86400 - 2 * 3600)

    forgotten = []
    for _ in range(3):
        forgotten.append(await sweep(broom, world))
        world.clock.advance(3600)

    assert forgotten == [1, 1, 1]


async def test_a_task_that_is_revived_meanwhile_is_not_forgotten(world: World) -> None:
    world.register(want("1", url=None))
    world.sql("UPDATE task SET status = 'dropped', ended_at = registered_at")
    key = world.key()
    world.clock.advance(100 * 86400)
    world.register(want("1", url=None))
    before = world.clock() - 30 * DAY

    for step in (retention.TASKS, retention.OBJECTS):
        assert world.write(lambda c, step=step: step.forget(c, [key], ended_before=before)) == 0
    assert world.column("SELECT status FROM task") == ["queued"]
