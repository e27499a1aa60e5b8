"""What happened in each hour and on each day: added up once, corrected for a while, kept when the tasks are gone."""

from datetime import datetime, timedelta
from functools import partial

import pytest
from clocks import FakeClock
from fakes import HeldOpen, Thread, World, delivered, failed, snap, statements, wait_until_blocked, want, writes
from lending import lent_worlds

from tracker.config import RetentionSettings
from tracker.janitor import Janitor
from tracker.metrics import Metrics
from tracker.model import Status
from tracker.store import redelivery, rollups, tasks
from tracker.store.rollup_tables import BOUNDS

pytestmark = pytest.mark.anyio

HOUR, DAY = 3600.0, 86400.0


def make_janitor(world: World, days: float = 90) -> Janitor:
    kept = timedelta(days=days)
    settings = RetentionSettings(tasks=kept, attempts=kept, bodies=kept)
    return Janitor(world.database, settings, world.clock, Metrics(version="0"))


@pytest.fixture
def janitor(world: World) -> Janitor:
    return make_janitor(world)


def by_hour(world: World, what: str = "tasks") -> list[tuple[str, ...]]:
    """Hour, and everything else there is to say, in words."""
    rows = world.rows(f"SELECT * FROM hourly_{what} ORDER BY 1, 2, 3, 4")
    return [(str(row.pop("hour"))[11:13], *map(str, list(row.values())[1:])) for row in rows]


def by_day(world: World, what: str = "tasks") -> list[tuple[str, ...]]:
    rows = world.rows(f"SELECT * FROM daily_{what} ORDER BY 1, 2, 3, 4")
    return [(str(row.pop("day"))[5:], *map(str, list(row.values())[1:])) for row in rows]


async def test_tasks_count_in_the_hour_and_on_the_day_of_their_end(world: World, janitor: Janitor) -> None:
    world.watched(*(want(str(number), url=None) for number in range(5)))
    for number, status in enumerate((Status.SUCCEEDED, Status.SUCCEEDED, Status.FAILED)):
        world.end(str(number), status)
    world.clock.advance(HOUR)
    world.end("3")
    world.clock.advance(15 * HOUR)
    world.end("4")

    await janitor.run_once()

    assert by_hour(world) == [
        ("08", "failed", "1"),
        ("08", "succeeded", "2"),
        ("09", "succeeded", "1"),
        ("00", "succeeded", "1"),
    ]
    assert by_day(world) == [("11-22", "failed", "1"), ("11-22", "succeeded", "3"), ("11-23", "succeeded", "1")]


async def test_durations_are_counted_in_ranges_and_summed(world: World, janitor: Janitor) -> None:
    world.watched(want("1"), want("2"))
    begun = world.clock()
    world.clock.advance(70)
    for task_id, running in (("1", 61.125), ("2", 31.5)):
        seen = snap(
            Status.SUCCEEDED,
            submitted_at=begun,
            started_at=begun + timedelta(seconds=1.5),
            finished_at=begun + timedelta(seconds=1.5 + running),
        )
        world.record({world.key(task_id): seen})
    world.clock.advance(1)
    for claimed in world.claim():
        world.settle(claimed, delivered())

    await janitor.run_once()

    assert by_day(world, "durations") == [
        ("11-22", "succeeded", "finish_to_deliver", "10.0", "1", "8.375"),
        ("11-22", "succeeded", "finish_to_deliver", "45.0", "1", "38.0"),
        ("11-22", "succeeded", "finish_to_detect", "7.5", "1", "7.375"),
        ("11-22", "succeeded", "finish_to_detect", "45.0", "1", "37.0"),
        ("11-22", "succeeded", "queued", "2.5", "2", "3.0"),
        ("11-22", "succeeded", "running", "45.0", "1", "31.5"),
        ("11-22", "succeeded", "running", "90.0", "1", "61.125"),
    ]


async def test_the_longest_have_a_range_and_clocks_that_differ_do_no_harm(world: World, janitor: Janitor) -> None:
    world.watched(want("1", url=None), want("2", url=None))
    for task_id, days in (("1", -2000), ("2", 1)):
        world.record({world.key(task_id): snap(Status.FAILED, finished_at=world.clock() + timedelta(days=days))})

    await janitor.run_once()

    found = world.rows("SELECT up_to_seconds, seconds FROM daily_durations ORDER BY 1")
    assert [tuple(row.values()) for row in found] == [(BOUNDS[0], 0.0), (BOUNDS[-1], 2000 * DAY)]


async def test_messages_count_when_they_are_settled_and_where_they_settled_last(world: World, janitor: Janitor) -> None:
    first, second = world.pending(want("1"), want("2"))
    world.settle(world.claim(first)[0], delivered())
    world.settle(world.claim(second)[0], failed())
    await janitor.run_once()
    assert by_hour(world, "deliveries") == [
        ("08", "task.succeeded", "dead", "1"),
        ("08", "task.succeeded", "delivered", "1"),
    ]

    world.clock.advance(30 * HOUR)
    (id_,) = world.column("SELECT id FROM delivery WHERE key = :key", key=second)
    world.write(partial(redelivery.redeliver, id_=id_, owner=None, now=world.clock()))
    world.settle(world.claim(second)[0], delivered())
    await janitor.run_once()

    assert by_hour(world, "deliveries") == [
        ("08", "task.succeeded", "delivered", "1"),
        ("14", "task.succeeded", "delivered", "1"),
    ]
    assert by_day(world, "deliveries") == [
        ("11-22", "task.succeeded", "delivered", "1"),
        ("11-23", "task.succeeded", "delivered", "1"),
    ]


