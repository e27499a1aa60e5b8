"""The lane survives everything that answers may do, and its own faults."""

import asyncio
from datetime import timedelta
from functools import partial

import pytest
from clocks import FakeClock, until
from fakes import FakeProvider, FlakyDatabase, Unwritable, World, miss, snap
from lanes import Watch
from structlog.testing import capture_logs

from tracker.cadence import pause
from tracker.model import MissKind, Status
from tracker.providers.protocol import Look
from tracker.store import daemons, tasks
from tracker.store.database import Database

pytestmark = pytest.mark.anyio


class TestTrouble:
    @pytest.mark.parametrize("kind", [MissKind.REFUSED, MissKind.UNUSABLE, MissKind.THROTTLED])
    async def test_a_pause_lets_single_probes_through_and_ends_with_an_answer(
        self, watch: Watch, kind: MissKind
    ) -> None:
        watch.provider.look_size = 2
        await watch.start(*"abcd")
        watch.provider.script.extend([miss(kind), miss(kind)])

        assert await watch.lane.run_once() == 2
        assert await watch.look_after(4.9) == 0
        assert await watch.look_after(0.2) == 1, "one probe, refused too"
        health = await watch.health()
        assert (health.state, health.reason, health.last_error) == ("paused", f"{kind}: made up", "made up")
        assert health.last_error_at == watch.world.clock()
        assert health.paused_until == watch.world.clock() + pause(2, retry_after=None)
        assert await watch.look_after(9.9) == 0
        assert b'tracker_upstream_paused{upstream="default"} 1.0' in watch.metrics.exposition()[0]

        looked = await watch.look_after(0.2)

        health = await watch.health()
        assert (health.state, health.reason, health.paused_until) == ("ok", None, None)
        assert (health.last_ok_at, health.last_error) == (watch.world.clock(), "made up")
        assert b'tracker_upstream_paused{upstream="default"} 0.0' in watch.metrics.exposition()[0]
        if kind is MissKind.THROTTLED:
            looked += await watch.look_after(2) + await watch.look_after(2)
        assert looked >= 4, "the probe is answered: on with the rest"

    async def test_requests_that_are_refused_together_are_one_trouble(self, watch: Watch) -> None:
        watch.provider.look_size = 1
        watch.provider.gate = asyncio.Event()
        watch.provider.script.extend([miss(MissKind.REFUSED)] * 8)
        await watch.start(*"abcdefgh")

        async with asyncio.TaskGroup() as group:
            group.create_task(watch.lane.run())
            await until(lambda: len(watch.provider.asked) == 8)
            watch.provider.gate.set()
            await until(lambda: not watch.provider.script)
            watch.lane.stop()

        assert (await watch.health()).paused_until == watch.world.clock() + timedelta(seconds=5)

    async def test_retry_after_is_obeyed(self, watch: Watch) -> None:
        await watch.start("1")
        watch.provider.script.append(miss(MissKind.THROTTLED, timedelta(seconds=90)))
        await watch.lane.run_once()

        assert await watch.look_after(89) == 0
        assert await watch.look_after(2) == 1

    async def test_what_is_asked_for_in_a_pause_waits_for_its_end(self, watch: Watch) -> None:
        await watch.start("1")
        watch.provider.script.append(miss(MissKind.REFUSED))
        await watch.lane.run_once()

        watch.world.write(partial(tasks.ask_refresh, key=watch.world.key(), now=watch.world.clock()))
        await watch.adoption.run_once()

        assert await watch.lane.run_once() == 0

    async def test_a_single_failure_pauses_nothing(self, watch: Watch) -> None:
        await watch.start("1")
        watch.provider.script.append(miss(MissKind.TRANSIENT))

        assert await watch.lane.run_once() == 1
        assert await watch.look_after(6) == 1
        assert (await watch.health()).state == "ok"

    async def test_the_time_of_the_last_answer_is_told_to_the_minute(self, watch: Watch) -> None:
        await watch.start("1")
        for _ in range(30):
            if await watch.look_after(10):
                last_ok_at = (await watch.health()).last_ok_at
                assert last_ok_at is not None
                assert watch.world.clock() - last_ok_at < timedelta(seconds=60)

    async def test_a_health_that_could_not_be_written_is_written_later(self, watch: Watch) -> None:
        """The end of a pause must not stay a secret because the database was away just then."""
        await watch.start("1")
        watch.provider.script.append(miss(MissKind.REFUSED))
        await watch.lane.run_once()
        assert isinstance(watch.world.database, FlakyDatabase)
        watch.world.database.away = 1

        await watch.look_after(5.1)
        assert (await watch.health()).state == "paused"
        await watch.look_after(60)

        assert (await watch.health()).state == "ok"

    async def test_the_size_of_a_look_is_told_when_it_changes(self, watch: Watch) -> None:
        await watch.start("1")
        await watch.lane.run_once()
        assert (await watch.health()).look_size == 100

        watch.provider.look_size = 1
        await watch.look_after(60)

        assert (await watch.health()).look_size == 1


