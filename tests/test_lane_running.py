"""The lane at work: looks without news, and several in flight."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest
from clocks import until
from fakes import FakeProvider, snap, want
from lanes import Watch, slow
from structlog.testing import capture_logs

from tracker.model import Status
from tracker.providers.protocol import NOTHING_KNOWN, Look

pytestmark = pytest.mark.anyio


class TestLooksWithoutNews:
    async def test_those_that_come_back_together_are_all_put_back_and_counted(self, watch: Watch) -> None:
        watch = Watch(watch.world, Repeating(look_size=1), {"max_in_flight": 3})
        await watch.start(*"abcde")
        assert await watch.lane.run_once() == 5
        watch.world.clock.advance(60)
        gate = watch.provider.gate = asyncio.Event()

        async with asyncio.TaskGroup() as group:
            group.create_task(watch.lane.run())
            await until(lambda: len(watch.provider.asked) == 8)
            gate.set()
            await until(lambda: len(watch.provider.asked) == 10)
            watch.lane.stop()

        assert not any(watched.is_out for watched in watch.lane.schedule)
        assert all(watched.due > watch.world.clock.timer() for watched in watch.lane.schedule)
        assert b'tracker_polls_total{upstream="default"} 10.0' in watch.metrics.exposition()[0]
        assert b'tracker_upstream_requests_total{upstream="default"} 10.0' in watch.metrics.exposition()[0]

    async def test_one_that_is_asked_for_as_its_answer_comes_is_looked_at_again_at_once(self, watch: Watch) -> None:
        """The lane has come round by then, and has seen nothing to do yet."""
        watch = Watch(watch.world, Repeating(look_size=1))
        await watch.start("1")
        await watch.lane.run_once()
        watch.world.clock.advance(60)
        gate = watch.provider.gate = asyncio.Event()

        async with asyncio.TaskGroup() as group:
            group.create_task(watch.lane.run())
            await until(lambda: len(watch.provider.asked) == 2)
            gate.set()
            watch.lane.schedule.hurry(next(iter(watch.lane.schedule)).key, watch.world.clock.timer())
            watch.lane.wake()
            await until(lambda: len(watch.provider.asked) == 3)
            watch.lane.stop()

    async def test_people_are_told_all_the_same_that_the_upstream_answers(self, watch: Watch) -> None:
        watch = Watch(watch.world, Repeating())
        await watch.start("1")

        for _ in range(10):
            await watch.look_after(61)

        told = (await watch.health()).last_ok_at
        assert told is not None
        assert watch.world.clock() - told <= timedelta(seconds=61)

    async def test_a_fault_while_they_are_put_back_loses_none(self, watch: Watch) -> None:
        faults = [RuntimeError("bug")]

        def dice() -> float:
            if len(watch.provider.asked) == 3 and faults:
                raise faults.pop()
            return 0.5

        watch = Watch(watch.world, Repeating(look_size=1), dice=dice)
        await watch.start("1")
        await watch.lane.run_once()
        await watch.look_after(10)

        with capture_logs() as logs:
            assert await watch.look_after(10) == 1

        assert [line["event"] for line in logs if line["log_level"] == "error"] == ["look_failed"]
        assert await watch.look_after(60) == 1

    async def test_one_that_tells_nothing_of_a_task_is_none_of_them(self, watch: Watch) -> None:
        await watch.start("1", "2")
        await watch.lane.run_once()
        watch.provider.script.append(Look(seen={}, unchanged={"1"}))

        with capture_logs() as logs:
            assert await watch.look_after(60) == 2

        assert [line["event"] for line in logs if line["log_level"] == "error"] == ["look_failed"]


class Repeating(FakeProvider):
    """Answers as before, and says so where that is known."""

    async def look(self, task_ids: Sequence[str], known: Mapping[int, str] = NOTHING_KNOWN) -> Look:
        look = await super().look(task_ids, known)
        same = frozenset(known.values())
        seen = {task_id: one for task_id, one in look.seen.items() if task_id not in same}
        return Look(seen=seen, unchanged=same, digests={task_id: hash(task_id) for task_id in seen})


class TestRunning:
    async def test_it_runs_until_stopped_and_finishes_what_is_out(self, watch: Watch) -> None:
        watch.provider.gate = asyncio.Event()
        watch.provider.answers["1"] = snap(Status.SUCCEEDED)
        await watch.start("1")

        running = asyncio.create_task(watch.lane.run())
        await until(lambda: bool(watch.provider.asked))
        watch.lane.stop()
        watch.provider.gate.set()
        await running

        assert watch.world.messages() == [("task.succeeded", "pending")]
        assert watch.beats

    @pytest.mark.parametrize(
        "said", [Look(seen={}, unchanged={"1"}), Look(seen={"1": snap(progress=5)}), OSError("bug")]
    )
    async def test_each_look_that_comes_back_shows_that_it_lives(self, watch: Watch, said: Look | Exception) -> None:
        """Where there is always more to ask for, the looks hand on to each other, and nobody else comes round."""
        await watch.start("1")
        watch.provider.script.append(Look(seen={"1": snap()}, digests={"1": 11}))
        await watch.lane.run_once()
        watch.beats.clear()
        watch.provider.script.append(said)

        with capture_logs():
            assert await watch.look_after(60) == 1

        assert watch.beats

    async def test_one_that_is_cancelled_has_settled_its_looks_without_news(self, watch: Watch) -> None:
        """Later it would move tasks that are another lane's by then, which would never look at them again."""
        await watch.start("1")
        watch.provider.script += [Look(seen={"1": snap()}, digests={"1": 11}), Look(seen={}, unchanged={"1"})]
        await watch.lane.run_once()
        watch.world.clock.advance(60)
        [watched] = watch.lane.schedule
        running = asyncio.create_task(watch.lane.run())
        await until(lambda: len(watch.provider.asked) == 2)
        for _ in range(5):
            await asyncio.sleep(0)

        running.cancel()
        await asyncio.wait([running])

        assert not watched.is_out
        assert watched.due > watch.world.clock.timer()

    async def test_a_new_task_wakes_it(self, watch: Watch) -> None:
        await watch.start()

        async with asyncio.TaskGroup() as group:
            group.create_task(watch.lane.run())
            await watch.world.database.write(watch.world.registering(want()))
            await watch.adoption.run_once()
            await until(lambda: bool(watch.provider.asked))
            watch.lane.stop()

    async def test_what_is_due_when_a_request_ends_is_asked_for_by_as_many_as_may(self, watch: Watch) -> None:
        watch = slow(watch, max_in_flight=3)
        watch.provider.look_size = 1
        await watch.start()
        gate = watch.provider.gate = asyncio.Event()

        async with asyncio.TaskGroup() as group:
            group.create_task(watch.lane.run())
            await watch.world.database.write(watch.world.registering(want("a")))
            await watch.adoption.run_once()
            await until(lambda: len(watch.provider.asked) == 1)
            await watch.world.database.write(watch.world.registering(*map(want, "bcdef")))
            watch.provider.gate = asyncio.Event()
            await watch.adoption.run_once()
            gate.set()
            await until(lambda: len(watch.provider.asked) == 4)
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(watch.provider.asked) == 4
            watch.provider.gate.set()
            await until(lambda: len(watch.provider.asked) == 6)
            watch.lane.stop()

    async def test_no_more_requests_are_out_than_allowed(self, watch: Watch) -> None:
        watch = slow(watch, max_in_flight=3)
        watch.provider.look_size = 1
        watch.provider.gate = asyncio.Event()
        await watch.start(*"abcdefgh")

        async with asyncio.TaskGroup() as group:
            group.create_task(watch.lane.run())
            await until(lambda: len(watch.provider.asked) == 3)
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(watch.provider.asked) == 3
            watch.provider.gate.set()
            await until(lambda: len(watch.provider.asked) == 8)
            watch.lane.stop()
