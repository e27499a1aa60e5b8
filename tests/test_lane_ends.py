"""The lane and ends: each is written once, whatever people ask of a task meanwhile."""

from datetime import timedelta
from functools import partial

import pytest
from fakes import miss, snap, statements
from lanes import HOUR, Watch, slow
from structlog.testing import capture_logs

from tracker.model import MissKind, Seen, Status
from tracker.observe import drop
from tracker.store import tasks

pytestmark = pytest.mark.anyio


class TestEnds:
    async def test_an_end_is_recorded_once_and_the_task_let_go(self, watch: Watch) -> None:
        await watch.start("1")
        watch.provider.answers["1"] = snap(Status.SUCCEEDED, 100, finished_at=watch.world.clock())
        watch.world.clock.advance(2)

        with capture_logs() as logs:
            await watch.lane.run_once()

        assert await watch.look_after(3600) == 0
        assert len(watch.lane.schedule) == 0
        assert watch.world.messages() == [("task.succeeded", "pending")]
        assert watch.woken == [None]
        ended = [line for line in logs if line["event"] == "task_ended"]
        assert [(line["task_id"], line["status"]) for line in ended] == [("1", "succeeded")]
        assert b"tracker_finish_to_detect_seconds_sum 2.0" in watch.metrics.exposition()[0]

    async def test_an_id_that_stays_unknown_is_lost(self, watch: Watch) -> None:
        await watch.start("1")
        watch.provider.answers["1"] = miss(MissKind.UNKNOWN)

        while watch.lane.schedule:
            assert await watch.look_after(watch.due_in() or 0) == 1

        assert watch.world.messages() == [("task.lost", "pending")]
        assert timedelta(minutes=10) <= watch.world.clock() - watch.world.clock().replace(hour=8, minute=0, second=0)
        assert watch.provider.times("1") >= 5

    async def test_one_answer_between_begins_the_counting_anew(self, watch: Watch) -> None:
        await watch.start("1")
        watch.provider.answers["1"] = miss(MissKind.UNKNOWN)
        for _ in range(4):
            await watch.look_after(300)
        watch.provider.answers["1"] = snap()
        await watch.look_after(300)
        watch.provider.answers["1"] = miss(MissKind.UNKNOWN)
        for _ in range(4):
            await watch.look_after(300)

        assert watch.world.messages() == []
        assert len(watch.lane.schedule) == 1

    async def test_a_task_without_an_end_expires_at_its_deadline(self, watch: Watch) -> None:
        watch = slow(watch, expire_after=HOUR)
        await watch.start("1")

        await watch.look_after(3599)
        assert watch.world.messages() == []
        await watch.look_after(61)

        assert watch.world.messages() == [("task.expired", "pending")]

    async def test_a_deadline_passes_while_nobody_answers(self, watch: Watch) -> None:
        watch = slow(watch, expire_after=HOUR)
        await watch.start("1")
        watch.world.clock.advance(3601)
        watch.provider.answers["1"] = miss(MissKind.TRANSIENT)

        for _ in range(11):
            await watch.look_after(61)

        assert watch.world.messages() == [("task.expired", "pending")]

    async def test_a_task_that_waits_for_a_person_has_seven_times_as_long(self, watch: Watch) -> None:
        watch = slow(watch, expire_after=HOUR)
        await watch.start("1")
        watch.provider.answers["1"] = snap(Status.NEEDS_INPUT)

        await watch.look_after(6 * 3600)
        with statements() as sent:
            await watch.look_after(61)
        assert sent == [], "the deadline in memory moved too"
        await watch.look_after(3600)

        assert watch.world.messages() == [("task.expired", "pending")]

    async def test_a_refused_credential_never_lets_tasks_expire(self, watch: Watch) -> None:
        watch = slow(watch, expire_after=HOUR)
        await watch.start("1")
        watch.provider.script.extend([miss(MissKind.REFUSED)] * 100)

        for _ in range(100):
            await watch.look_after(120)

        assert watch.world.messages() == []
        assert watch.world.history() == ["registered"]

    async def test_full_progress_with_a_reason_of_failure_fails_at_the_third_look(self, watch: Watch) -> None:
        await watch.start("1")
        watch.provider.answers["1"] = snap(progress=100, fail_reason="banned", implies_failure=True)

        for _ in range(3):
            assert watch.world.messages() == []
            await watch.look_after(61)

        assert watch.world.messages() == [("task.failed", "pending")]