class TestFaults:
    async def test_a_provider_that_raises_is_asked_again(self, watch: Watch) -> None:
        await watch.start("1")
        watch.provider.script.append(RuntimeError("bug"))

        with capture_logs() as logs:
            assert await watch.lane.run_once() == 1

        assert [line["event"] for line in logs if line["log_level"] == "error"] == ["look_failed"]
        watch.provider.answers["1"] = snap(Status.SUCCEEDED)
        assert await watch.look_after(5) == 1
        assert watch.world.messages() == [("task.succeeded", "pending")]

    async def test_an_answer_that_leaves_a_task_out_is_asked_again(self, watch: Watch) -> None:
        await watch.start("1", "2")
        watch.provider.answers["1"] = snap(Status.SUCCEEDED)
        watch.provider.script.append(Look(seen={"1": snap(Status.SUCCEEDED)}))

        with capture_logs():
            await watch.lane.run_once()
        assert await watch.look_after(5) == 2

        assert watch.world.messages("1") == [("task.succeeded", "pending")]
        assert watch.world.history("2") == ["registered", "status"]

    async def test_nothing_is_lost_while_the_database_is_away(self, watch: Watch) -> None:
        await watch.start("1", "2")
        await watch.lane.run_once()
        watch.provider.answers = {"1": snap(Status.SUCCEEDED), "2": snap(progress=50)}
        assert isinstance(watch.world.database, FlakyDatabase)
        watch.world.database.away = 2

        await watch.look_after(60)
        await watch.look_after(60)
        assert watch.world.database.refused == 2
        assert watch.world.history("1") == ["registered", "status"]
        await watch.look_after(60)

        assert watch.world.history("1") == ["registered", "status", "status"]
        assert watch.world.history("2") == ["registered", "status", "progress"]
        assert watch.world.messages("1") == [("task.succeeded", "pending")]

    async def test_one_task_that_cannot_be_recorded_does_not_stop_the_others(
        self, database: FlakyDatabase, clock: FakeClock
    ) -> None:
        """A bad row is looked at again by itself, time after time; the good ones of its batch are told."""
        watch = Watch(World(database, clock, Unwritable("bad")), FakeProvider())
        await watch.start("a", "bad", "z")
        watch.provider.answers = {name: snap(Status.SUCCEEDED) for name in ("a", "bad", "z")}

        with capture_logs() as logs:
            assert await watch.lane.run_once() == 3

        assert watch.world.messages("a") == watch.world.messages("z") == [("task.succeeded", "pending")]
        assert watch.world.history("bad") == ["registered"]
        assert [line["task"] for line in logs if line["event"] == "record_failed"] == [watch.world.key("bad")]
        assert len(watch.lane.schedule) == 1
        assert await watch.look_after(5) == 1

    async def test_a_task_that_another_daemon_took_over_is_let_go(self, watch: Watch) -> None:
        await watch.start("1", "2")
        watch.world.sql("UPDATE task SET watcher = 'dmn_other' WHERE task_id = '1'")
        watch.provider.answers = {"1": snap(Status.SUCCEEDED), "2": snap(progress=5)}

        await watch.lane.run_once()

        assert watch.world.history("1") == ["registered"]
        assert [entry.task_id for entry in watch.lane.schedule] == ["2"]

    async def test_a_task_that_was_deleted_is_let_go(self, watch: Watch) -> None:
        await watch.start("1")
        watch.world.sql("DELETE FROM task")

        await watch.lane.run_once()

        assert len(watch.lane.schedule) == 0

    async def test_a_stale_look_of_a_replaced_daemon_writes_nothing(self, watch: Watch) -> None:
        """It was frozen while the answer was on its way; by now somebody else watches the task."""
        await watch.start("1")
        watch.provider.answers["1"] = snap(Status.SUCCEEDED)

        others = Database(watch.world.database.url)

        def replace() -> None:
            other = World(others, watch.world.clock)
            other.write(daemons.all_leave)
            other.join("dmn_other")
            other.adopt("dmn_other")

        watch.provider.meanwhile = replace
        await watch.lane.run_once()
        others.close()

        assert watch.world.history() == ["registered"]
        assert watch.world.column("SELECT watcher FROM task") == ["dmn_other"]

    async def test_unknown_words_are_counted(self, watch: Watch) -> None:
        await watch.start("1")
        watch.provider.answers["1"] = snap(None, upstream_status="ZZZ")

        await watch.lane.run_once()

        assert b'tracker_unknown_statuses_total{upstream="default"} 1.0' in watch.metrics.exposition()[0]
