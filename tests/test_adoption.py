"""One daemon among others: what it watches in memory is what the database says it watches."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest
from adopting import Daemon, many
from clocks import FakeClock
from databases import PostgresDatabases
from fakes import UPSTREAM, FlakyDatabase, World, statements, want, writes
from lending import lent_worlds
from structlog.testing import capture_logs

from tracker.clock import SharedClock, utc_now
from tracker.daemon.finding import Finding
from tracker.errors import UnavailableError
from tracker.metrics import Metrics
from tracker.poller import Adoption
from tracker.poller.marks import Marks
from tracker.pulse import Pulse
from tracker.store import daemons, tasks
from tracker.store.database import Database, Work

pytestmark = pytest.mark.anyio


async def test_a_daemon_is_in_the_table_while_it_lives(world: World) -> None:
    daemon = Daemon(world)

    await daemon.adoption.join()
    (row,) = world.rows("SELECT * FROM daemon")
    assert row["id"] == daemon.adoption.me
    assert row["host"]
    assert row["pid"] > 0

    await daemon.adoption.leave()
    assert world.rows("SELECT * FROM daemon") == []


async def test_each_task_goes_to_the_lane_of_its_upstream(world: World) -> None:
    daemon = Daemon(world, ("default", "other"))
    await daemon.adoption.join()
    world.register(want("1"), want("2", upstream="other"), want("3", upstream="gone"))

    assert await daemon.adoption.run_once() == 2
    assert await daemon.adoption.run_once() == 0

    assert [entry.task_id for entry in daemon.lanes["default"].schedule] == ["1"]
    assert [entry.task_id for entry in daemon.lanes["other"].schedule] == ["2"]


async def test_new_tasks_are_due_at_once_and_a_great_many_within_an_interval(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A golden section of the interval after its half, which the dice has: at the stop next to that, together."""
    monkeypatch.setattr("tracker.poller.adoption._AT_ONCE", 3)
    daemon = Daemon(world)
    await daemon.adoption.join()
    world.register(want("1"), want("2"))
    await daemon.adoption.run_once()
    now = world.clock.timer()
    assert [entry.due - now for entry in daemon.lanes[UPSTREAM].schedule] == [0, 0]

    world.register(want("3"), want("4"), want("5"))
    await daemon.adoption.run_once()

    assert [entry.due - now for entry in daemon.lanes[UPSTREAM].schedule] == [0, 0, 1, 1, 1]


async def test_a_metric_says_how_many_tasks_are_watched_just_now(world: World) -> None:
    """Of what the last daemon watched, those that this one has in memory: the table calls them all its own."""
    daemon = Daemon(world, ("default", "other"))
    await daemon.adoption.join()
    world.register(want("1"), want("2"), want("3", upstream="other"))

    def told(upstream: str) -> str:
        return daemon.metrics.exposition()[0].decode().partition(f'watched_tasks{{upstream="{upstream}"}} ')[2][:3]

    assert (told("default"), told("other")) == ("0.0", "0.0")

    await daemon.adoption.run_once()
    assert (told("default"), told("other")) == ("2.0", "1.0")

    daemon.lanes["default"].schedule.remove(world.key("1"))
    assert told("default") == "1.0"


async def test_what_is_left_is_adopted_by_the_next(world: World) -> None:
    first, second = Daemon(world), Daemon(world)
    await first.adoption.join()
    world.register(want("1"), want("2"))
    await first.adoption.run_once()
    await second.adoption.join()
    assert await second.adoption.run_once() == 0

    await first.adoption.leave()
    await second.adoption.run_once()

    assert second.watched == second.owned() == ["1", "2"]


async def test_the_tasks_of_a_dead_daemon_are_adopted_after_a_quarter_of_a_minute(world: World) -> None:
    dead, alive = Daemon(world), Daemon(world)
    await dead.adoption.join()
    await alive.adoption.join()
    world.register(want())
    await dead.adoption.run_once()

    for seconds in (5, 5, 4):
        world.age(seconds)
        await alive.adoption.beat()
        assert await alive.adoption.run_once() == 0
    world.age(2)
    with capture_logs() as logs:
        assert await alive.adoption.run_once() == 1

    assert [line["daemons"] for line in logs] == [[dead.adoption.me]]


