"""One upstream's lane: looks when it should, writes only news, survives everything that answers may do."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any

import pytest
from conftest import FakeClock
from fakes import UPSTREAM, FakeProvider, FlakyDatabase, Unwritable, World, miss, snap, statements, want, writes
from lending import KINDS, lent_database
from structlog.testing import capture_logs

from tracker.cadence import pause
from tracker.config import UpstreamSettings
from tracker.metrics import Metrics
from tracker.model import MissKind, Seen, Status
from tracker.observe import drop
from tracker.poller import Adoption, Lane
from tracker.poller.ports import Ports
from tracker.providers.protocol import NOTHING_KNOWN, Look
from tracker.store import daemons, tasks, upstreams
from tracker.store.database import Database
from tracker.store.upstreams import Health
from tracker.store.watching import Adopted

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)


@dataclass
class Watch:
    """A lane and its adoption, with everything they touch at hand."""

    world: World
    provider: FakeProvider
    settings: dict[str, Any] = field(default_factory=dict)
    dice: Callable[[], float] = lambda: 0.5
    woken: list[None] = field(default_factory=list)
    beats: list[None] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = UpstreamSettings(base_url="https://gateway.example/mj", **self.settings)
        self.metrics = Metrics(version="0")
        ports = Ports(
            database=self.world.database,
            compose=self.world.compose,
            metrics=self.metrics,
            clock=self.world.clock,
            timer=self.world.clock.timer,
            dice=self.dice,
            watcher=lambda: self.adoption.me,
            wake_courier=lambda: self.woken.append(None),
            beat=lambda: self.beats.append(None),
        )
        self.lane = Lane(UPSTREAM, settings, self.provider, ports)
        self.adoption = Adoption({UPSTREAM: self.lane}, self.world.database, self.world.clock)

    async def start(self, *task_ids: str, **fields: object) -> None:
        """Join, and adopt these tasks."""
        await self.adoption.join()
        if task_ids:
            await self.world.database.write(self.world.registering(*(want(task_id, **fields) for task_id in task_ids)))
        await self.adoption.run_once()

    async def look_after(self, seconds: float) -> int:
        self.world.clock.advance(seconds)
        return await self.lane.run_once()

    async def health(self) -> Health:
        return (await self.world.database.read(upstreams.read))[UPSTREAM]

    def due_in(self) -> float | None:
        due = self.lane.schedule.next_due()
        return None if due is None else due - self.world.clock.timer()


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    with lent_database(request, request.param) as url:
        yield url


@pytest.fixture
def database(database_url: str):  # type: ignore[no-untyped-def]  # noqa: ANN201
    opened = FlakyDatabase(database_url)
    yield opened
    opened.close()


@pytest.fixture
def watch(database: FlakyDatabase, clock: FakeClock) -> Watch:
    return Watch(World(database, clock), FakeProvider())


def slow(watch: Watch, **settings: object) -> Watch:
    """The same with other settings."""
    return Watch(watch.world, watch.provider, settings)


class TestPace:
    async def test_a_new_task_is_looked_at_at_once_and_then_at_its_pace(self, watch: Watch) -> None:
        await watch.start("1")

        assert await watch.lane.run_once() == 1
        assert await watch.look_after(4.9) == 0
        assert await watch.look_after(0.2) == 1
        assert watch.provider.asked == [("1",), ("1",)]

    async def test_a_quiet_task_is_looked_at_less_and_less_and_news_bring_the_pace_back(self, watch: Watch) -> None:
        await watch.start("1")
        await watch.lane.run_once()
        assert watch.due_in() == 5
        assert await watch.look_after(600) == 1
        waits = []
        for _ in range(30):
            await watch.lane.run_once()
            waits.append(watch.due_in() or 0)
            watch.world.clock.advance(waits[-1])

        assert waits == sorted(waits)
        assert (waits[0], waits[-1]) == (5, 60) or waits[-1] > 30

        watch.provider.answers["1"] = snap(progress=50)
        await watch.lane.run_once()
        assert watch.due_in() == 5

    async def test_tasks_that_came_at_different_times_meet_in_the_same_requests(self, watch: Watch) -> None:
        """Each at its own moment would be 50 requests in every interval."""
        await watch.start()
        for number in range(50):
            await watch.world.database.write(watch.world.registering(want(str(number))))
            await watch.adoption.run_once()
            await watch.look_after(0.1)
        watch.provider.asked.clear()

        for _ in range(100):
            await watch.look_after(0.1)

        assert len(watch.provider.asked) <= 2 * 5 + 1
        assert 90 <= sum(len(ids) for ids in watch.provider.asked) <= 110

    async def test_tasks_that_are_found_after_a_start_meet_in_the_same_requests_from_the_first_look_on(
        self, watch: Watch
    ) -> None:
        watch = Watch(watch.world, watch.provider, dice=Random(1).random)  # noqa: S311 - no secret
        for key in range(500):
            found = Adopted(
                key=key, upstream=UPSTREAM, task_id=str(key), registered_at=watch.world.clock(), has_ended=False
            )
            watch.lane.watch(found, is_new=False)

        looked_at = [await watch.look_after(0.1) for _ in range(55)]

        assert sum(looked_at) >= 500
        assert len(watch.provider.asked) <= 2 * 5 + 2

    async def test_who_was_looked_at_together_stays_together_however_long_all_are_silent(self, watch: Watch) -> None:
        watch = Watch(watch.world, watch.provider, dice=Random(1).random)  # noqa: S311 - no secret
        names = [str(number) for number in range(200)]
        await watch.start(*names)
        for _ in range(20):
            await watch.look_after(61)
        watch.provider.asked.clear()

        looked_at = [await watch.look_after(0.5) for _ in range(140)]

        assert sum(looked_at) >= len(names)
        assert len(watch.provider.asked) <= 2 * len(names) / watch.provider.look_size

    async def test_a_task_that_somebody_asks_for_while_its_end_is_written_is_looked_at_again(
        self, watch: Watch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may have been revived meanwhile, and then nobody else would ever look at it."""
        await watch.start("1")
        (watched,) = watch.lane.schedule
        asked_for = Adopted(
            key=watched.key, upstream=UPSTREAM, task_id="1", registered_at=watch.world.clock(), has_ended=False
        )
        look = watch.provider.look

        async def and_hear(*asked: Any) -> Look:  # noqa: ANN401 - what the provider takes
            monkeypatch.undo()
            watch.lane.hear(asked_for)
            return await look(*asked)

        watch.provider.answers["1"] = snap(Status.SUCCEEDED, progress=100)
        monkeypatch.setattr(watch.provider, "look", and_hear)

        assert await watch.lane.run_once() == 2

    async def test_a_date_at_the_end_of_all_time_stops_nobody(self, watch: Watch) -> None:
        late = datetime.max.replace(tzinfo=UTC)
        watch.lane.watch(
            Adopted(key=1, upstream=UPSTREAM, task_id="1", registered_at=late, has_ended=False), is_new=True
        )

        assert len(watch.lane.schedule) == 1

    async def test_tasks_share_requests_as_large_as_the_provider_likes(self, watch: Watch) -> None:
        watch.provider.look_size = 2
        await watch.start(*"abcde")

        assert await watch.lane.run_once() == 5
        assert sorted(len(ids) for ids in watch.provider.asked) == [1, 2, 2]

    async def test_only_so_many_requests_are_sent_in_a_second(self, watch: Watch) -> None:
        watch = slow(watch, max_requests_per_second=2)
        watch.provider.look_size = 1
        await watch.start(*"abcde")

        assert [await watch.lane.run_once()] + [await watch.look_after(0.25) for _ in range(8)] == [
            *(1, 0, 1, 0, 1, 0, 1, 0, 1)
        ]

    async def test_a_look_that_takes_several_requests_counts_as_many(self, watch: Watch) -> None:
        watch = slow(watch, max_requests_per_second=2)
        watch.provider.look_size = 2
        watch.provider.requests = 3
        await watch.start(*"abcd")

        assert await watch.lane.run_once() == 2
        assert await watch.look_after(1.4) == 0
        assert await watch.look_after(0.2) == 2

    async def test_unchanged_looks_cost_no_query_at_all(self, watch: Watch) -> None:
        await watch.start("1", "2")
        await watch.lane.run_once()

        with statements() as sent:
            for wait in (6, 7, 8, 9, 10):
                assert await watch.look_after(wait) == 2

        assert sent == []

    async def test_an_answer_that_comes_again_is_known_until_its_deadline_comes_near(self, watch: Watch) -> None:
        """A deadline may pass while a look is out, and then what is seen has to be judged."""
        watch = slow(watch, expire_after=HOUR)
        await watch.start("1", "2")
        watch.provider.script.append(Look(seen={"1": snap(), "2": snap(progress=7)}, digests={"1": 11, "2": 22}))
        watch.provider.script.extend([Look(seen={}, unchanged={"1", "2"})] * 2)
        await watch.lane.run_once()

        with statements() as sent:
            assert await watch.look_after(1800) == 2
            assert await watch.look_after(1800 - 31) == 2
        assert not any(" task" in statement for statement in sent), "only that the upstream answers"
        await watch.look_after(61)

        assert watch.provider.known == [{}, {11: "1", 22: "2"}, {11: "1", 22: "2"}, {}]
        assert watch.world.messages("1") == [("task.expired", "pending")]

    async def test_unchanged_looks_are_counted_and_keep_the_pace_of_a_task_without_news(self, watch: Watch) -> None:
        await watch.start("1")
        watch.provider.script.append(Look(seen={"1": snap()}, digests={"1": 11}))
        watch.provider.script.append(Look(seen={}, unchanged={"1"}))
        await watch.lane.run_once()

        await watch.look_after(3600)

        assert (watch.due_in() or 0) > 5
        assert b'tracker_polls_total{upstream="default"} 2.0' in watch.metrics.exposition()[0]

    async def test_an_unchanged_look_ends_a_row_of_misses(self, watch: Watch) -> None:
        await watch.start("1")
        missing = Look(seen={"1": miss(MissKind.UNKNOWN)})
        watch.provider.script.append(Look(seen={"1": snap()}, digests={"1": 11}))
        for _ in range(3):
            watch.provider.script.extend([*[missing] * 4, Look(seen={}, unchanged={"1"})])

        while watch.provider.script:
            await watch.look_after(300)

        assert watch.world.messages() == []
        assert watch.provider.known[-1] == {11: "1"}, "a miss says nothing against what was known"

    async def test_what_could_not_be_written_is_not_known(self, watch: Watch) -> None:
        await watch.start("1")
        watch.provider.script.append(Look(seen={"1": snap(progress=5)}, digests={"1": 11}))
        assert isinstance(watch.world.database, FlakyDatabase)
        watch.world.database.away = 1

        await watch.lane.run_once()
        watch.provider.answers["1"] = snap(progress=5)
        await watch.look_after(60)

        assert watch.provider.known == [{}, {}]
        assert watch.world.column("SELECT progress FROM task") == [5]

    async def test_what_has_to_be_counted_is_forgotten_as_known(self, watch: Watch) -> None:
        await watch.start("1")
        watch.provider.script.append(Look(seen={"1": snap(progress=5)}, digests={"1": 11}))
        watch.provider.answers["1"] = snap(progress=100, fail_reason="banned", implies_failure=True)

        for _ in range(3):
            await watch.look_after(61)

        assert watch.provider.known == [{}, {11: "1"}, {}]

    async def test_addresses_of_images_are_no_news(self, watch: Watch) -> None:
        await watch.start("1")
        for number in range(3):
            watch.provider.answers["1"] = snap(progress=5, image_url=f"https://cdn.example/{number}.png")
            with statements() as sent:
                assert await watch.look_after(9) == 1

        assert writes(sent) == []


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
        watch.provider.script += [
            Look(seen={"1": snap()}, digests={"1": 11}),
            Look(seen={}, unchanged={"1"}),
        ]
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


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0)
