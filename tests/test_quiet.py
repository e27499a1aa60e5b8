"""Looks without news are gathered for a moment, and settled together."""

import asyncio

import pytest

from tracker.poller.quiet import MOST_TASKS, Quiet
from tracker.poller.schedule import Watched

pytestmark = pytest.mark.anyio


def watched(key: int) -> Watched:
    return Watched(key=key, task_id=str(key), expires_at=0.0, news_at=0.0)


class Settled:
    """What was settled, by keys, with the number of looks."""

    def __init__(self) -> None:
        self.groups: list[tuple[list[int], int]] = []
        self.happened = asyncio.Event()

    def __call__(self, tasks: list[Watched], looks: int) -> None:
        self.groups.append(([task.key for task in tasks], looks))
        self.happened.set()


async def test_looks_that_come_back_within_a_moment_are_settled_together() -> None:
    settled = Settled()
    quiet = Quiet(settled)

    for key in range(3):
        quiet.add([watched(key)])
    await settled.happened.wait()

    assert settled.groups == [([0, 1, 2], 3)]


async def test_a_moment_is_longer_than_a_turn_of_the_event_loop() -> None:
    settled = Settled()
    quiet = Quiet(settled, longest_seconds=60.0)

    for key in range(3):
        quiet.add([watched(key)])
        await asyncio.sleep(0)
    assert settled.groups == []
    quiet.settle()

    assert settled.groups == [([0, 1, 2], 3)]


async def test_many_wait_for_nobody() -> None:
    settled = Settled()
    quiet = Quiet(settled, longest_seconds=60.0)

    for key in range(MOST_TASKS - 1):
        quiet.add([watched(key)])
    assert settled.groups == []
    quiet.add([watched(MOST_TASKS - 1), watched(MOST_TASKS)])

    assert settled.groups == [(list(range(MOST_TASKS + 1)), MOST_TASKS)]


async def test_what_comes_after_a_group_is_a_group_of_its_own() -> None:
    settled = Settled()
    quiet = Quiet(settled)

    quiet.add([watched(1)])
    quiet.settle()
    settled.happened.clear()
    quiet.add([watched(2)])
    await settled.happened.wait()

    assert settled.groups == [([1], 1), ([2], 1)]


async def test_where_there_are_none_nothing_is_settled() -> None:
    settled = Settled()

    Quiet(settled).settle()

    assert settled.groups == []
