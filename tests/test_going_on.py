"""Going on as a daemon that is gone: its tasks need no write, and nothing that it does later reaches them."""

import os
from collections.abc import Iterator
from functools import partial

import pytest
from adopting import Daemon, many
from clocks import FakeClock
from fakes import UPSTREAM, HeldOpen, Thread, snap, statements, wait_until_blocked, want, writes
from lending import lent_worlds

from tracker.errors import UnavailableError
from tracker.model import Status
from tracker.poller.presence import DEAD_AFTER
from tracker.store import daemons, watching
from tracker.store.fence import ReplacedError

pytestmark = pytest.mark.anyio


@pytest.fixture
def crew(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[list[Daemon]]:
    """Three programs on one Postgres."""
    with lent_worlds(request, clock) as worlds:
        yield [Daemon(world) for world in worlds]


def _out_of_reach(*_: object, **__: object) -> list[str]:
    raise UnavailableError("canceling statement due to lock timeout")


async def fill(daemon: Daemon, tasks: int = 60) -> None:
    """A daemon that watches so many."""
    await daemon.adoption.join()
    daemon.world.register(*(want(f"{number:03}") for number in range(tasks)))
    await many(daemon)


def told(daemon: Daemon) -> dict[str, str]:
    """How many tasks each of the living watches, by what the table says."""
    rows = daemon.world.rows("SELECT id, watching FROM daemon WHERE NOT is_gone")
    return {row["id"]: row["watching"] for row in rows}


class TestAfterAnOrderlyEnd:
    async def test_what_was_watched_is_read_and_not_written(self, crew: list[Daemon]) -> None:
        before, after, _ = crew
        await fill(before)
        await before.adoption.leave()

        await after.adoption.resume()
        with statements() as sent:
            await many(after)

        assert after.adoption.me == before.adoption.me
        assert after.watched == after.owned() == [f"{number:03}" for number in range(60)]
        assert writes(sent) == []

    async def test_one_that_starts_beside_others_joins_anew(self, crew: list[Daemon]) -> None:
        before, other, after = crew
        await fill(before)
        await other.adoption.join()
        await before.adoption.leave()

        await after.adoption.resume()
        await many(other, after)

        assert len({one.adoption.me for one in crew}) == 3
        assert (len(other.watched), len(after.watched)) == (30, 30)

    async def test_one_that_has_been_silent_for_too_long_is_no_company(self, crew: list[Daemon]) -> None:
        """It was killed an hour ago, and nobody was there to say so."""
        before, dead, after = crew
        await dead.adoption.join()
        dead.world.age(3600)
        await fill(before)
        await before.adoption.leave()

        await after.adoption.resume()

        assert after.adoption.me == before.adoption.me

    async def test_of_several_that_are_gone_it_goes_on_as_the_one_that_left_the_most(self, crew: list[Daemon]) -> None:
        """The last one to leave had just begun to adopt: what it took, and nothing else, is written again."""
        before, taker, after = crew
        await fill(before, 50)
        await taker.adoption.join()
        await before.adoption.leave()
        take = partial(watching.adopt_left, gone=before.adoption.me, room={UPSTREAM: 10}, now=taker.world.clock())
        assert len(taker.world.write(partial(take, me=taker.adoption.me, above=0, limit=1000)).taken) == 10
        await taker.adoption.leave()

        await after.adoption.resume()
        assert after.adoption.me == before.adoption.me
        assert told(after) == {before.adoption.me: '{"default":40}'}
        await many(after)

        assert len(after.watched) == 50
        assert after.watched == after.owned()

    async def test_what_others_left_of_upstreams_that_are_not_ours_does_not_count(self, crew: list[Daemon]) -> None:
        before, elsewhere, after = crew
        stranger = Daemon(elsewhere.world, upstreams=("elsewhere",))
        await fill(before, 10)
        await stranger.adoption.join()
        stranger.world.register(*(want(f"{number:03}", upstream="elsewhere") for number in range(20)))
        await many(stranger)
        await before.adoption.leave()
        await stranger.adoption.leave()

        await after.adoption.resume()
        await after.adoption.run_once()

        assert after.adoption.me == before.adoption.me
        assert len(after.watched) == 10

    async def test_nobody_goes_on_as_one_that_knew_nothing_of_lives(self, crew: list[Daemon]) -> None:
        """A daemon of an older version asks the table by its name alone: woken up, it would take our life for its."""
        before, after, _ = crew
        await fill(before)
        after.world.sql("UPDATE daemon SET life = ''")
        after.world.write(partial(daemons.leave, me=before.adoption.me))

        await after.adoption.resume()
        await many(after)

        assert after.adoption.me != before.adoption.me
        assert len(after.owned()) == 60

    async def test_the_table_tells_of_them_all_while_they_are_still_being_read(
        self, crew: list[Daemon], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Told as few, they would make whoever joins meanwhile take more than its share of what is free."""
        monkeypatch.setattr("tracker.poller.adoption._AT_ONCE", 20)
        before, after, other = crew
        await fill(before)
        await before.adoption.leave()
        await after.adoption.resume()
        await after.adoption.run_once()
        assert len(after.watched) == 20

        await after.adoption.beat()
        await other.adoption.resume()
        other.world.register(*(want(f"new {number}") for number in range(20)))
        assert await other.adoption.run_once() == 20

        assert told(other) == {after.adoption.me: '{"default":60}', other.adoption.me: '{"default":20}'}

    async def test_one_that_leaves_before_it_has_read_them_all_leaves_all(
        self, crew: list[Daemon], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tracker.poller.adoption._AT_ONCE", 20)
        before, short, after = crew
        await fill(before)
        await before.adoption.leave()
        await short.adoption.resume()
        await short.adoption.run_once()
        await short.adoption.leave()

        await after.adoption.resume()
        assert told(after) == {before.adoption.me: '{"default":60}'}
        await many(after)

        assert len(after.watched) == 60

    async def test_notes_that_were_left_meanwhile_are_found(self, crew: list[Daemon]) -> None:
        before, after, _ = crew
        await fill(before, 2)
        await before.adoption.leave()
        world = after.world
        world.sql("UPDATE task SET refresh_at = now() WHERE task_id = '000'")

        await after.adoption.resume()
        await many(after)

        assert world.column("SELECT task_id FROM task WHERE refresh_at IS NOT NULL") == []


class TestAtTheSameMoment:
    async def test_of_two_that_start_one_goes_on_and_the_other_gets_its_share(self, crew: list[Daemon]) -> None:
        before, first, second = crew
        await fill(before)
        await before.adoption.leave()
        find = partial(daemons.predecessor, upstreams=[UPSTREAM], now=first.world.clock(), silent_for=DEAD_AFTER)
        held = HeldOpen(first.world.database, find)

        await second.adoption.resume()
        held.commit()
        await first.adoption.resume()
        await many(first, second)
        for daemon in (first, second):
            await daemon.adoption.beat()
        await many(first, second)

        assert second.adoption.me != before.adoption.me
        assert (len(first.watched), len(second.watched)) == (30, 30)
        assert (first.watched, second.watched) == (first.owned(), second.owned())

    async def test_who_waits_to_adopt_from_one_that_another_goes_on_as_gets_nothing(self, crew: list[Daemon]) -> None:
        before, after, late = crew
        await fill(before)
        await late.adoption.join()
        await before.adoption.leave()
        gone, me = before.adoption.me, late.adoption.me

        def go_on(connection: object) -> None:
            daemons.strike(connection, gone)  # type: ignore[arg-type]
            entry = {"host": "here", "pid": 1, "version": "1", "now": after.world.clock()}
            daemons.join(connection, me=gone, life="another", **entry)  # type: ignore[arg-type]

        held = HeldOpen(after.world.database, go_on)
        take = partial(watching.adopt_left, me=me, gone=gone, room={UPSTREAM: 100}, above=0, limit=100)
        adopting = Thread(lambda: late.world.write(partial(take, now=late.world.clock())))
        wait_until_blocked(before.world.database)
        held.commit()

        assert adopting.result().taken == ()
        assert late.owned() == []

    async def test_nobody_goes_on_as_one_from_which_another_just_adopts(self, crew: list[Daemon]) -> None:
        before, after, other = crew
        await fill(before)
        await other.adoption.join()
        await before.adoption.leave()
        # Whoever starts takes it for dead, and it has not noticed.
        after.world.sql("UPDATE daemon SET heartbeat_at = '2020-01-01'")
        take = partial(watching.adopt_left, me=other.adoption.me, gone=before.adoption.me, room={UPSTREAM: 10})
        held = HeldOpen(other.world.database, partial(take, above=0, limit=100, now=other.world.clock()))

        await after.adoption.resume()
        held.commit()

        assert after.adoption.me != before.adoption.me


class TestOneThatWakesUp:
    """A frozen daemon was declared dead, and another goes on under its name."""

    @pytest.fixture
    async def frozen(self, crew: list[Daemon]) -> Daemon:
        frozen, undertaker, after = crew
        await fill(frozen, 3)
        frozen.world.age(16)
        await undertaker.adoption.join()
        await undertaker.adoption._bury()  # noqa: SLF001
        await undertaker.adoption.leave()
        await after.adoption.resume()
        await many(after)
        assert after.adoption.me == frozen.adoption.me
        assert len(after.watched) == 3
        return frozen

    async def test_it_writes_nothing(self, frozen: Daemon, crew: list[Daemon]) -> None:
        task = frozen.world.key("000")
        seen = {task: snap(Status.SUCCEEDED)}

        with pytest.raises(ReplacedError):
            frozen.world.record(seen, watcher=frozen.adoption.me)
        assert frozen.world.history("000") == ["registered"]

        assert crew[2].world.record(seen, watcher=crew[2].adoption.me)

    async def test_it_learns_that_it_was_replaced_and_starts_anew(self, frozen: Daemon, crew: list[Daemon]) -> None:
        after = crew[2]

        await frozen.adoption.beat()

        assert frozen.adoption.me != after.adoption.me
        assert frozen.watched == []
        assert len(after.owned()) == 3

    async def test_its_goodbye_is_not_ours(self, frozen: Daemon, crew: list[Daemon]) -> None:
        after = crew[2]

        await frozen.adoption.leave()
        await after.adoption.beat()

        assert list(told(after)) == [after.adoption.me]
        assert len(after.watched) == len(after.owned()) == 3


class TestAfterASigkill:
    """Its successor is there before it is taken for dead by its silence."""

    async def test_one_that_starts_where_it_was_killed_goes_on_at_once(
        self, crew: list[Daemon], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tracker.poller.presence.this_place", lambda: "here")
        dead, after, _ = crew
        await fill(dead)
        monkeypatch.setattr("tracker.poller.presence.has_ended", lambda pid: pid == os.getpid())

        await after.adoption.resume()
        with statements() as sent:
            await many(after)

        assert after.adoption.me == dead.adoption.me
        assert len(after.watched) == 60
        assert writes(sent) == []

    async def test_one_that_starts_elsewhere_waits_for_its_silence(
        self, crew: list[Daemon], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tracker.poller.presence.this_place", lambda: "here")
        dead, after, _ = crew
        await fill(dead)
        monkeypatch.setattr("tracker.poller.presence.has_ended", lambda _: True)
        monkeypatch.setattr("tracker.poller.presence.this_place", lambda: "elsewhere")

        await after.adoption.resume()
        await many(after)

        assert after.watched == []

    async def test_of_two_that_take_each_others_process_for_ended_one_begins_anew_and_both_go_on(
        self, crew: list[Daemon], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Machines that are copies of each other, with the same name."""
        monkeypatch.setattr("tracker.poller.presence.this_place", lambda: "here")
        monkeypatch.setattr("tracker.poller.presence.has_ended", lambda _: True)
        first, second, _ = crew
        await fill(first)
        await second.adoption.resume()

        for _ in range(3):
            for daemon in (first, second):
                await daemon.adoption.beat()
                await many(daemon)

        assert first.adoption.me != second.adoption.me
        assert len(first.owned()) + len(second.owned()) == 60
        assert sorted([*first.watched, *second.watched]) == sorted([*first.owned(), *second.owned()])
        assert min(len(first.watched), len(second.watched)) > 0

    async def test_what_it_left_under_way_at_the_server_is_no_reason_not_to_start(
        self, crew: list[Daemon], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tracker.poller.presence.this_place", lambda: "here")
        dead, after, _ = crew
        await fill(dead)
        monkeypatch.setattr("tracker.poller.presence.has_ended", lambda _: True)
        monkeypatch.setattr("tracker.store.daemons.bury_ended", _out_of_reach)

        await after.adoption.resume()

        assert after.adoption.me != dead.adoption.me

    async def test_one_that_is_alone_goes_on_as_the_dead_one_where_that_left_much_more(
        self, crew: list[Daemon], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tracker.poller.adoption._AT_ONCE", 20)
        dead, after, _ = crew
        await fill(dead)
        await after.adoption.resume()
        after.world.register(want("new"))
        await many(after)
        assert after.watched == ["new"]
        dead.world.sql("UPDATE daemon SET heartbeat_at = '2020-01-01' WHERE id = :me", me=dead.adoption.me)

        assert await after.adoption.run_once() == 0
        await after.adoption.beat()
        assert after.adoption.me == dead.adoption.me
        with statements() as sent:
            await many(after)

        assert after.watched == after.owned()
        assert len(after.watched) == 61
        assert len([one for one in writes(sent) if "UPDATE task" in one]) == 1, "for the new one"
        assert after.world.column("SELECT id FROM daemon WHERE NOT is_gone") == [dead.adoption.me]

    async def test_what_is_few_is_adopted(self, crew: list[Daemon]) -> None:
        dead, after, _ = crew
        await fill(dead)
        await after.adoption.resume()
        before = after.adoption.me
        dead.world.sql("UPDATE daemon SET heartbeat_at = '2020-01-01' WHERE id = :me", me=dead.adoption.me)

        await many(after)
        await after.adoption.beat()

        assert after.adoption.me == before
        assert len(after.owned()) == 60

    async def test_with_others_each_takes_its_share(self, crew: list[Daemon], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tracker.poller.adoption._AT_ONCE", 20)
        dead, after, other = crew
        await fill(dead)
        await after.adoption.resume()
        await other.adoption.resume()
        dead.world.sql("UPDATE daemon SET heartbeat_at = '2020-01-01' WHERE id = :me", me=dead.adoption.me)

        await many(after, other)

        assert (len(after.watched), len(other.watched)) == (30, 30)