class TestNotes:
    async def refresh(self, watch: Watch) -> None:
        watch.world.write(partial(tasks.ask_refresh, key=watch.world.key(), now=watch.world.clock()))
        await watch.adoption.run_once()

    async def test_a_refreshed_task_is_looked_at_now(self, watch: Watch) -> None:
        await watch.start("1")
        await watch.lane.run_once()
        assert await watch.look_after(1) == 0

        await self.refresh(watch)

        assert await watch.lane.run_once() == 1
        assert await watch.lane.run_once() == 0

    async def test_one_refreshed_while_it_is_out_is_looked_at_once_more(self, watch: Watch) -> None:
        await watch.start("1")

        def note() -> None:
            watch.provider.meanwhile = lambda: None
            watch.lane.schedule.hurry(watch.world.key(), watch.world.clock.timer())

        watch.provider.meanwhile = note
        assert await watch.lane.run_once() == 2
        assert await watch.lane.run_once() == 0

    async def test_an_ended_task_is_looked_at_once_more_and_let_go(self, watch: Watch) -> None:
        await watch.start("1")
        watch.provider.answers["1"] = snap(Status.SUCCEEDED)
        await watch.lane.run_once()
        watch.provider.answers["1"] = snap(Status.FAILED)

        await self.refresh(watch)
        assert await watch.lane.run_once() == 1

        assert watch.world.history() == ["registered", "status", "contradiction"]
        assert len(watch.lane.schedule) == 0

    async def test_asking_twice_for_an_ended_task_is_asking_once(self, watch: Watch) -> None:
        await watch.start("1")
        watch.provider.answers["1"] = snap(Status.SUCCEEDED)
        await watch.lane.run_once()

        await self.refresh(watch)
        await self.refresh(watch)

        assert await watch.lane.run_once() == 1
        assert len(watch.lane.schedule) == 0

    @pytest.mark.parametrize("answer", [snap(), miss(MissKind.TRANSIENT), miss(MissKind.UNKNOWN)])
    async def test_an_ended_task_is_let_go_whatever_that_look_brings(self, watch: Watch, answer: Seen) -> None:
        await watch.start("1")
        watch.provider.answers["1"] = snap(Status.SUCCEEDED)
        await watch.lane.run_once()
        watch.provider.answers["1"] = answer

        await self.refresh(watch)
        await watch.lane.run_once()

        assert len(watch.lane.schedule) == 0
        assert watch.world.column("SELECT status FROM task") == ["succeeded"]

    async def test_a_dropped_task_is_let_go_without_another_request(self, watch: Watch) -> None:
        await watch.start("1", "2")
        await watch.lane.run_once()
        decide = partial(drop, now=watch.world.clock(), note="by hand")
        watch.world.record({watch.world.key("1"): decide}, watcher=None)

        await watch.adoption.run_once()
        await watch.look_after(60)

        assert watch.provider.asked[1:] == [("2",)]
        assert watch.world.column("SELECT watcher FROM task WHERE task_id = '1'") == [None]

    async def test_one_dropped_while_it_is_out_stays_dropped(self, watch: Watch) -> None:
        await watch.start("1")
        decide = partial(drop, now=watch.world.clock(), note="by hand")
        key = watch.world.key()
        watch.provider.meanwhile = lambda: watch.world.record({key: decide}, watcher=None) and None
        watch.provider.answers["1"] = snap(progress=5)

        await watch.lane.run_once()
        await watch.adoption.run_once()

        assert watch.world.history() == ["registered", "status"]
        assert len(watch.lane.schedule) == 0
