"""The first look at each task after a start: it costs no query where nothing happened meanwhile, and misses nothing."""

from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clocks import START
from fakes import UPSTREAM, FakeProvider, World, miss, moment_of, snap, statements, want

from tracker.config import UpstreamSettings
from tracker.metrics import Metrics
from tracker.model import MissKind, Snapshot, Status
from tracker.poller import Adoption, Lane
from tracker.poller.ports import Ports
from tracker.store.database import Database

pytestmark = pytest.mark.anyio

TOLD = snap(
    progress=40,
    action="IMAGINE",
    submitted_at=datetime(2026, 11, 22, 7, 59, 1, 123000, tzinfo=UTC),
    started_at=datetime(2026, 11, 22, 7, 59, 2, tzinfo=UTC),
    fail_reason="none so far",
    image_url="https://cdn.example/first.png",
)


@dataclass
class Start:
    """A daemon from its start on."""

    world: World
    provider: FakeProvider
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ports = Ports(
            database=self.world.database,
            compose=self.world.compose,
            metrics=Metrics(version="0"),
            clock=self.world.clock,
            timer=self.world.clock.timer,
            dice=lambda: 0.5,
            watcher=lambda: self.adoption.me,
            wake_courier=lambda: None,
            beat=lambda: None,
        )
        settings = UpstreamSettings(base_url="https://gateway.example/mj", **self.settings)
        self.lane = Lane(UPSTREAM, settings, self.provider, ports)
        self.adoption = Adoption({UPSTREAM: self.lane}, self.world.database, self.world.clock)

    async def enter(self) -> None:
        """As the daemon does."""
        await self.adoption.resume()
        while await self.adoption.run_once():
            pass

    async def look(self) -> int:
        """At everything, an interval later."""
        self.world.clock.advance(5)
        return await self.lane.run_once()


async def seen_before(world: World, **answers: Snapshot) -> FakeProvider:
    """Tasks that a daemon has watched which is gone by now, and the upstream that told it about them."""
    provider = FakeProvider(answers=dict(answers))
    world.register(*(want(task_id) for task_id in answers))
    with closing(Database(world.database.url)) as database:
        before = Start(World(database, world.clock), provider)
        await before.enter()
        assert await before.look() == len(answers)
        await before.adoption.leave()
    return provider


def about_tasks(sent: list[str]) -> list[str]:
    """Without the line that says now and then how the upstream does."""
    return [statement for statement in sent if "task" in statement]


async def test_a_round_of_looks_after_a_start_in_which_nothing_happened_asks_the_database_nothing(world: World) -> None:
    answers = {
        "full": TOLD,
        "bare": snap(),
        "waiting": snap(Status.NEEDS_INPUT, progress=0),
        "queued": snap(Status.QUEUED, upstream_status="NOT_START"),
    }
    provider = await seen_before(world, **answers)
    after = Start(world, provider)
    await after.enter()

    with statements() as sent:
        assert await after.look() == len(answers)

    assert about_tasks(sent) == []
    assert sorted(watched.task_id for watched in after.lane.schedule) == sorted(answers)


async def test_a_new_image_address_is_no_news_after_a_start_either(world: World) -> None:
    provider = await seen_before(world, one=TOLD)
    after = Start(world, provider)
    await after.enter()
    provider.answers["one"] = snap(
        progress=TOLD.progress,
        action=TOLD.action,
        submitted_at=TOLD.submitted_at,
        started_at=TOLD.started_at,
        fail_reason=TOLD.fail_reason,
        image_url="https://cdn.example/second.png",
    )

    with statements() as sent:
        await after.look()

    assert about_tasks(sent) == []


@pytest.mark.parametrize(
    "change",
    [
        {"progress": 41},
        {"status": Status.NEEDS_INPUT},
        {"status": Status.SUCCEEDED, "progress": 100},
        {"upstream_status": "DOING"},
        {"action": "UPSCALE"},
        {"submitted_at": START},
        {"started_at": START},
        {"finished_at": START},
        {"fail_reason": "out of credits"},
    ],
    ids=" ".join,
)
async def test_what_happened_while_no_daemon_was_there_is_written_at_the_first_look(
    world: World, change: dict[str, Any]
) -> None:
    provider = await seen_before(world, one=TOLD)
    after = Start(world, provider)
    await after.enter()
    told = {name: getattr(TOLD, name) for name in TOLD.__struct_fields__ if name not in ("task_id", "kept")}
    provider.answers["one"] = snap(**{**told, **change})

    await after.look()

    (row,) = world.rows("SELECT * FROM task")
    for name in change:
        expected = getattr(provider.answers["one"], name)
        assert (moment_of(row[name]) if isinstance(expected, datetime) else row[name]) == expected


