"""Tidying: in small steps, as old as the settings say, and counting what there is."""

import shutil
from datetime import timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from clocks import FakeClock
from fakes import World, delivered, snap, statements, want, writes

from tracker.config import RetentionSettings
from tracker.janitor import Janitor
from tracker.janitor.stride import Stride
from tracker.metrics import Metrics
from tracker.store import endpoints
from tracker.store.database import Database

pytestmark = pytest.mark.anyio

DAY = 86400


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(version="0")


@pytest.fixture
def settings() -> RetentionSettings:
    return RetentionSettings(tasks=timedelta(days=3), attempts=timedelta(days=2), bodies=timedelta(days=1))


@pytest.fixture
def janitor(world: World, settings: RetentionSettings, metrics: Metrics) -> Janitor:
    return Janitor(world.database, settings, world.clock, metrics)


async def test_bodies_then_attempts_then_tasks_are_forgotten(world: World, janitor: Janitor) -> None:
    world.settle(world.claim(*world.pending(want()))[0], delivered())
    left = []
    for _ in range(4):
        await janitor.run_once()
        query = """SELECT count(*) AS tasks, (SELECT count(*) FROM attempt) AS attempts,
                   (SELECT count(*) FROM delivery WHERE body IS NOT NULL) AS bodies FROM task"""
        left.append(tuple(world.rows(query)[0].values()))
        world.clock.advance(DAY + 0.001)

    assert left == [(1, 1, 1), (1, 1, 0), (1, 0, 0), (0, 0, 0)]


@pytest.mark.parametrize(
    ("bodies", "seconds"), [(timedelta(minutes=2), 15), (timedelta(minutes=40), 300), (timedelta(days=30), 600)]
)
async def test_it_forgets_as_often_as_what_is_kept_shortest_asks_for(
    world: World, metrics: Metrics, bodies: timedelta, seconds: int
) -> None:
    now, forgot_at, ran_at = 0.0, [], []
    settings = RetentionSettings(bodies=bodies)
    janitor = Janitor(world.database, settings, world.clock, metrics, timer=lambda: now)
    for number in range(100):
        # Ticks come when they come.
        now = 15.0 * number + (0.01 if number % 3 else 0.4)
        with statements() as asked:
            await janitor.run_when_due()
        if any("FROM task" in statement for statement in asked):
            forgot_at.append(15 * number)
        if any("endpoint" in statement for statement in asked):
            ran_at.append(15 * number)

    assert {after - before for before, after in pairwise(forgot_at)} == {seconds}
    assert ran_at == [0, 600, 1200]


