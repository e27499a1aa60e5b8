"""The histories on Postgres: a table for each month, made ahead, and dropped when nothing in it is kept."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from clocks import FakeClock
from fakes import HeldOpen, Thread, World, delivered, failed, refused_by, snap, wait_until_blocked, want
from sqlalchemy import text

from tracker.config import RetentionSettings
from tracker.janitor import Janitor
from tracker.metrics import Metrics
from tracker.model import Status
from tracker.store import partitions

DAYS = 86400.0
YEAR = 2031
"""Far from the months that a migration of today makes."""


@pytest.fixture
def worlds(worlds: list[World], clock: FakeClock) -> list[World]:
    clock.now = datetime(YEAR, 1, 20, tzinfo=UTC)
    return worlds


@pytest.fixture
def world(worlds: list[World]) -> World:
    return worlds[0]


def make_ahead(world: World) -> int:
    return world.write(partial(partitions.make_ahead, now=world.clock()))


def outlived(world: World, days: int = 90) -> list[str]:
    before = world.clock() - timedelta(days=days)
    names = world.database.read_now(partial(partitions.outlived, ended_before=before))
    return [name for name in names if name.startswith(f"event_{YEAR}")]


def drop(world: World, name: str, days: int = 90) -> bool:
    return world.write(partial(partitions.drop, name=name, ended_before=world.clock() - timedelta(days=days)))


def places(world: World) -> list[str]:
    """Where the lines of all histories are."""
    return world.column("SELECT tableoid::regclass::text FROM event ORDER BY key")


def janitor(world: World) -> Janitor:
    return Janitor(world.database, RetentionSettings(), world.clock, Metrics(version="0"))


def test_this_month_and_the_next_three_are_made_once(world: World) -> None:
    assert make_ahead(world) == 4
    assert make_ahead(world) == 0

    names = [part.name for part in world.database.read_now(partitions.parts) if str(YEAR) in part.name]
    assert names == [f"event_{YEAR}_{month:02}" for month in (1, 2, 3, 4)]
    world.clock.advance(31 * DAYS)
    assert make_ahead(world) == 1


def test_a_line_goes_to_its_month_and_without_one_to_the_default(world: World) -> None:
    world.register(want("early"))
    make_ahead(world)
    world.register(want("in time"))
    world.clock.advance(200 * DAYS)
    world.register(want("late"))

    assert places(world) == [f"event_{YEAR}_01", f"event_{YEAR}_01", "event_default"]
    assert [world.history(name) for name in ("early", "in time", "late")] == [["registered"]] * 3


def test_what_was_in_the_default_table_moves_to_its_month(world: World) -> None:
    world.register(want())
    before = world.rows("SELECT * FROM event")
    assert places(world) == ["event_default"]

    make_ahead(world)

    assert places(world) == [f"event_{YEAR}_01"]
    assert world.rows("SELECT * FROM event") == before


def test_a_number_is_given_once_within_a_month(world: World) -> None:
    make_ahead(world)
    world.register(want())

    again = """INSERT INTO event (task_key, sequence, event, observed_at)
        SELECT task_key, sequence, event, observed_at + interval '1 day' FROM event"""
    assert refused_by(world, again)


def test_a_months_table_is_dropped_with_the_last_task_that_is_kept(world: World) -> None:
    """A task that lived into the next month holds its first one."""
    make_ahead(world)
    world.watched(want("short", url=None), want("long", url=None))
    world.end("short")
    world.clock.advance(20 * DAYS)
    world.record({world.key("long"): snap(Status.SUCCEEDED)})

    found = []
    for _ in range(12):
        world.clock.advance(10 * DAYS)
        found.append(outlived(world))
    held, free = found[7], found[10]
    assert f"event_{YEAR}_01" not in held, "day 100: the long one ended on day 20"
    assert free == [f"event_{YEAR}_01", f"event_{YEAR}_02"]
    assert drop(world, f"event_{YEAR}_01")
    assert places(world) == [f"event_{YEAR}_02"]
    assert not drop(world, f"event_{YEAR}_01"), "it is gone"


@pytest.mark.parametrize("keeps", ["lives", "is told"])
def test_no_month_is_dropped_of_a_task_that(world: World, keeps: str) -> None:
    make_ahead(world)
    if keeps == "lives":
        world.watched(want())
    else:
        world.settle(world.claim(*world.pending(want()))[0], failed(), again_after=10**8)
    world.clock.advance(400 * DAYS)

    assert f"event_{YEAR}_01" not in outlived(world)
    assert not drop(world, f"event_{YEAR}_01")
    assert len(places(world)) >= 1


def test_whoever_reads_all_day_is_not_waited_for(worlds: list[World]) -> None:
    world, reader, _ = worlds
    make_ahead(world)
    world.clock.advance(400 * DAYS)
    held = HeldOpen(reader.database, lambda connection: connection.execute(text("SELECT count(*) FROM event")).all())

    assert not drop(world, f"event_{YEAR}_01")
    assert make_ahead(world) == 0
    world.register(want())

    held.commit()
    assert drop(world, f"event_{YEAR}_01")
    assert make_ahead(world) == 4


def test_a_task_that_is_revived_just_now_keeps_its_history(worlds: list[World]) -> None:
    world, other, onlooker = worlds
    make_ahead(world)
    world.watched(want(url=None))
    world.sql("UPDATE task SET status = 'dropped', ended_at = registered_at, watcher = NULL")
    world.clock.advance(400 * DAYS)
    assert f"event_{YEAR}_01" in outlived(world)
    reviving = HeldOpen(other.database, other.registering(want(url=None)))

    dropping = Thread(lambda: drop(world, f"event_{YEAR}_01"))
    wait_until_blocked(onlooker.database)
    reviving.commit()

    assert not dropping.result()
    assert world.history() == ["registered", "status"]


@pytest.mark.anyio
async def test_the_janitor_makes_months_and_drops_them(world: World) -> None:
    await janitor(world).run_once()
    world.settle(world.claim(*world.pending(want()))[0], delivered())
    assert set(places(world)) == {f"event_{YEAR}_01"}

    world.clock.advance(130 * DAYS)
    await janitor(world).run_once()

    names = [part.name for part in world.database.read_now(partitions.parts) if str(YEAR) in part.name]
    assert names == [f"event_{YEAR}_{month:02}" for month in (3, 4, 5, 6, 7, 8)]
    assert world.column("SELECT count(*) FROM task") == [0]
