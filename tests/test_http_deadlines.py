"""What a deadline does to the task inside it."""

import asyncio

import pytest

from tracker.http.deadlines import Deadline, Deadlines

SOON = 0.01


def within(seconds: float = SOON) -> Deadline:
    return Deadlines(seconds).begin()


async def test_what_takes_longer_is_a_timeout() -> None:
    with pytest.raises(TimeoutError), within():
        await asyncio.Event().wait()

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_what_ends_before_is_left_alone() -> None:
    with within():
        pass

    await asyncio.sleep(0.02)


async def test_a_deadline_can_be_moved_both_ways() -> None:
    now = asyncio.get_running_loop().time()
    with within(0.0) as later:
        later.move(now + 60)
        await asyncio.sleep(SOON)
    sooner = within(60)
    sooner.move(now + SOON)
    with pytest.raises(TimeoutError), sooner:
        await asyncio.Event().wait()


async def test_being_cancelled_by_somebody_else_stays_that() -> None:
    async def waiting() -> None:
        with within(60):
            await asyncio.Event().wait()

    task = asyncio.create_task(waiting())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_being_cancelled_as_the_deadline_passes_is_not_swallowed() -> None:
    async def waiting() -> None:
        with within(0.0):
            try:
                await asyncio.Event().wait()
            finally:
                # What it asked for has been heard; now somebody else asks too.
                task.cancel()

    task = asyncio.create_task(waiting())

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_only_the_deadline_that_passed_says_so() -> None:
    with pytest.raises(TimeoutError), within() as outer, within(60) as inner:
        await asyncio.Event().wait()

    assert (outer.has_passed, inner.has_passed) == (True, False)


async def test_an_error_inside_is_the_error_outside() -> None:
    with pytest.raises(ValueError, match="broken"), within(60):
        raise ValueError("broken")


async def test_each_of_many_ends_in_its_turn() -> None:
    deadlines, ended = Deadlines(SOON), []

    async def waiting(name: str, lasting: float) -> None:
        await asyncio.sleep(lasting)
        with pytest.raises(TimeoutError), deadlines.begin() as limit:
            await asyncio.Event().wait()
        assert asyncio.get_running_loop().time() >= limit.ends_at
        ended.append(name)

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for name, lasting in (("third", 2 * SOON), ("first", 0.0), ("second", SOON)):
            group.create_task(waiting(name, lasting))

    assert ended == ["first", "second", "third"]


async def test_one_that_is_done_leaves_the_others_theirs() -> None:
    deadlines = Deadlines(2 * SOON)

    async def waiting() -> None:
        with deadlines.begin():
            with deadlines.begin():
                pass
            with deadlines.begin() as moved:
                moved.move(moved.ends_at + 60)
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await waiting()


async def test_deadlines_leave_no_timer_behind() -> None:
    deadlines = Deadlines(60)

    with deadlines.begin(), deadlines.begin():
        assert len(timers()) == 1

    assert timers() == []


def timers() -> list[asyncio.TimerHandle]:
    scheduled: list[asyncio.TimerHandle] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined] # noqa: SLF001
    return [handle for handle in scheduled if not handle.cancelled()]