async def test_a_daemon_says_whether_it_tells_the_operator_each_time_it_joins(world: World) -> None:
    teller = Adoption({}, world.database, world.clock, tells_operator=True)
    for adoption in (Adoption({}, world.database, world.clock), teller):
        await adoption.join()
    tells = "SELECT id FROM daemon WHERE tells_operator"
    assert world.column(tells) == [teller.me]
    world.sql("DELETE FROM daemon")

    await teller.beat()

    assert world.column(tells) == [teller.me]


async def test_a_daemon_that_was_taken_for_dead_starts_anew(world: World) -> None:
    frozen, alive = Daemon(world), Daemon(world)
    await frozen.adoption.join()
    world.register(want("1"), want("2"))
    await frozen.adoption.run_once()
    world.age(20)
    await alive.adoption.join()
    await alive.adoption.run_once()
    before = frozen.adoption.me
    world.register(want("3"))

    # Its loops come round in any order: here it adopts before it learns that it is dead.
    await frozen.adoption.run_once()
    with capture_logs() as logs:
        await frozen.adoption.beat()
    await frozen.adoption.run_once()
    await alive.adoption.run_once()

    assert [line["event"] for line in logs] == ["daemon_was_replaced"]
    assert frozen.adoption.me != before
    assert frozen.watched == frozen.owned() == ["3"]
    assert alive.watched == alive.owned() == ["1", "2"]


async def test_a_daemon_that_slept_alone_goes_on(world: World) -> None:
    """A laptop that was closed: nobody else was there to bury it, and it does not bury itself."""
    daemon = Daemon(world)
    await daemon.adoption.join()
    world.register(want())
    await daemon.adoption.run_once()
    before = daemon.adoption.me

    world.age(3600)
    await daemon.adoption.run_once()
    await daemon.adoption.beat()

    assert (daemon.adoption.me, daemon.watched, daemon.owned()) == (before, ["1"], ["1"])


class Vague(FlakyDatabase):
    """Commits a write and then loses the connection, so that nobody knows."""

    is_vague = False

    async def write(self, work: Work):  # type: ignore[no-untyped-def,type-arg]  # noqa: ANN201
        result = await super().write(work)
        if self.is_vague:
            self.is_vague = False
            raise UnavailableError("the connection broke at the commit")
        return result


async def test_an_adoption_that_may_have_been_written_leaves_no_task_to_nobody(
    database_url: str, clock: FakeClock
) -> None:
    """In the database they were ours, in memory they were not: nobody would ever have looked at them."""
    database = Vague(database_url)
    daemon = Daemon(World(database, clock))
    await daemon.adoption.join()
    daemon.world.register(want("1"))
    await daemon.adoption.run_once()
    daemon.world.register(want("2"))
    database.is_vague = True
    with pytest.raises(UnavailableError):
        await daemon.adoption.run_once()

    await daemon.adoption.beat()
    await daemon.adoption.run_once()

    assert daemon.watched == daemon.owned() == ["1", "2"]
    assert len(daemon.world.rows("SELECT * FROM daemon WHERE NOT is_gone")) == 1
    database.close()


async def test_a_database_that_is_away_while_it_starts_anew_is_tried_again(world: World) -> None:
    daemon = Daemon(world)
    await daemon.adoption.join()
    world.register(want())
    await daemon.adoption.run_once()
    world.write(daemons.all_leave)
    assert isinstance(world.database, FlakyDatabase)

    with capture_logs():
        beat = daemon.adoption.beat
        world.database.away = 1
        with pytest.raises(UnavailableError):
            await beat()
        await beat()
    await daemon.adoption.run_once()

    assert daemon.watched == daemon.owned() == ["1"]


