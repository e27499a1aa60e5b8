"""Loops are woken by ticks, where they stand."""

import asyncio
from datetime import timedelta

from tracker.daemon.loops import Ticks

_SOON = 5.0


async def test_a_tick_wakes_again_and_again_without_a_task_for_it() -> None:
    """A daemon with nothing to do is woken all the time: what that costs is what it costs."""
    woken: list[int] = []
    often = asyncio.Event()

    def wake() -> None:
        woken.append(len(asyncio.all_tasks()))
        if len(woken) == 3:
            often.set()

    ticks = Ticks()
    ticks.every(timedelta(milliseconds=10), wake)
    ticks.start()
    try:
        async with asyncio.timeout(_SOON):
            await often.wait()
    finally:
        ticks.stop()

    assert set(woken) == {len(asyncio.all_tasks())}


async def test_nothing_ticks_after_the_end() -> None:
    """What is being stopped must not be woken."""
    woken: list[None] = []
    ticks = Ticks()
    ticks.every(timedelta(milliseconds=5), lambda: woken.append(None))
    ticks.start()

    ticks.stop()
    await asyncio.sleep(0)
    before = len(woken)
    await asyncio.sleep(0.05)

    assert len(woken) == before
