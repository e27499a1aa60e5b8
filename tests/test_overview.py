"""What the overview says: sums of what was added up, rows for the rest, and for owners only what is theirs."""

from collections.abc import Collection
from datetime import timedelta
from functools import partial

import pytest
from fakes import ME, OWNER, World, delivered, failed, snap, want

from tracker.config import RetentionSettings
from tracker.janitor import Janitor
from tracker.metrics import Metrics
from tracker.model import DeliveryStatus, Status
from tracker.store import endpoints, overview, overview_now, overview_owner, overview_recent
from tracker.store.overview import RANGES, Course
from tracker.store.overview_lengths import Lengths

pytestmark = pytest.mark.anyio

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


async def add_up(world: World) -> None:
    kept = RetentionSettings(tasks=timedelta(days=200), attempts=timedelta(days=200), bodies=timedelta(days=200))
    await Janitor(world.database, kept, world.clock, Metrics(version="0")).run_once()


def course(world: World, name: str) -> Course:
    return world.database.read_now(partial(overview.course, range_=RANGES[name], now=world.clock()))


def ended(found: Course) -> list[int]:
    """How many tasks ended, step by step."""
    return [step.ended.total() for step in found.steps]


def finish(world: World, task_id: str, *, seen_after: float = 0.0, arrives_after: float | None = None) -> None:
    """Register a task that ended at its upstream some seconds before we saw it."""
    world.watched(want(task_id, url=None if arrives_after is None else "https://shop.example/x"))
    done = world.clock()
    world.clock.advance(seen_after)
    world.record({world.key(task_id): snap(Status.SUCCEEDED, finished_at=done)})
    if arrives_after is not None:
        world.clock.advance(arrives_after)
        world.settle(world.claim()[0], delivered())


async def test_the_first_minutes_are_told_before_anything_is_added_up(world: World) -> None:
    """By rows, in every range."""
    finish(world, "1", seen_after=3, arrives_after=2)
    world.clock.advance(7 * MINUTE)
    world.watched(want("2"))
    world.end("2", Status.FAILED)
    world.settle(world.claim()[0], failed())

    for name in RANGES:
        found = course(world, name)
        assert found.is_whole
        assert dict(found.ended) == {"succeeded": 1, "failed": 1}, name
        assert dict(found.settled) == {"delivered": 1, "dead": 1}
        assert (found.detect.times, found.deliver.times) == (1, 1)
    assert ended(course(world, "1h"))[-2:] == [1, 1]
    assert ended(course(world, "24h"))[-1] == 2
    assert [len(course(world, name).steps) for name in RANGES] == [12, 6, 24, 28, 30, 90]


@pytest.mark.parametrize("has_added_up", [False, True])
async def test_every_range_tells_the_same_of_what_is_in_it(world: World, has_added_up: bool) -> None:  # noqa: FBT001
    """Whether it was added up or not, or partly."""
    for number in range(60):
        finish(world, str(number), seen_after=1, arrives_after=1)
        world.clock.advance(7 * HOUR - 2)
        if number % 10 == 0 and has_added_up:
            await add_up(world)
    if has_added_up:
        await add_up(world)
        assert world.rows("SELECT * FROM daily_tasks")
    finish(world, "last", seen_after=1, arrives_after=1)

    totals = {name: course(world, name) for name in RANGES}
    assert [found.ended.total() for found in totals.values()] == [1, 1, 4, 24, 61, 61]
    assert [found.settled.total() for found in totals.values()] == [1, 1, 4, 24, 61, 61]
    assert [found.detect.times for found in totals.values()] == [1, 1, 4, 24, 61, 61]
    assert [found.deliver.times for found in totals.values()] == [1, 1, 4, 24, 61, 61]
    assert max(ended(totals["90d"])) == 4


async def test_an_hour_that_was_added_up_when_it_was_not_over_is_counted_anew(world: World) -> None:
    finish(world, "1")
    await add_up(world)
    world.clock.advance(5 * MINUTE)
    finish(world, "2")
    world.clock.advance(HOUR)
    finish(world, "3")

    assert ended(course(world, "24h"))[-2:] == [2, 1]
    assert ended(course(world, "90d"))[-1:] == [3]


async def test_where_there_are_too_many_rows_what_was_added_up_has_to_do(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview_recent, "MOST_COUNTED", 4)
    monkeypatch.setattr(overview_recent, "MOST_LOOKED_UP", 4)
    monkeypatch.setattr(overview_recent, "MOST_READ", 4)
    for number in range(4):
        finish(world, str(number), seen_after=1, arrives_after=1)
    assert not course(world, "24h").is_whole
    await add_up(world)
    finish(world, "more", seen_after=1, arrives_after=1)

    found = course(world, "24h")

    assert found.is_whole
    assert (found.ended.total(), found.settled.total(), found.detect.times, found.deliver.times) == (4, 4, 4, 4)
    world.clock.advance(HOUR)
    finish(world, "next hour", seen_after=1, arrives_after=1)
    assert course(world, "24h").ended.total() == 5