async def test_looking_for_work_where_there_is_none_writes_nothing(world: World) -> None:
    daemon = Daemon(world)
    await daemon.adoption.join()
    assert isinstance(world.database, FlakyDatabase)
    world.database.away = 1

    assert await daemon.adoption.run_once() == 0
    assert world.database.refused == 0


async def test_a_note_reaches_the_lane(world: World) -> None:
    daemon = Daemon(world)
    await daemon.adoption.join()
    world.register(want())
    await daemon.adoption.run_once()
    await daemon.lanes[UPSTREAM].run_once()

    world.write(partial(tasks.ask_refresh, key=world.key(), now=world.clock()))
    assert await daemon.adoption.run_once() == 1

    assert await daemon.lanes[UPSTREAM].run_once() == 1


async def test_two_daemons_share_what_there_is(postgres: PostgresDatabases, clock: FakeClock) -> None:
    url = postgres.migrated()
    databases = [Database(url) for _ in range(2)]
    daemons = [Daemon(World(database, clock)) for database in databases]
    for daemon in daemons:
        await daemon.adoption.join()
    for number in range(40):
        daemons[0].world.register(want(f"{number:02}"))
        for daemon in daemons:
            await daemon.adoption.beat()
        await daemons[number % 2].adoption.run_once()

    assert sorted(daemons[0].watched + daemons[1].watched) == [f"{number:02}" for number in range(40)]
    for daemon in daemons:
        assert daemon.watched == daemon.owned()
    for database in databases:
        database.close()
    postgres.drop(url)


