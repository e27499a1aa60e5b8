"""When tasks are due: at every interval where a request asks for many, by what was learned where it asks for one."""

import asyncio
from datetime import timedelta

import pytest
from fakes import FakeProvider, FlakyDatabase, World, miss, snap, statements, want
from lanes import Watch
from structlog.testing import capture_logs

from tracker.model import MissKind, Snapshot, Status

pytestmark = pytest.mark.anyio

SECOND = timedelta(seconds=1)


def watch_singly(world: World, **settings: object) -> Watch:
    """An upstream without a list call."""
    return Watch(world, FakeProvider(look_size=1), settings)


def began(world: World, seconds_ago: float = 0.0) -> dict[str, object]:
    """What an upstream says of a task that began so long ago."""
    moment = world.clock() - timedelta(seconds=seconds_ago)
    return {"action": "IMAGINE", "submitted_at": moment, "started_at": moment}


def past_ends(world: World, *durations: float) -> None:
    """Tasks that took so long and were found one second late, before this daemon was there."""
    names = [f"past-{number}" for number in range(len(durations))]
    world.register(*(want(name) for name in names))
    for name, lasted in zip(names, durations, strict=True):
        known = began(world, lasted + 1)
        finished_at = known["submitted_at"] + timedelta(seconds=lasted)
        end = snap(Status.SUCCEEDED, 100, finished_at=finished_at, **known)
        world.record({world.key(name): end}, watcher=None)


async def looks_at(watch: Watch, task_id: str, seen: Snapshot, until: float) -> list[float]:
    """The ages in seconds at which a task is looked at that says the same all the time."""
    watch.provider.answers[task_id] = seen
    start = watch.world.clock.seconds
    ages = []
    while (due := watch.lane.schedule.next_due()) is not None and due - start <= until:
        watch.world.clock.advance(max(due - watch.world.clock.seconds, 0.0))
        await watch.lane.run_once()
        ages.append(watch.world.clock.seconds - start)
    return ages


class TestLearned:
    async def test_what_the_table_knows_is_read_before_the_second_look(self, world: World) -> None:
        """Past tasks took 40 to 60 s: hardly a look before, and then as many as the interval would give."""
        past_ends(world, *(40 + number % 20 for number in range(80)))
        watch = watch_singly(world)
        await watch.start("1")

        ages = await looks_at(watch, "1", snap(**began(world)), until=60)

        assert len([age for age in ages if age < 38]) <= 4, "with a fixed interval of 5 s there would be 8"
        assert len([age for age in ages if 38 <= age <= 60]) >= 5, "and here as many"

    async def test_without_a_past_the_interval_is_kept(self, world: World) -> None:
        watch = watch_singly(world)
        await watch.start("1")

        assert await looks_at(watch, "1", snap(**began(world)), until=30) == pytest.approx([0, 5, 10, 15, 20, 25, 30])

    async def test_ends_that_it_sees_itself_teach_it_too(self, world: World) -> None:
        watch = watch_singly(world)
        await watch.start()
        for number in range(40):
            name = str(number)
            await world.database.write(world.registering(want(name)))
            await watch.adoption.run_once()
            known = began(world)
            await looks_at(watch, name, snap(**known), until=48)
            finished_at = world.clock()
            watch.provider.answers[name] = snap(Status.SUCCEEDED, 100, finished_at=finished_at, **known)
            while watch.lane.schedule:
                await watch.look_after(watch.due_in() or 0)
        watch.provider.asked.clear()

        await world.database.write(world.registering(want("next")))
        await watch.adoption.run_once()
        ages = await looks_at(watch, "next", snap(**began(world)), until=50)

        assert len([age for age in ages if age < 40]) <= 4

    async def test_where_lists_work_the_interval_is_kept_and_nothing_is_asked_of_the_table(self, world: World) -> None:
        past_ends(world, *([50.0] * 80))
        watch = Watch(world, FakeProvider())
        await watch.start("1")
        await watch.lane.run_once()

        with statements() as sent:
            ages = await looks_at(watch, "1", snap(), until=30)

        assert ages == pytest.approx([5, 10, 15, 20, 25, 30])
        assert sent == []

    async def test_what_answers_take_does_not_add_up(self, world: World) -> None:
        """Each answer takes a third of a second, and still there is one look in each interval."""
        watch = Watch(world, FakeProvider(meanwhile=lambda: world.clock.advance(0.3)), {"poll_interval": SECOND})
        await watch.start("1")
        await watch.lane.run_once()
        watch.provider.asked.clear()
        began_at = world.clock.seconds

        while world.clock.seconds < began_at + 100:
            await watch.look_after(max(watch.due_in() or 0, 0))

        assert watch.provider.times("1") == pytest.approx(100, abs=2)

    async def test_a_look_that_comes_very_late_is_not_followed_by_a_hasty_one(self, world: World) -> None:
        watch = Watch(world, FakeProvider())
        await watch.start("1")
        await watch.lane.run_once()
        await watch.look_after(9.9)

        assert watch.due_in() == pytest.approx(5, abs=0.5)

    async def test_the_table_is_read_again_now_and_then_only(self, world: World) -> None:
        watch = watch_singly(world)
        await watch.start("1")
        await watch.lane.run_once()

        reads = []
        for seconds in (30, 30, 600, 30):
            with statements() as sent:
                await watch.look_after(seconds)
            reads.append(sum("ORDER BY" in statement for statement in sent))

        assert reads == [0, 0, 1, 0]

    async def test_a_table_that_cannot_be_read_costs_nothing_but_its_knowledge(self, world: World) -> None:
        watch = watch_singly(world)
        await watch.start("1")
        await watch.lane.run_once()
        assert isinstance(world.database, FlakyDatabase)
        world.database.away = 1

        with capture_logs() as logs:
            assert await watch.look_after(601) == 1
            assert await watch.look_after(60) == 1

        assert "look_failed" not in [line["event"] for line in logs]

    async def test_a_slow_clock_of_an_upstream_does_not_make_everything_late(self, world: World) -> None:
        """Its finishes seem to be a minute before we see them; what tasks take by our clock is what counts."""
        names = [str(number) for number in range(80)]
        world.register(*(want(name) for name in names))
        for name in names:
            known = began(world, 90)
            finished_at = known["submitted_at"] + timedelta(seconds=30)
            world.record({world.key(name): snap(Status.SUCCEEDED, finished_at=finished_at, **known)}, watcher=None)
        watch = watch_singly(world)
        await watch.start("new")

        ages = await looks_at(watch, "new", snap(**began(world, 60)), until=40)

        assert len([age for age in ages if age < 20]) <= 3
        assert len([age for age in ages if 27 <= age <= 37]) >= 1