async def test_a_run_that_failed_rests_too(
    world: World, settings: RetentionSettings, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong is not asked about at every tick."""
    now = 0.0
    janitor = Janitor(world.database, settings, world.clock, metrics, timer=lambda: now)
    monkeypatch.setattr("tracker.store.retention.shrink", lambda *_, **__: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        await janitor.run_when_due()
    monkeypatch.undo()

    now = 15.0
    with statements() as at_once:
        await janitor.run_when_due()
    now = 600.0
    with statements() as after_the_rest:
        await janitor.run_when_due()

    assert at_once == []
    assert after_the_rest != []


async def test_many_are_forgotten_in_steps_that_nobody_notices(
    world: World, settings: RetentionSettings, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.janitor.sweeping._TASKS_AT_A_LOOK", 3)
    monkeypatch.setattr("tracker.janitor.sweeping.Stride", partial(Stride, rows=2))
    world.pending(*(want(str(number), url=None) for number in range(5)))
    world.clock.advance(10 * DAY)
    janitor = Janitor(world.database, settings, world.clock, metrics)

    with statements() as sent:
        assert await janitor.run_once() == 10, "five objects, five tasks"
    assert await janitor.run_once() == 0
    assert world.column("SELECT count(*) FROM task") == [0]
    assert len([one for one in sent if one.startswith("DELETE FROM task")]) == 3, "two of three, one of three, two"


async def test_where_nothing_is_old_nor_new_nothing_is_written(world: World, janitor: Janitor) -> None:
    world.pending(want())
    await janitor.run_once()

    with statements() as sent:
        assert await janitor.run_once() == 0

    assert writes(sent) == []


async def test_the_operator_is_reminded_once_a_day_and_what_is_stale_is_ended(
    world: World, janitor: Janitor, metrics: Metrics
) -> None:
    world.join("dmn_teller", tells_operator=True)
    world.pending(want())
    key = world.column("SELECT key FROM endpoint")[0]
    world.write(partial(endpoints.disable, key=key, reason="by hand", now=world.clock()))
    told = []
    for _ in range(4):
        world.clock.advance(DAY / 2)
        await janitor.run_once()
        told.append(world.column("SELECT count(*) FROM notice")[0])
    assert told == [1, 2, 2, 3]

    world.sql("UPDATE delivery SET status = 'dead', next_attempt_at = NULL, settled_at = created_at")
    world.clock.advance(5.5 * DAY)
    await janitor.run_once()

    assert world.column("SELECT status FROM notice ORDER BY key") == ["dead", "pending", "pending"]
    assert 'tracker_operator_messages_total{outcome="dead"} 1.0' in metrics.exposition()[0].decode()


async def test_what_is_stale_is_ended_in_steps_and_counted_in_full(
    world: World, janitor: Janitor, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.janitor.janitor._STEP", 2)
    world.join("dmn_teller", tells_operator=True)
    world.pending(*(want(str(number), url=f"https://{number}.example/") for number in range(5)))
    for key in world.column("SELECT key FROM endpoint"):
        world.write(partial(endpoints.disable, key=key, reason="by hand", now=world.clock()))
    world.sql("UPDATE delivery SET status = 'dead', next_attempt_at = NULL, settled_at = created_at")
    world.clock.advance(8 * DAY)

    with statements() as sent:
        await janitor.run_once()

    assert world.column("SELECT DISTINCT status FROM notice") == ["dead"]
    assert len([one for one in writes(sent) if one.startswith("UPDATE notice")]) == 3
    assert 'tracker_operator_messages_total{outcome="dead"} 5.0' in metrics.exposition()[0].decode()


async def test_operator_messages_are_kept_as_long_as_attempts(world: World, janitor: Janitor) -> None:
    world.join("dmn_teller", tells_operator=True)
    world.pending(want())
    key = world.column("SELECT key FROM endpoint")[0]
    world.write(partial(endpoints.disable, key=key, reason="by hand", now=world.clock()))
    world.sql("UPDATE notice SET status = 'delivered', next_attempt_at = NULL, settled_at = created_at")
    world.sql("UPDATE delivery SET status = 'dead', next_attempt_at = NULL, settled_at = created_at")
    left = []
    for _ in range(3):
        await janitor.run_once()
        left.append(world.column("SELECT count(*) FROM notice")[0])
        world.clock.advance(DAY + 0.001)

    assert left == [1, 1, 0]


async def test_the_file_shrinks_by_what_was_forgotten(tmp_path: Path, sqlite_template: Path, clock: FakeClock) -> None:
    path = tmp_path / "tracker.db"
    shutil.copy(sqlite_template, path)
    world = World(Database(f"sqlite:///{path}"), clock)
    key = world.watched(*(want(str(number), url=None) for number in range(100)))
    for number in range(100):
        world.record({key + number: snap(progress=5, object={"prompt": "x" * 20_000})})
        world.end(str(number))
    world.clock.advance(100 * DAY)
    before = world.column("PRAGMA page_count")[0]

    await Janitor(world.database, RetentionSettings(), clock, Metrics(version="0")).run_once()

    assert world.column("PRAGMA freelist_count") == [0]
    assert world.column("PRAGMA page_count")[0] < before / 2
    world.database.close()


async def test_everything_is_counted(world: World, janitor: Janitor, metrics: Metrics) -> None:
    world.pending(want("1"), want("2"))
    world.settle(world.claim(world.due()[0])[0], delivered())
    world.register(want("3"))
    world.clock.advance(7)

    await janitor.count()

    said = metrics.exposition()[0].decode()
    for line in (
        'tracker_tasks{status="succeeded"} 2.0',
        'tracker_tasks{status="queued"} 1.0',
        'tracker_tasks{status="lost"} 0.0',
        'tracker_deliveries_by_status{status="delivered"} 1.0',
        'tracker_deliveries_by_status{status="pending"} 1.0',
        "tracker_oldest_due_delivery_seconds 7.0",
        'tracker_endpoints{state="active"} 1.0',
        'tracker_endpoints{state="paused"} 0.0',
    ):
        assert line in said.splitlines()

    world.sql("DELETE FROM task")
    await janitor.count()

    assert 'tracker_tasks{status="succeeded"} 0.0' in metrics.exposition()[0].decode()