def test_lengths_say_in_how_many_seconds_most_were_done() -> None:
    lengths = Lengths()
    assert lengths.within(0.5) is None

    for seconds in (-5.0, 0.05, 0.2, 0.7, 0.8, 0.9, 4.0, 4.5, 5.0, 200.0):
        lengths.add(seconds)

    assert lengths.times == 10
    assert lengths.within(0.2) == pytest.approx(0.1)
    assert 0.5 < (lengths.within(0.5) or 0) <= 1.0
    assert 2.5 < (lengths.within(0.9) or 0) <= 5.0
    assert 180 < (lengths.within(0.95) or 0) <= 300
    twice = overview.together([lengths, lengths])
    assert (twice.times, twice.within(0.5)) == (20, lengths.within(0.5))


async def test_the_oldest_that_go_on_are_named_and_all_are_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview_now, "MOST_COUNTED", 12)
    for number in range(15):
        world.watched(want(str(number)))
        world.clock.advance(1)
    world.record({world.key("3"): snap(Status.RUNNING), world.key("5"): snap(Status.NEEDS_INPUT)})
    world.end("0")

    found = world.database.read_now(partial(overview_now.unended, owner=None))

    assert [task.task_id for task in found.oldest] == [str(number) for number in range(1, 11)]
    assert {status: (one.found, one.is_all) for status, one in found.counts.items()} == {
        "queued": (12, True),
        "running": (1, True),
        "needs_input": (1, True),
    }
    world.register(want("one more"))
    again = world.database.read_now(partial(overview_now.unended, owner=None))
    assert (again.counts["queued"].found, again.counts["queued"].is_all) == (12, False)


async def test_an_owner_sees_what_is_its_own(world: World) -> None:
    world.watched(*(want(str(number)) for number in range(5)))
    world.register(want("2", url="https://mine.example/x"), want("m1", url="https://mine.example/x"), owner="other")
    world.adopt()
    for name in ("0", "2", "m1"):
        world.end(name)
    for claimed in world.claim():
        world.settle(claimed, failed() if "mine" in claimed.endpoint else delivered())

    asked = partial(overview_owner.latest, range_=RANGES["24h"], owner="other", now=world.clock())
    mine = world.database.read_now(asked)
    assert (dict(mine.statuses), dict(mine.messages)) == ({"succeeded": 2}, {"dead": 2})
    assert (mine.course.ended.total(), dict(mine.course.settled)) == (2, {"dead": 2})
    assert mine.course.back_to is None
    assert len(mine.endpoint_keys) == 1

    def count(status: DeliveryStatus, owner: str | None) -> int:
        return world.database.read_now(partial(overview_now.count_messages, status=status, owner=owner)).found

    assert [count(DeliveryStatus.DEAD, owner) for owner in (None, OWNER, "other", "nobody")] == [2, 0, 2, 0]
    of_nobody = world.database.read_now(partial(overview_now.unended, owner="nobody"))
    assert (of_nobody.oldest, of_nobody.is_all) == ([], True)
    theirs = world.database.read_now(partial(overview_now.unended, owner=OWNER))
    assert [task.task_id for task in theirs.oldest] == ["1", "3", "4"]
    assert theirs.counts["queued"].found == 3


async def test_an_owner_of_many_sees_its_newest_and_is_told_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview_owner, "MOST_TASKS", 3)
    for number in range(5):
        world.clock.advance(MINUTE)
        finish(world, str(number), seen_after=1, arrives_after=1)

    asked = partial(overview_owner.latest, range_=RANGES["1h"], owner=OWNER, now=world.clock())
    found = world.database.read_now(asked).course

    assert (found.ended.total(), found.settled.total()) == (3, 3)
    assert (found.detect.times, found.deliver.times) == (3, 3)
    assert found.back_to is not None
    assert world.column("SELECT task_id FROM task ORDER BY registered_at LIMIT 1 OFFSET 2") == ["2"]


async def test_endpoints_in_trouble_are_named_with_what_waits(world: World) -> None:
    world.pending(want("1", url="https://good.example/x"), want("2", url="https://bad.example/x"))
    keys = {row["origin"]: row["key"] for row in world.rows("SELECT key, origin FROM endpoint")}

    def trouble(owner: str | None = None, among: Collection[int] | None = None) -> list[tuple[str, str, int]]:
        found = world.database.read_now(partial(overview_now.in_trouble, owner=owner, among=among))
        return [(one.endpoint.origin, one.endpoint.state, one.waiting.found) for one in found]

    assert trouble() == []
    bad = keys["https://bad.example:443"]
    world.write(partial(endpoints.disable, key=bad, reason="by hand", now=world.clock()))
    assert trouble() == [("https://bad.example:443", "disabled", 1)]
    assert trouble("other", [bad]) == [("https://bad.example:443", "disabled", 0)]
    assert trouble("other", []) == []
    assert trouble(OWNER, set(keys.values())) == [("https://bad.example:443", "disabled", 1)]


async def test_daemons_are_told_with_their_silence(world: World) -> None:
    world.join()
    world.age(90)

    (found,) = world.database.read_now(partial(overview_now.watchers, now=world.clock()))

    assert (found.id, found.is_gone) == (ME, False)
    assert found.silent_for.total_seconds() >= 90
