"""How many deliveries a courier claims, and what becomes of those that it does not send."""

import asyncio
from typing import TypeVar

import pytest
from clocks import until
from couriers import GOOD, GOOD_ENDPOINT, Post
from fakes import World

from tracker.courier.claims import Claimed
from tracker.store.database import Work

pytestmark = pytest.mark.anyio

T = TypeVar("T")


class TestClaiming:
    async def test_an_endpoint_gets_no_more_at_once_than_its_share(self, world: World) -> None:
        post = Post(world, {"max_in_flight_per_endpoint": 3})
        post.pending(20, GOOD)

        assert await post.courier.run_once() == 20

        assert post.sender.most_at_once == 3

    async def test_all_together_get_no_more_than_there_is(self, world: World) -> None:
        post = Post(world, {"max_in_flight": 5})
        for number in range(8):
            post.know(f"https://h{number}.example:443")
            post.pending(4, f"https://h{number}.example/")

        assert await post.courier.run_once() == 32

        assert post.sender.most_at_once == 5

    async def test_more_are_claimed_than_are_sent_so_that_neither_waits_for_the_other(self, world: World) -> None:
        post = Post(world, {"max_in_flight": 2})
        post.pending_at_holes(*"abcdefg")

        running = asyncio.create_task(post.courier.run())
        await until(lambda: post.courier._slots.free_for_all == 0)  # noqa: SLF001 - they have been taken, not only claimed

        assert len(post.world.attempts()) == 6
        await until(lambda: len(post.sender.sent) == 2)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert len(post.world.due()) == 7, "also those that waited are given back"

    async def test_stopped_it_sends_nothing_of_what_it_has_only_claimed(self, world: World) -> None:
        """A third of it is under way; with slow receivers the rest would take longer than a stop may."""
        post = Post(world, {"max_in_flight": 2})
        holes = post.pending_at_holes(*"abcdefg")
        running = asyncio.create_task(post.courier.run())
        await until(lambda: post.courier._slots.free_for_all == 0)  # noqa: SLF001 - as above
        await until(lambda: len(post.sender.sent) == 2)

        post.courier.stop()
        for hole in holes:
            hole.set()
        await running

        assert len(post.sender.sent) == 2
        assert len(post.world.due()) == 5
        assert post.world.attempts() == [(1, "failed")] * 2, "what was not sent is no attempt"

    async def test_more_are_claimed_for_a_brisk_endpoint_than_it_gets_at_a_time(self, world: World) -> None:
        """A claim takes longer than what it does with them."""
        post = Post(world, {"max_in_flight_per_endpoint": 2})
        post.pending(21, GOOD)
        sizes: list[int] = []
        claim = post.courier._write  # noqa: SLF001 - how many come at a time

        async def counted(work: Work[list[Claimed]]) -> list[Claimed]:
            claimed = await claim(work)
            sizes.append(len(claimed))
            return claimed

        post.courier._write = counted  # type: ignore[method-assign]  # noqa: SLF001
        assert await post.courier.run_once() == 21

        assert sizes == [1, 8, 8, 4]
        assert post.sender.most_at_once == 2

    async def test_one_that_is_brisk_no_longer_keeps_nothing_waiting(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tracker.courier.queue._LONGEST_QUEUE", 0.01)
        post = Post(world, {"max_in_flight_per_endpoint": 2})
        post.know(GOOD_ENDPOINT, seconds=0.01, delivered=True)
        post.pending(10, GOOD)
        post.sender.holes[GOOD_ENDPOINT] = asyncio.Event()

        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run())
            await until(lambda: len(post.sender.sent) == 2)
            assert len(post.world.attempts()) == 8
            post.world.clock.advance(0.02)
            await until(lambda: len(post.world.attempts()) == 2)

            assert len(post.sender.sent) == 2
            assert len(post.world.due()) == 8
            post.sender.holes[GOOD_ENDPOINT].set()
            post.courier.stop()

    async def test_one_that_waited_too_long_for_its_turn_is_given_back_unsent(self, world: World) -> None:
        """Its claim might run out, and another send it, while it is sent here."""
        post = Post(world, {"max_in_flight": 1})
        holes = post.pending_at_holes("a", "b")

        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run())
            await until(lambda: post.courier._slots.free_for_all == 1)  # noqa: SLF001 - both have been taken
            await until(lambda: len(post.sender.sent) == 1)
            post.world.clock.advance(16)
            for hole in holes:
                hole.set()
            await until(lambda: len(post.sender.sent) == 2)
            post.courier.stop()

        assert post.world.attempts() == [(1, "failed"), (1, "failed")]

    async def test_while_a_claim_is_written_the_next_are_looked_for(self, world: World) -> None:
        """And delivered once each, although that look shows what the claim takes as due."""
        post = Post(world, {"max_in_flight": 8})
        for host in "abcdefgh":
            post.know(f"https://{host}.example:443")
            post.pending(10, f"https://{host}.example/")
        database, looked = world.database, asyncio.Event()
        read, write = database.read, database.write
        under_way = 0

        async def noted(work: Work[T]) -> T:
            found = await read(work)
            if under_way:
                looked.set()
            return found

        async def held(work: Work[T]) -> T:
            nonlocal under_way
            under_way += 1
            async with asyncio.timeout(10):
                await looked.wait()
            written = await write(work)
            under_way -= 1
            return written

        database.read, database.write = noted, held  # type: ignore[method-assign]
        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run())
            await until(lambda: len(post.sender.sent) == 80)
            post.courier.stop()

        assert len(world.attempts()) == 80, "nothing was claimed twice"

    @pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
    @pytest.mark.parametrize("number", [1, 4], ids=["one", "more than a look shows"])
    async def test_what_somebody_held_is_claimed_soon_after_they_let_go_of_it(self, world: World, number: int) -> None:
        """Nobody wakes it. On SQLite there is nobody else."""
        post = Post(world, {"max_in_flight": 1})
        post.know(GOOD_ENDPOINT)
        post.pending(number, GOOD)
        write, in_vain = world.database.write, 0

        async def held(work: Work[T]) -> T | list[T]:
            nonlocal in_vain
            in_vain += 1
            return [] if in_vain <= 5 else await write(work)

        world.database.write = held  # type: ignore[method-assign, assignment]
        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run())
            await until(lambda: len(post.sender.sent) == number)
            post.courier.stop()

        assert post.statuses() == number * ["delivered"]
