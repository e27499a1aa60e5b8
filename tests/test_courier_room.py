"""Room at the courier: nobody waits for a black hole, and nobody is called more than they may be."""

import asyncio
import time
from typing import TypeVar

import pytest
from clocks import until
from couriers import COPIES, GOOD, GOOD_ENDPOINT, HOLE, HOLE_ENDPOINT, Post
from fakes import World, delivered, failed, want

from tracker.store.database import Work

pytestmark = pytest.mark.anyio

T = TypeVar("T")


HOLES = [f"https://hole{number}.example" for number in range(300)]


async def sent_beside_holes(post: Post) -> int:
    """How many of these are called at once, each with a message, while five go to one that is known to answer."""
    post.sender.holes |= {f"{hole}:443": asyncio.Event() for hole in HOLES}
    post.know(GOOD_ENDPOINT)
    post.world.pending(*(want(hole, url=hole) for hole in HOLES))
    post.pending(5, GOOD)
    async with asyncio.TaskGroup() as group:
        group.create_task(post.courier.run())
        await until(lambda: post.sender.sent_to(GOOD_ENDPOINT) == 5)
        called = len(post.sender.sent) - 5
        post.courier.stop()
        for hole in post.sender.holes.values():
            hole.set()
    return called


class TestRoom:
    async def test_one_that_nobody_has_heard_of_gets_a_single_message_first(self, world: World) -> None:
        post = Post(world)
        post.pending(20, HOLE)
        hole = post.sender.holes[HOLE_ENDPOINT] = asyncio.Event()

        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run())
            post.pending(9, GOOD)
            post.courier.wake()
            await until(lambda: post.sender.sent_to(GOOD_ENDPOINT) == 9)

            assert post.sender.sent_to(HOLE_ENDPOINT) == 1
            post.courier.stop()
            hole.set()

    async def test_many_slow_ones_leave_room_for_the_others(self, world: World) -> None:
        """Even when there are more of them than a look shows, each with a single message."""
        post = Post(world)
        for hole in HOLES:
            post.know(f"{hole}:443", seconds=30)

        assert await sent_beside_holes(post) == 32

    async def test_new_names_without_end_leave_room_for_those_that_answered_before(self, world: World) -> None:
        assert await sent_beside_holes(Post(world)) == 16

    async def test_while_every_slot_is_taken_it_sleeps_though_more_is_due(self, world: World) -> None:
        post = Post(world, {"max_in_flight": 2})
        post.know(HOLE_ENDPOINT)
        post.pending(20, HOLE)
        hole = post.sender.holes[HOLE_ENDPOINT] = asyncio.Event()

        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run())
            await until(lambda: len(post.sender.sent) == 2)
            beats = len(post.beats)
            await asyncio.sleep(0.05)

            assert len(post.beats) <= beats + 1
            post.courier.stop()
            hole.set()

    async def test_while_everything_is_taken_nobody_looks_whatever_else_comes_in(self, world: World) -> None:
        """What might wait for brisk endpoints is room for no other."""
        post = Post(world, {"max_in_flight": 2})
        holes = post.pending_at_holes(*"abcdefg")
        looks = 0
        read = world.database.read

        async def counted(work: Work[T]) -> T:
            nonlocal looks
            looks += 1
            return await read(work)

        world.database.read = counted  # type: ignore[method-assign]
        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run())
            await until(lambda: len(post.sender.sent) == 2 and post.courier._slots.free_for_all == 0)  # noqa: SLF001
            before = looks
            for _ in range(10):
                beats = len(post.beats)
                post.courier.wake()
                await until(lambda beats=beats: len(post.beats) > beats)  # type: ignore[misc]

            assert looks <= before + 1
            for hole in holes:
                hole.set()
            await until(lambda: len(post.sender.sent) == 7)
            post.courier.stop()

    async def test_one_that_worked_before_a_restart_gets_its_whole_share(self, world: World) -> None:
        before = Post(world)
        before.pending(1, GOOD)
        await before.courier.run_once()
        after = Post(world)
        world.pending(*(want(f"again {number}", url=GOOD) for number in range(4)))

        claimed = await after.courier._claim()  # noqa: SLF001

        assert len(claimed) == 4

    async def test_one_that_failed_last_gets_a_single_message_after_a_restart(self, world: World) -> None:
        before = Post(world)
        before.pending(2, GOOD)
        before.sender.script += [delivered(), failed()]
        await before.courier.run_once()
        after = Post(world)
        world.pending(*(want(f"again {number}", url=GOOD) for number in range(4)))

        claimed = await after.courier._claim()  # noqa: SLF001

        assert len(claimed) == 1

    async def test_where_looking_takes_long_everything_is_delivered_all_the_same(self, world: World) -> None:
        post = Post(world)
        for number in range(3):
            post.pending(200, f"https://h{number}.example/")
        read = world.database.read

        async def slowly(work: Work[T]) -> T:
            world.clock.advance(1.0)
            return await read(work)

        world.database.read = slowly  # type: ignore[method-assign]

        assert await post.courier.run_once() == 600

    async def test_an_endpoint_is_called_no_faster_than_allowed(self, world: World) -> None:
        post = Post(world, {"max_per_second_per_endpoint": 2})
        post.pending(3, GOOD)
        post.pending(1, "https://other.example/")

        assert await post.courier.run_once() == 2
        assert await post.courier.run_once() == 0
        world.clock.advance(0.49)
        assert await post.courier.run_once() == 0
        world.clock.advance(0.02)
        assert await post.courier.run_once() == 1
        world.clock.advance(0.51)
        assert await post.courier.run_once() == 1

    async def test_a_rate_is_kept_up_although_answers_are_slow(self, world: World) -> None:
        """Two a second means two a second, also to a receiver that takes five seconds."""
        post = Post(world, {"max_per_second_per_endpoint": 2, "max_in_flight_per_endpoint": 3})
        post.know(HOLE_ENDPOINT, seconds=5)
        post.pending(5, HOLE)
        hole = post.sender.holes[HOLE_ENDPOINT] = asyncio.Event()

        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run())
            for number in (1, 2, 3):
                await until(lambda number=number: len(post.sender.sent) == number)  # type: ignore[misc]
                world.clock.advance(0.51)
                post.courier.wake()
            beats = len(post.beats)
            post.courier.wake()
            await until(lambda: len(post.beats) > beats)
            assert len(post.sender.sent) == 3, "as many as may be out"
            post.courier.stop()
            hole.set()

    async def test_a_rate_needs_nobody_to_wake_it(self, world: World) -> None:
        post = Post(world, {"max_per_second_per_endpoint": 100}, timer=time.monotonic)
        post.pending(5, GOOD)

        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run())
            await until(lambda: len(post.sender.sent) == 5)
            post.courier.stop()

    async def test_a_black_hole_with_a_thousand_messages_holds_nobody_up(self, world: World) -> None:
        post = Post(world)
        world.pending(want("hole", url=HOLE), want("good", url=GOOD))
        world.sql(COPIES, task="hole", number=1000)
        hole = post.sender.holes[HOLE_ENDPOINT] = asyncio.Event()

        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run())
            await until(lambda: post.sender.sent_to(GOOD_ENDPOINT) == 1)

            assert post.sender.sent_to(HOLE_ENDPOINT) == 1
            assert len(post.beats) <= 4, "a bounded number of passes"
            post.courier.stop()
            hole.set()
