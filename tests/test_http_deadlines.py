"""What a deadline does to the task inside it."""

import asyncio

import pytest

from tracker.http.deadlines import Deadline


def soon(seconds: float = 0.01) -> tuple[asyncio.AbstractEventLoop, float]:
    loop = asyncio.get_running_loop()
    return loop, loop.time() + seconds


async def test_what_takes_longer_is_a_timeout() -> None:
    with pytest.raises(TimeoutError), Deadline(*soon()):
        await asyncio.Event().wait()

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_what_ends_before_is_left_alone() -> None:
    with Deadline(*soon()):
        pass

    await asyncio.sleep(0.02)


async def test_a_deadline_can_be_moved_both_ways() -> None:
    with Deadline(*soon(0.0)) as later:
        later.move(soon(60)[1])
        await asyncio.sleep(0.01)
    sooner = Deadline(*soon(60))
    sooner.move(soon()[1])
    with pytest.raises(TimeoutError), sooner:
        await asyncio.Event().wait()


async def test_being_cancelled_by_somebody_else_stays_that() -> None:
    async def waiting() -> None:
        with Deadline(*soon(60)):
            await asyncio.Event().wait()

    task = asyncio.create_task(waiting())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_being_cancelled_as_the_deadline_passes_is_not_swallowed() -> None:
    async def waiting() -> None:
        with Deadline(*soon(0.0)):
            try:
                await asyncio.Event().wait()
            finally:
                # What it asked for has been heard; now somebody else asks too.
                task.cancel()

    task = asyncio.create_task(waiting())

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_only_the_deadline_that_passed_says_so() -> None:
    with pytest.raises(TimeoutError), Deadline(*soon()) as outer, Deadline(*soon(60)) as inner:
        await asyncio.Event().wait()

    assert (outer.has_passed, inner.has_passed) == (True, False)


async def test_an_error_inside_is_the_error_outside() -> None:
    with pytest.raises(ValueError, match="broken"), Deadline(*soon(60)):
        raise ValueError("broken")
