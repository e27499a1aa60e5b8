"""Watching before adopting: many tasks are in their lanes at once, and are the daemon's own a little later."""

import asyncio
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pytest
from adopting import Daemon, many
from clocks import FakeClock
from fakes import UPSTREAM, FlakyDatabase, HeldOpen, World, miss, snap, want
from lending import lent_worlds

from tracker.errors import UnavailableError
from tracker.model import MissKind, Status
from tracker.observe import drop
from tracker.poller.marks import Marks
from tracker.store import ahead, finding, taskrows, tasks, watching
from tracker.store.database import Connection, Work
from tracker.store.fence import ReplacedError

pytestmark = pytest.mark.anyio

TASKS = 60


@pytest.fixture(autouse=True)
def _ten_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five are adopted as ever; then ten are read, and adopted, in a step."""
    for name, number in {
        "adoption._AT_ONCE": 5,
        "adoption._IN_A_ROW": 1,
        "ahead._AT_ONCE": 10,
        "ahead._READS_IN_A_ROW": 1,
        "ahead._ADOPTIONS_IN_A_ROW": 1,
        "giving._AT_ONCE": 10,
    }.items():
        monkeypatch.setattr(f"tracker.poller.{name}", number)


class Busy(FlakyDatabase):
    """One whose writer has so much to do that what it is given waits for the gate."""

    gate: asyncio.Event | None = None
    waiting = 0

    async def write(self, work: Work):  # type: ignore[no-untyped-def,type-arg]  # noqa: ANN201
        if self.gate is not None:
            self.waiting += 1
            await self.gate.wait()
        return await super().write(work)


@pytest.fixture
def database(database_url: str) -> Iterator[Busy]:
    opened = Busy(database_url)
    yield opened
    opened.close()


@pytest.fixture
def crew(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[list[Daemon]]:
    """Three programs on one Postgres."""
    with lent_worlds(request, clock) as worlds:
        yield [Daemon(world) for world in worlds]


def names(numbers: range = range(TASKS)) -> list[str]:
    return [f"{number:03}" for number in numbers]


async def begin(daemon: Daemon) -> None:
    """It starts where many wait, and has come so far that it watches all of them."""
    daemon.world.register(*map(want, names()))
    await daemon.adoption.resume()
    await until_all_are_watched(daemon)


async def until_all_are_watched(daemon: Daemon, number: int = TASKS) -> None:
    for _ in range(20):
        if len(daemon.watched) >= number:
            return
        await daemon.adoption.run_once()
    raise AssertionError(f"{len(daemon.watched)} are watched")


def unowned(daemon: Daemon) -> list[str]:
    """Watched, and by what the database says nobody's yet."""
    return sorted(set(daemon.watched) - set(daemon.owned()))


def telling(daemon: Daemon, name: str, status: Status = Status.RUNNING) -> None:
    """The upstream has news of a task, and of no other."""
    daemon.provider.answers = {**dict.fromkeys(names(), miss(MissKind.TRANSIENT)), name: snap(status, progress=50)}


async def look(*daemons: Daemon) -> None:
    """Everything is looked at once."""
    daemons[0].world.clock.advance(10)
    for daemon in daemons:
        await daemon.lanes[UPSTREAM].run_once()