class TestShares:
    """Of two daemons on one database, each with a connection of its own."""

    @pytest.fixture
    def daemons(self, request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[list[Daemon]]:
        with lent_worlds(request, clock) as worlds:
            yield [Daemon(world) for world in worlds]

    async def test_tasks_that_wait_are_shared_out(self, daemons: list[Daemon]) -> None:
        first, second, _ = daemons
        await first.adoption.join()
        await second.adoption.join()
        first.world.register(*(want(f"{number:03}") for number in range(101)))

        await many(first, second)

        assert sorted([len(first.watched), len(second.watched)]) == [50, 51]
        assert first.watched == first.owned()
        assert second.watched == second.owned()

    async def test_what_one_left_is_counted_before_more_is_taken_of_what_the_next_left(
        self, daemons: list[Daemon]
    ) -> None:
        first, second, third = daemons
        await first.adoption.join()
        await second.adoption.join()
        first.world.register(*(want(f"{number:03}") for number in range(80)))
        await many(first, second)
        await third.adoption.join()
        await first.adoption.leave()
        await second.adoption.leave()
        await Daemon(first.world).adoption.join()

        await third.adoption.run_once()

        assert len(third.watched) < 80
        assert third.watched == third.owned()

    async def test_one_that_joins_gets_its_share_in_small_steps_and_nothing_that_is_being_looked_at(
        self, daemons: list[Daemon], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tracker.poller.giving._AT_ONCE", 20)
        first, second, _ = daemons
        await first.adoption.join()
        first.world.register(*(want(f"{number:03}") for number in range(100)))
        await many(first)
        out = first.lanes[UPSTREAM].schedule.take(first.world.clock.timer(), 10)
        assert len(out) == 10
        await second.adoption.join()

        await first.adoption.beat()
        counts = [len(first.watched)]
        while len(second.watched) < 50 and len(counts) < 10:
            await first.adoption.run_once()
            counts.append(len(first.watched))
            await second.adoption.run_once()

        assert counts == [100, 80, 60, 50]
        assert {entry.task_id for entry in out} <= set(first.watched)
        assert second.watched == second.owned()
        assert first.watched == first.owned()

    async def test_what_was_given_back_is_not_taken_again_by_who_gave_it(self, daemons: list[Daemon]) -> None:
        first, second, _ = daemons
        await first.adoption.join()
        first.world.register(*(want(f"{number:03}") for number in range(100)))
        await many(first)
        await second.adoption.join()
        await first.adoption.beat()

        for _ in range(5):
            await first.adoption.run_once()

        assert len(first.watched) == 50
        assert await second.adoption.run_once() == 50

    async def test_free_tasks_that_nobody_takes_go_to_who_has_the_fewest_after_a_while(
        self, daemons: list[Daemon]
    ) -> None:
        """What others watch is known from their last heartbeat, and may not be so any more."""
        first, second, _ = daemons
        await first.adoption.join()
        first.world.register(*(want(f"{number:03}") for number in range(10)))
        await many(first)
        await second.adoption.join()
        second.adoption._presence.me = "dmn_stuck"  # it lives, and finds nothing  # noqa: SLF001
        first.world.register(*(want(f"{number:03}") for number in range(10, 14)))
        assert await first.adoption.run_once() == 0
        first.world.sql(
            "UPDATE daemon SET watching = :said WHERE id <> :me", said='{"default": 11}', me=first.adoption.me
        )

        first.world.clock.advance(2.1)

        assert await first.adoption.run_once() == 4

    async def test_a_write_that_fails_while_giving_back_keeps_the_tasks(
        self, daemons: list[Daemon], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second, _ = daemons
        await first.adoption.join()
        first.world.register(*(want(f"{number:03}") for number in range(100)))
        await many(first)
        await second.adoption.join()
        await first.adoption.beat()

        async def refuse(_: object) -> None:
            raise UnavailableError("the database is out of reach: on purpose")

        with monkeypatch.context() as away:
            away.setattr(first.world.database, "write", refuse)
            with pytest.raises(UnavailableError):
                await first.adoption.run_once()

        assert len(first.watched) == 100
        assert first.watched == first.owned()

    async def test_what_a_dead_one_watched_is_shared_out_among_the_living(self, daemons: list[Daemon]) -> None:
        dead, first, second = daemons
        await dead.adoption.join()
        dead.world.register(*(want(f"{number:03}") for number in range(60)))
        await many(dead)
        dead.world.age(16)
        await first.adoption.join()
        await second.adoption.join()

        await many(first, second)

        assert (len(first.watched), len(second.watched)) == (30, 30)
        assert first.world.column("SELECT id FROM daemon WHERE id = :me AND NOT is_gone", me=dead.adoption.me) == []

    async def test_what_was_left_to_others_is_found_again_however_dear_the_looks_are(
        self, daemons: list[Daemon]
    ) -> None:
        """Its keys are below the mark, and looks from the bottom rest for seconds where the database is slow."""
        first, second, dead = daemons
        await dead.adoption.join()
        dead.world.register(*(want(f"{number:03}") for number in range(60)))
        await many(dead)
        await first.adoption.join()
        await second.adoption.join()
        await dead.adoption.leave()
        first.adoption._marks.looked = lambda _: Marks.looked(first.adoption._marks, 60)  # type: ignore[method-assign]  # noqa: SLF001

        await many(first)
        assert len(first.watched) == 30
        await second.adoption.leave()
        await many(first)

        assert len(first.watched) == 60

    async def test_a_daemon_that_left_is_struck_out_when_others_have_its_tasks(self, daemons: list[Daemon]) -> None:
        gone, first, _ = daemons
        await gone.adoption.join()
        gone.world.register(want("1"), want("2", upstream="other"))
        gone.world.sql("UPDATE task SET watcher = :me", me=gone.adoption.me)
        await gone.adoption.leave()
        await first.adoption.join()

        await many(first)
        await first.adoption.run_once()

        assert first.watched == ["1"]
        assert first.world.column("SELECT watcher FROM task WHERE task_id = '2'") == [None]
        assert first.world.column("SELECT id FROM daemon") == [first.adoption.me]

    async def test_daemons_whose_clocks_are_hours_apart_do_not_bury_each_other(self, daemons: list[Daemon]) -> None:
        """The database's clock decides, and each of them goes by it."""
        behind, ahead, _ = daemons
        for daemon, hours in ((behind, -3), (ahead, 3)):
            own = SharedClock(lambda hours=hours: utc_now() + timedelta(hours=hours))
            daemon.adoption = Adoption(daemon.lanes, daemon.world.database, own)
            await daemon.adoption.join()
            assert abs(own() - daemon.world.database.now()) < timedelta(seconds=1)

        for daemon in (behind, ahead, behind):
            await daemon.adoption.beat()
            await daemon.adoption.run_once()

        assert len(behind.world.column("SELECT id FROM daemon WHERE NOT is_gone")) == 2


async def test_the_only_daemon_goes_on_under_the_name_of_the_last_and_writes_no_task(world: World) -> None:
    before = Daemon(world)
    await before.adoption.join()
    world.register(*(want(f"{number}") for number in range(3)), want("x", upstream="other"))
    await before.adoption.run_once()
    world.sql("UPDATE task SET watcher = :me", me=before.adoption.me)
    await before.adoption.leave()

    after = Daemon(world)
    await after.adoption.resume()
    with statements() as sent:
        await after.adoption.run_once()
    await many(after)

    assert after.adoption.me == before.adoption.me
    assert after.watched == after.owned() == ["0", "1", "2"]
    assert len(writes(sent)) == 1, "but for the one of an upstream that is not configured any more"
    assert world.column("SELECT watcher FROM task WHERE task_id = 'x'") == [None]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_only_daemon_of_a_file_goes_on_after_one_that_said_nothing(world: World) -> None:
    """The lock on the file tells that it is dead."""
    before = Daemon(world)
    await before.adoption.join()
    world.register(want())
    await before.adoption.run_once()

    after = Daemon(world)
    await after.adoption.resume()
    await many(after)

    assert (after.adoption.me, after.watched) == (before.adoption.me, ["1"])


async def test_what_another_left_is_taken_up_where_the_one_that_we_went_on_as_left_less_than_it_said(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tasks were ended by hand, say, after it had gone."""
    monkeypatch.setattr("tracker.poller.adoption._AT_ONCE", 20)
    other, before, after = Daemon(world), Daemon(world), Daemon(world)
    await other.adoption.join()
    world.register(*(want(f"{number:03}") for number in range(60)))
    await many(other)
    await other.adoption.leave()
    await before.adoption.join()
    said = f'{{"{UPSTREAM}":100}}'
    world.sql("UPDATE daemon SET is_gone = true, watching = :said WHERE id = :me", said=said, me=before.adoption.me)

    await after.adoption.resume()
    assert after.adoption.me == before.adoption.me
    await many(after)
    await after.adoption.beat()
    await many(after)

    assert len(after.watched) == len(after.owned()) == 60


async def test_what_could_not_be_given_back_after_a_restart_costs_nobody_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Daemon(world)
    await before.adoption.join()
    world.register(*(want(str(number)) for number in range(3)), want("x", upstream="not configured"))
    await before.adoption.run_once()
    world.sql("UPDATE task SET watcher = :me", me=before.adoption.me)
    await before.adoption.leave()
    after = Daemon(world)
    await after.adoption.resume()

    async def refuse(_work: object) -> None:
        raise UnavailableError("somebody holds the lock")

    with monkeypatch.context() as away:
        away.setattr(world.database, "write", refuse)
        with pytest.raises(UnavailableError):
            await after.adoption.run_once()
    for _ in range(3):
        await after.adoption.run_once()

    assert after.watched == after.owned() == ["0", "1", "2"]


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_time_beyond_all_calendars_keeps_no_other_task_from_being_watched(world: World) -> None:
    """Somebody registered a task by SQL for the year 20000, and ended one in 44 BC."""
    daemon = Daemon(world)
    await daemon.adoption.join()
    world.register(want("ended"), want("far"), want("usual"))
    world.sql("UPDATE task SET registered_at = '20000-01-01' WHERE task_id = 'far'")
    ended = "status = 'failed', ended_at = '0044-03-15 BC', refresh_at = now()"
    world.sql(f"UPDATE task SET {ended} WHERE task_id = 'ended'")

    await many(daemon)

    assert daemon.owned() == ["far", "usual"]
    assert set(daemon.owned()) <= set(daemon.watched)
    assert world.column("SELECT task_id FROM task WHERE refresh_at IS NOT NULL") == []


class TestNewcomers:
    """Tasks that were registered as this daemon's."""

    def given(self, daemon: Daemon, *names: str, upstream: str = UPSTREAM) -> None:
        work = daemon.world.registering(*(want(name, upstream=upstream) for name in names))
        assert isinstance(work, partial)
        written = daemon.world.write(partial(work, watcher=daemon.adoption.newcomers.taker()))
        daemon.adoption.newcomers.take(daemon.adoption.me, [entry.task for entry in written])

    async def test_they_are_watched_without_another_write(self, world: World) -> None:
        daemon = Daemon(world)
        await daemon.adoption.join()
        self.given(daemon, "1", "2")

        with statements() as seen:
            assert await daemon.adoption.run_once() == 0

        assert writes(seen) == []
        assert daemon.watched == daemon.owned() == ["1", "2"]

    async def test_one_that_was_heard_of_before_is_watched_once(self, world: World) -> None:
        daemon = Daemon(world)
        await daemon.adoption.join()
        self.given(daemon, "1")
        key, now = world.key(), world.clock()
        world.write(lambda connection: tasks.ask_refresh(connection, key, now=now))
        await daemon.adoption.run_once()
        self.given(daemon, "2")
        daemon.adoption.newcomers.take(daemon.adoption.me, [world.register(want("1"))[0].task])

        await daemon.adoption.run_once()

        assert daemon.watched == ["1", "2"]

    async def test_one_whose_upstream_went_meanwhile_is_given_back(self, world: World) -> None:
        """Its configuration was read again just when the task was registered."""
        daemon = Daemon(world, ("default", "other"))
        await daemon.adoption.join()
        self.given(daemon, "1", upstream="other")
        self.given(daemon, "2")
        del daemon.lanes["other"]
        finding = Finding(daemon.adoption, daemon.lanes, world.database, Pulse(world.clock.timer, Metrics(version="0")))

        for _ in range(2):
            await finding.find()

        assert daemon.watched == daemon.owned() == ["2"]

    async def test_what_the_last_one_had_claimed_as_it_died_is_due_at_once_where_nobody_else_can_be_sending(
        self, world: World
    ) -> None:
        world.pending(want("1"), want("2"))
        claimed = world.claim()
        world.database.now = world.clock  # type: ignore[method-assign]
        daemon = Daemon(world)
        finding = Finding(daemon.adoption, daemon.lanes, world.database, Pulse(world.clock.timer, Metrics(version="0")))

        with capture_logs() as logs:
            await finding.enter()

        ours = [one.key for one in claimed] if world.database.is_sqlite else []
        assert world.due() == ours
        assert [line["deliveries"] for line in logs if line["event"] == "claims_ended"] == ([2] if ours else [])
        assert [one.attempt for one in world.claim()] == [2] * len(ours)

    async def test_a_daemon_that_got_another_name_leaves_them_to_adoption(self, world: World) -> None:
        daemon = Daemon(world)
        await daemon.adoption.join()
        self.given(daemon, "1")
        await daemon.adoption.leave()
        await daemon.adoption.join()

        while await daemon.adoption.run_once():
            pass

        assert daemon.watched == daemon.owned() == ["1"]

    async def test_after_a_doubt_everything_is_adopted_anew(self, world: World) -> None:
        daemon = Daemon(world)
        await daemon.adoption.join()
        self.given(daemon, "1")
        daemon.adoption.newcomers.doubt()
        assert daemon.adoption.newcomers.taker() is None

        await daemon.adoption.beat()
        while await daemon.adoption.run_once():
            pass

        assert daemon.watched == daemon.owned() == ["1"]
        assert daemon.adoption.newcomers.taker() == daemon.adoption.me