class TestLateness:
    async def test_a_finish_in_the_future_counts_as_found_at_once(self, world: World) -> None:
        """A gateway whose clock is fast: less than nothing is no lateness."""
        watch = watch_singly(world)
        await watch.start("1")
        ahead = world.clock() + timedelta(hours=1)
        watch.provider.answers["1"] = snap(Status.SUCCEEDED, 100, finished_at=ahead)

        await watch.lane.run_once()

        told = watch.metrics.exposition()[0]
        assert b"tracker_finish_to_detect_seconds_count 1.0" in told
        assert b"tracker_finish_to_detect_seconds_sum 0.0" in told
        assert world.column("SELECT ended_at < finished_at FROM task") in ([1], [True])

    async def test_how_late_looks_are_is_told_for_each_upstream(self, world: World) -> None:
        watch = watch_singly(world)
        await watch.start("1")
        await watch.look_after(3)

        assert b'tracker_poll_lateness_seconds_sum{upstream="default"} 3.0' in watch.metrics.exposition()[0]


class TestScarce:
    async def test_when_more_is_due_than_may_be_asked_all_are_asked_in_turn(self, world: World) -> None:
        watch = watch_singly(world, max_requests_per_second=1)
        await watch.start(*"abcdefghijkl")

        for _ in range(600):
            await watch.look_after(0.1)

        times = [watch.provider.times(name) for name in "abcdefghijkl"]
        assert sum(times) == pytest.approx(60, abs=5)
        assert min(times) >= 3

    async def test_a_refresh_comes_before_all_that_wait(self, world: World) -> None:
        watch = watch_singly(world, max_requests_per_second=1)
        await watch.start(*"abcdefghijkl")
        for _ in range(30):
            await watch.look_after(1)

        world.sql("UPDATE task SET refresh_at = registered_at WHERE task_id = 'h'")
        await watch.adoption.run_once()
        await watch.look_after(1)

        assert watch.provider.asked[-1] == ("h",)

    async def test_lists_that_are_too_few_for_all_make_looks_scarce_too(self, world: World) -> None:
        watch = Watch(world, FakeProvider(look_size=2), {"max_requests_per_second": 1})
        await watch.start(*(str(number) for number in range(30)))

        for _ in range(60):
            await watch.look_after(1)

        assert min(watch.provider.times(str(number)) for number in range(30)) >= 2

    async def test_being_throttled_slows_the_whole_upstream_at_once(self, world: World) -> None:
        """Eight requests are out when the first is refused with Retry-After: no other is sent before its end."""
        watch = watch_singly(world)
        watch.provider.gate = asyncio.Event()
        watch.provider.script.extend([miss(MissKind.THROTTLED, timedelta(seconds=30))] * 8)
        await watch.start(*(str(number) for number in range(40)))

        async with asyncio.TaskGroup() as group:
            group.create_task(watch.lane.run())
            async with asyncio.timeout(10):
                while len(watch.provider.asked) < 8:
                    await asyncio.sleep(0)
                watch.provider.gate.set()
                while watch.provider.script:
                    await asyncio.sleep(0)
                for _ in range(50):
                    await asyncio.sleep(0)
            watch.lane.stop()

        assert len(watch.provider.asked) == 8
        assert (await watch.health()).paused_until == world.clock() + timedelta(seconds=30)