class TestAlone:
    async def test_all_are_watched_before_most_are_written(self, world: World) -> None:
        daemon = Daemon(world)
        await begin(daemon)

        assert daemon.watched == names()
        assert daemon.owned() == names(range(5))

        await many(daemon)

        assert daemon.watched == daemon.owned() == names()

    async def test_several_batches_are_adopted_before_newcomers_are_looked_for_again(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tracker.poller.ahead._ADOPTIONS_IN_A_ROW", 2)
        daemon = Daemon(world)
        await begin(daemon)

        await daemon.adoption.run_once()

        # The highest batch is the five that were left over.
        assert daemon.owned() == [*names(range(5)), *names(range(45, TASKS))]

    async def test_news_of_a_task_make_it_ours_at_once(self, world: World) -> None:
        daemon = Daemon(world)
        await begin(daemon)
        telling(daemon, "030")

        await look(daemon)

        assert "030" in daemon.owned()
        assert len(daemon.owned()) == 6
        assert world.history("030") == ["registered", "status"]
        await many(daemon)
        assert daemon.watched == daemon.owned() == names()

    async def test_one_that_ends_is_told_of_once_and_no_longer_watched(self, world: World) -> None:
        daemon = Daemon(world)
        await begin(daemon)
        telling(daemon, "030", Status.SUCCEEDED)

        await look(daemon)
        await many(daemon)
        await look(daemon)

        assert len(world.column("SELECT key FROM delivery")) == 1
        assert world.column("SELECT watcher FROM task WHERE task_id = '030'") == [None]
        assert daemon.watched == daemon.owned() == [name for name in names() if name != "030"]

    async def test_what_plain_sql_inserted_has_its_first_event_before_its_news(self, world: World) -> None:
        values = ", ".join(f"('default', '{name}')" for name in names())
        world.sql(f"INSERT INTO task (upstream, task_id) VALUES {values}")
        daemon = Daemon(world)
        await daemon.adoption.resume()
        await until_all_are_watched(daemon)
        telling(daemon, "030")

        await look(daemon)
        await many(daemon)

        assert world.sequences("030") == [1, 2]
        assert world.history("030") == ["registered", "status"]
        assert world.history("050") == ["registered"]
        assert world.column("SELECT count(*) FROM event WHERE event = 'registered'") == [TASKS]

    async def test_a_look_that_somebody_asks_for_does_not_wait_for_the_adoption(self, world: World) -> None:
        daemon = Daemon(world)
        await begin(daemon)
        telling(daemon, "none")
        await look(daemon)
        world.write(partial(tasks.ask_refresh, key=world.key("007"), now=world.clock()))
        asked = len(daemon.provider.asked)

        await daemon.adoption.run_once()
        await daemon.lanes[UPSTREAM].run_once()

        assert daemon.provider.asked[asked:] == [("007",)]
        assert world.column("SELECT task_id FROM task WHERE refresh_at IS NOT NULL") == []
        await many(daemon)
        assert daemon.watched == daemon.owned() == names()

    async def test_one_that_somebody_ends_meanwhile_is_let_go_of(self, world: World) -> None:
        daemon = Daemon(world)
        await begin(daemon)
        world.record({world.key("007"): partial(drop, now=world.clock(), note="by hand")}, watcher=None)

        await many(daemon)

        assert daemon.watched == daemon.owned() == [name for name in names() if name != "007"]

    async def test_one_that_is_dropped_and_wanted_again_meanwhile_is_seen_as_it_is(self, world: World) -> None:
        """Its row is as new, and what was remembered of it would pass for that."""
        world.register(*map(want, names()))
        world.sql("UPDATE task SET status = 'running', upstream_status = 'IN_PROGRESS', progress = 50")
        daemon = Daemon(world)
        await daemon.adoption.resume()
        await until_all_are_watched(daemon)
        world.record({world.key("030"): partial(drop, now=world.clock(), note="by hand")}, watcher=None)
        world.register(want("030"))
        telling(daemon, "030")

        await daemon.adoption.run_once()
        await look(daemon)

        assert world.column("SELECT status FROM task WHERE task_id = '030'") == ["running"]
        assert "030" in daemon.owned()
        assert unowned(daemon)

    async def test_one_that_ended_and_is_wanted_again_does_not_wait_for_the_adoption(self, world: World) -> None:
        daemon = Daemon(world)
        await begin(daemon)
        world.record({world.key("007"): partial(drop, now=world.clock(), note="by hand")}, watcher=None)
        telling(daemon, "007", Status.SUCCEEDED)
        await look(daemon)
        assert "007" not in daemon.watched
        world.register(want("007"))

        await daemon.adoption.run_once()

        assert "007" in daemon.watched
        assert "007" in daemon.owned()
        assert unowned(daemon)

    async def test_a_newcomer_is_found_with_the_next_step(self, world: World) -> None:
        daemon = Daemon(world)
        await begin(daemon)
        world.register(want("new"))

        await daemon.adoption.run_once()

        assert "new" in daemon.watched
        assert "new" in daemon.owned()
        assert unowned(daemon)

    async def test_a_newcomer_is_found_while_the_others_are_still_being_read(self, world: World) -> None:
        daemon = Daemon(world)
        world.register(*map(want, names()))
        await daemon.adoption.resume()
        await daemon.adoption.run_once()
        assert len(daemon.watched) < TASKS
        world.register(want("new"))

        await daemon.adoption.run_once()

        assert "new" in daemon.watched
        assert len(daemon.watched) < TASKS

    async def test_when_an_adoption_fails_it_is_tried_again(self, world: World) -> None:
        daemon = Daemon(world)
        await begin(daemon)
        assert isinstance(world.database, FlakyDatabase)
        world.database.away = 1
        with pytest.raises(UnavailableError):
            await daemon.adoption.run_once()

        await many(daemon)

        assert daemon.watched == daemon.owned() == names()

    async def test_one_that_leaves_in_the_middle_leaves_what_it_adopted_and_the_rest_is_free(
        self, world: World
    ) -> None:
        short, after = Daemon(world), Daemon(world)
        await begin(short)
        await short.adoption.run_once()
        assert len(short.owned()) == 10
        await short.adoption.leave()
        assert world.column("SELECT watching FROM daemon") == ['{"default":10}']

        await after.adoption.resume()
        await many(after)

        assert after.adoption.me == short.adoption.me
        assert after.watched == after.owned() == names()

    async def test_one_that_is_killed_in_the_middle_is_followed_by_one_that_gets_all(self, world: World) -> None:
        killed, after = Daemon(world), Daemon(world)
        await begin(killed)
        await killed.adoption.run_once()
        world.age(3600)

        await after.adoption.resume()
        await many(after)
        await after.adoption.beat()
        await many(after)

        assert after.watched == after.owned() == names()

    async def test_one_that_has_to_start_anew_in_the_middle_has_all_afterwards(self, world: World) -> None:
        daemon = Daemon(world)
        await begin(daemon)
        await daemon.adoption.run_once()
        daemon.adoption.newcomers.doubt()

        await daemon.adoption.beat()
        assert daemon.watched == []
        await many(daemon)

        assert daemon.watched == daemon.owned() == names()

    async def test_what_is_out_while_it_starts_anew_is_not_recorded_for_nobody(self, world: World) -> None:
        """Else it would be ours by what the database says, and in nobody's lane."""
        daemon = Daemon(world)
        await begin(daemon)
        telling(daemon, "030")
        daemon.provider.gate = asyncio.Event()
        looking = asyncio.create_task(look(daemon))
        while not daemon.provider.asked:
            await asyncio.sleep(0)
        daemon.adoption.newcomers.doubt()
        await daemon.adoption.beat()
        daemon.provider.gate.set()
        await looking
        assert "030" not in daemon.owned()

        await many(daemon)

        assert daemon.watched == daemon.owned() == names()

    @pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
    async def test_what_waits_to_be_written_while_it_starts_anew_is_not_written_in_the_next_life(
        self, database: Busy, clock: FakeClock
    ) -> None:
        """It goes on under the same name, and may have read by then what is its own."""
        daemon = Daemon(World(database, clock))
        await begin(daemon)
        telling(daemon, "030")
        database.gate = asyncio.Event()
        looking = asyncio.create_task(look(daemon))
        while not database.waiting:
            await asyncio.sleep(0)
        daemon.adoption.newcomers.doubt()
        beating = asyncio.create_task(daemon.adoption.beat())
        while database.waiting < 2 and not beating.done():
            await asyncio.sleep(0)
        if beating.done():
            for _ in range(2):
                await daemon.adoption.run_once()

        database.gate.set()
        await looking
        await beating
        await many(daemon)

        assert daemon.watched == daemon.owned() == names()

    async def test_an_upstream_that_goes_meanwhile_is_forgotten(self, world: World) -> None:
        daemon = Daemon(world, (UPSTREAM, "other"))
        await begin(daemon)
        lane = daemon.lanes.pop(UPSTREAM)

        await many(daemon)

        assert len(daemon.owned()) == 5
        assert len(lane.schedule) == TASKS


class TestAmongOthers:
    async def test_one_that_joins_in_the_middle_gets_its_share_and_nobody_has_what_the_other_has(
        self, crew: list[Daemon]
    ) -> None:
        first, second, _ = crew
        await begin(first)
        await first.adoption.run_once()
        await second.adoption.resume()

        for _ in range(3):
            for daemon in (first, second):
                await daemon.adoption.beat()
            await many(first, second)

        assert sorted(first.watched + second.watched) == names()
        assert (first.watched, second.watched) == (first.owned(), second.owned())
        assert len(first.watched) == len(second.watched) == 30

    async def test_one_that_joins_while_the_others_are_still_being_read(self, crew: list[Daemon]) -> None:
        first, second, _ = crew
        first.world.register(*map(want, names()))
        await first.adoption.resume()
        await first.adoption.run_once()
        await first.adoption.run_once()
        assert len(first.watched) < TASKS
        await second.adoption.resume()

        for _ in range(3):
            for daemon in (first, second):
                await daemon.adoption.beat()
            await many(first, second)

        assert sorted(first.watched + second.watched) == names()
        assert (first.watched, second.watched) == (first.owned(), second.owned())
        assert len(first.watched) == len(second.watched) == 30

    async def test_what_another_adopted_is_dropped(self, crew: list[Daemon]) -> None:
        first, second, _ = crew
        await begin(first)
        await second.adoption.resume()
        await second.adoption.run_once()
        taken = second.owned()
        assert set(taken) < set(unowned(first) + taken)

        await many(first)

        assert sorted(first.watched + taken) == names()
        assert first.watched == first.owned()

    async def test_what_another_is_just_adopting_is_dropped_once_it_has(self, crew: list[Daemon]) -> None:
        first, second, _ = crew
        await begin(first)
        await second.adoption.join()
        take = partial(watching.adopt_free, me=second.adoption.me, upstream=UPSTREAM, above=0, limit=10)
        adopting = HeldOpen(second.world.database, partial(take, room=lambda found: found, now=second.world.clock()))
        await many(first)
        assert unowned(first) == names(range(5, 15))

        adopting.commit()
        await many(first)

        assert second.owned() == names(range(5, 15))
        assert first.watched == first.owned() == [name for name in names() if name not in second.owned()]

    async def test_what_another_gives_back_while_we_have_news_of_it_is_ours(self, crew: list[Daemon]) -> None:
        """It was to be dropped, and what came just then has made it ours."""
        _, second, _ = crew
        database = Busy(second.world.database.url)
        first = Daemon(World(database, second.world.clock))
        await begin(first)
        key = first.world.key("030")
        second.world.join("dmn_other")
        second.world.sql("UPDATE task SET watcher = 'dmn_other' WHERE key = :key", key=key)
        telling(first, "030")
        database.gate = asyncio.Event()
        looking = asyncio.create_task(look(first))
        while not database.waiting:
            await asyncio.sleep(0)
        await many(first)

        second.world.write(partial(watching.give_back, me="dmn_other", keys=[key]))
        database.gate.set()
        await looking
        await many(first)

        assert first.watched == first.owned() == names()
        database.close()

    async def test_of_two_that_see_the_same_end_one_records_it_and_the_other_drops_the_task(
        self, crew: list[Daemon]
    ) -> None:
        first, second, _ = crew
        await begin(first)
        await second.adoption.resume()
        await second.adoption.run_once()
        name = second.owned()[0]
        assert name in first.watched
        for daemon in (first, second):
            telling(daemon, name, Status.SUCCEEDED)

        await look(first, second)

        assert first.world.history(name) == ["registered", "status"]
        assert len(first.world.column("SELECT key FROM delivery")) == 1
        assert name not in first.watched + second.watched

    async def test_a_late_commit_is_found_where_adoption_has_come_by(self, crew: list[Daemon]) -> None:
        """Its key is lower than others that were read."""
        first, second, _ = crew
        first.world.register(*map(want, names(range(50))))
        late = HeldOpen(second.world.database, second.world.registering(want("late")))
        first.world.register(*map(want, names(range(50, 60))))
        await first.adoption.resume()
        await until_all_are_watched(first)
        await first.adoption.run_once()
        late.commit()

        for _ in range(2):
            await first.adoption.run_once()

        assert "late" in first.watched
        assert unowned(first)
        await many(first)
        assert first.watched == first.owned() == [*names(), "late"]

    async def test_while_looks_are_dear_it_looks_only_above_all_that_was_there(self, crew: list[Daemon]) -> None:
        """What was adopted just now is still in the way of a look that begins below it."""
        first, _, _ = crew
        await begin(first)
        top = first.world.key(names()[-1])
        first.adoption._marks.looked = lambda _: Marks.looked(first.adoption._marks, 60)  # type: ignore[method-assign]  # noqa: SLF001
        from_where: list[int] = []
        find = finding.find

        def look(connection: Connection, *, above: Mapping[str, int], **asked: Any) -> finding.Work:  # noqa: ANN401
            from_where.append(above[UPSTREAM])
            return find(connection, above=above, **asked)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(finding, "find", look)
            for _ in range(4):
                await first.adoption.run_once()
            first.world.clock.advance(6)
            await first.adoption.run_once()

        assert from_where[1:4] == [top] * 3
        assert from_where[4] < top

    async def test_a_row_that_somebody_holds_is_watched_and_adopted_later(self, crew: list[Daemon]) -> None:
        first, second, _ = crew
        await begin(first)
        key = first.world.key("030")
        held = HeldOpen(second.world.database, partial(taskrows.lock, keys=[key]))

        await many(first)
        assert first.watched == names()
        assert unowned(first) == ["030"]
        assert await first.adoption.run_once() == 0, "it waits for the next tick"

        held.commit()
        await many(first)
        assert first.watched == first.owned() == names()

    async def test_one_that_was_declared_dead_in_the_middle_adopts_nothing(self, crew: list[Daemon]) -> None:
        frozen, undertaker, _ = crew
        await begin(frozen)
        before = len(frozen.owned())
        frozen.world.age(16)
        await undertaker.adoption.join()
        await undertaker.adoption._bury()  # noqa: SLF001
        telling(frozen, "030", Status.SUCCEEDED)

        with pytest.raises(ReplacedError):
            await frozen.adoption.run_once()
        await look(frozen)

        assert len(frozen.owned()) == before
        assert frozen.world.history("030") == ["registered"]

        await frozen.adoption.beat()
        await many(frozen, undertaker)
        assert sorted(frozen.watched + undertaker.watched) == names()
        assert (frozen.watched, undertaker.watched) == (frozen.owned(), undertaker.owned())


def test_a_daemon_that_is_not_alive_adopts_none_of_what_it_watched(world: World) -> None:
    world.register(want())
    key = world.key()
    batch = ahead.Batch(me="dmn_gone", keys=[key], new=[], now=world.clock())

    (settled,) = world.write(partial(ahead.adopt_each, batches=[batch]))

    assert settled.held == [key]
    assert world.column("SELECT watcher FROM task") == [None]