async def test_a_task_that_nobody_has_seen_yet_is_written_at_its_first_look(world: World) -> None:
    world.register(want("new"))
    after = Start(world, FakeProvider(answers={"new": snap(Status.QUEUED, upstream_status="NOT_START")}))
    await after.enter()

    await after.look()

    assert world.column("SELECT upstream_status FROM task") == ["NOT_START"]


async def test_a_deadline_that_passed_while_no_daemon_was_there_ends_a_task_of_which_nothing_is_new(
    world: World,
) -> None:
    provider = await seen_before(world, one=TOLD, asking=snap(Status.NEEDS_INPUT))
    world.clock.advance(timedelta(hours=25).total_seconds())
    after = Start(world, provider)
    await after.enter()

    await after.look()
    with statements() as sent:
        await after.look()

    assert world.column("SELECT status FROM task ORDER BY task_id") == ["needs_input", "expired"]
    assert about_tasks(sent) == [], "who waits for a person has a week"


async def test_an_implied_failure_is_counted_from_the_first_look_on(world: World) -> None:
    implied = snap(progress=100, fail_reason="banned prompt", implies_failure=True)
    provider = await seen_before(world, one=implied)
    after = Start(world, provider)
    await after.enter()

    looks = provider.times("one")
    while provider.times("one") < looks + 3:
        await after.look()

    assert world.column("SELECT status FROM task") == ["failed"]


async def test_misses_after_a_start_make_no_news_of_what_comes_back_as_it_was(world: World) -> None:
    provider = await seen_before(world, one=TOLD)
    after = Start(world, provider)
    await after.enter()
    provider.answers["one"] = miss(MissKind.UNKNOWN)
    await after.look()
    provider.answers["one"] = TOLD

    with statements() as sent:
        await after.look()

    assert about_tasks(sent) == []


async def test_where_looks_are_scarce_the_first_one_tells_by_what_the_end_is_expected(world: World) -> None:
    """The row is not read, and what it would tell is what was just seen."""
    provider = await seen_before(world, one=TOLD)
    provider.look_size = 1
    after = Start(world, provider)
    await after.enter()

    with statements() as sent:
        await after.look()

    (watched,) = after.lane.schedule
    life = watched.life
    assert life is not None
    assert (life.action, life.progress) == ("IMAGINE", 40)
    assert (life.began, life.running) == (TOLD.submitted_at.timestamp(), TOLD.started_at.timestamp())
    assert len(about_tasks(sent)) == 1, "how long others took"


async def test_where_looks_are_scarce_a_task_without_times_began_when_it_was_registered(world: World) -> None:
    provider = await seen_before(world, one=snap())
    provider.look_size = 1
    after = Start(world, provider)
    world.clock.advance(100)
    await after.enter()

    await after.look()

    (watched,) = after.lane.schedule
    assert watched.life is not None
    assert watched.life.began == pytest.approx(START.timestamp(), abs=0.01)


async def test_a_task_that_was_taken_over_costs_no_query_either(world: World) -> None:
    """On Postgres from a daemon that left; on SQLite freed by hand."""
    provider = await seen_before(world, one=TOLD)
    world.sql("UPDATE task SET watcher = NULL")
    after = Start(world, provider)
    await after.enter()

    with statements() as sent:
        assert await after.look() == 1

    assert about_tasks(sent) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_row_that_was_written_by_hand_is_no_obstacle(world: World) -> None:
    """Times without a zone or milliseconds, in another zone, as Postgres' type does not let them in."""
    provider = await seen_before(world, one=TOLD)
    world.sql(
        "UPDATE task SET submitted_at = '2026-11-22 07:59:01', started_at = '2026-11-22 08:59:02+01:00', action = ''"
    )
    after = Start(world, provider)
    await after.enter()

    assert await after.look() == 1

    assert world.column("SELECT submitted_at FROM task") == ["2026-11-22 07:59:01.123Z"]


async def test_what_cannot_be_read_of_one_row_keeps_no_other_task_from_being_watched(world: World) -> None:
    """Somebody wrote bytes where text belongs, a word where a time does, a time after the end of all time."""
    provider = await seen_before(world, one=TOLD, two=TOLD, three=TOLD)
    if world.database.is_sqlite:
        world.sql("UPDATE task SET action = x'00ff' WHERE task_id = 'one'")
        world.sql("UPDATE task SET started_at = 'soon', finished_at = '2026-99-99' WHERE task_id = 'two'")
    else:
        world.sql("UPDATE task SET started_at = 'infinity', finished_at = '20000-01-01' WHERE task_id = 'two'")
    after = Start(world, provider)

    await after.enter()

    assert sorted(watched.task_id for watched in after.lane.schedule) == ["one", "three", "two"]