async def test_the_hour_that_goes_on_is_counted_again_and_unchanged_ones_are_not_written(
    world: World, janitor: Janitor
) -> None:
    world.watched(want("1", url=None), want("2", url=None))
    world.end("1")
    await janitor.run_once()
    with statements() as sent:
        await janitor.run_once()
    assert writes(sent) == []

    world.clock.advance(600)
    world.end("2")
    await janitor.run_once()

    assert by_day(world) == [("11-22", "succeeded", "2")]


async def test_days_stay_when_tasks_and_hours_are_forgotten(world: World) -> None:
    """Also when nothing happens for a year, and whoever tidies begins anew each time."""
    world.settle(world.claim(*world.pending(want()))[0], delivered())
    await make_janitor(world).run_once()
    kept = by_day(world), by_day(world, "deliveries")
    for _ in range(8):
        world.clock.advance(50 * DAY)
        await make_janitor(world).run_once()

    assert world.column("SELECT count(*) FROM task") == [0]
    assert by_hour(world) == []
    assert (by_day(world), by_day(world, "deliveries")) == kept


async def test_what_waits_for_a_year_is_not_counted_twice(world: World) -> None:
    """A task is kept while its message waits; its day was added up with others that are gone."""
    world.watched(want("told", url=None), want("waits"))
    world.end("told")
    world.end("waits")
    world.settle(world.claim()[0], failed(), again_after=400 * DAY)
    for _ in range(4):
        await make_janitor(world).run_once()
        world.clock.advance(95 * DAY)

    assert world.column("SELECT task_id FROM task") == ["waits"]
    assert by_day(world) == [("11-22", "succeeded", "2")]


async def test_a_daemon_that_was_down_for_long_adds_up_what_it_missed_before_it_forgets(world: World) -> None:
    """But for the rest of the hour in which it went down: of that, tasks may be missing by now."""
    world.watched(want("1", url=None), want("2", url=None))
    world.end("1")
    await make_janitor(world).run_once()
    world.clock.advance(600)
    world.end("2")
    world.clock.advance(2 * DAY)
    world.register(want("3", url=None))
    world.sql("UPDATE task SET status = 'lost', ended_at = registered_at WHERE task_id = '3'")
    world.clock.advance(200 * DAY)

    await make_janitor(world).run_once()

    assert world.column("SELECT count(*) FROM task") == [0]
    assert by_day(world) == [("11-22", "succeeded", "1"), ("11-24", "lost", "1")]


async def test_tasks_are_kept_until_their_hour_is_added_up_whatever_was_configured(world: World) -> None:
    janitor = make_janitor(world, days=0.0001)
    world.clock.now = world.clock.now.replace(minute=55)
    world.watched(want("1", url=None), want("2", url=None))
    world.end("1")
    await janitor.run_once()
    world.clock.advance(240)
    world.end("2")

    for _ in range(20):
        await janitor.run_once()
        world.clock.advance(600)

    assert world.column("SELECT count(*) FROM task") == [0]
    assert by_day(world) == [("11-22", "succeeded", "2")]


async def test_the_gauges_are_the_same_with_and_without_what_was_added_up(world: World, janitor: Janitor) -> None:
    keys = world.pending(*(want(str(number)) for number in range(6)))
    for number, key in enumerate(keys[:5]):
        world.settle(world.claim(key)[0], delivered() if number % 2 else failed())
        world.clock.advance(HOUR)
        world.register(want(f"more {number}"))
        world.adopt()
        world.end(f"more {number}", Status.FAILED)
    counts = (tasks.count_by_status, tasks.count_deliveries)
    before = [world.database.read_now(count) for count in counts]
    assert before == [{"succeeded": 6, "failed": 5}, {"pending": 6, "delivered": 2, "dead": 3}]

    await janitor.run_once()
    assert [world.database.read_now(count) for count in counts] == before

    world.register(want("last"))
    world.adopt()
    world.end("last", Status.LOST)
    assert world.database.read_now(tasks.count_by_status) == {"succeeded": 6, "failed": 5, "lost": 1}


async def test_two_that_add_up_the_same_hour_do_so_one_after_the_other(
    request: pytest.FixtureRequest, clock: FakeClock
) -> None:
    with lent_worlds(request, clock) as (first, second, onlooker):
        first.watched(want("1", url=None), want("2", url=None))
        first.end("1")
        hour = rollups.hour_of(clock())
        early = first.database.read_now(partial(rollups.count, hour=hour))
        assert early is not None
        held = HeldOpen(first.database, partial(rollups.keep, hour=early))
        first_end: datetime = clock()
        second.sql("UPDATE task SET status = 'lost', ended_at = :at WHERE task_id = '2'", at=first_end)
        late = second.database.read_now(partial(rollups.count, hour=hour))
        assert late is not None

        writing = Thread(lambda: second.write(partial(rollups.keep, hour=late)))
        wait_until_blocked(onlooker.database)
        held.commit()
        writing.result()

        assert by_hour(onlooker) == [("08", "lost", "1"), ("08", "succeeded", "1")]
