"""What past tasks tell about how long tasks take."""

from datetime import timedelta
from functools import partial

from fakes import World, snap, want

from tracker.model import Seen, Status
from tracker.observe import drop
from tracker.store import habits
from tracker.store.habits import Ended


def recent(world: World, upstream: str = "default", limit: int = 100) -> list[Ended]:
    return world.database.read_now(partial(habits.recent, upstream=upstream, limit=limit))


def see(world: World, task_id: str, *seen: Seen) -> None:
    """Show a task in these ways, ten seconds apart."""
    for one in seen:
        world.clock.advance(10)
        world.record({world.key(task_id): one}, watcher=None)


class TestRecent:
    def test_it_tells_when_everything_was(self, world: World) -> None:
        began = world.clock()
        world.register(want("1"))
        at = {"submitted_at": began - timedelta(seconds=2), "started_at": began + timedelta(seconds=3)}
        see(
            world,
            "1",
            snap(progress=30, action="IMAGINE", **at),
            snap(progress=60, action="IMAGINE", **at),
            snap(Status.SUCCEEDED, 100, action="IMAGINE", finished_at=began + timedelta(seconds=29), **at),
        )

        (told,) = recent(world)

        assert (told.action, told.registered_at) == ("IMAGINE", began)
        assert (told.submitted_at, told.started_at) == (at["submitted_at"], at["started_at"])
        assert told.finished_at == began + timedelta(seconds=29)
        assert told.ended_at == began + timedelta(seconds=30)
        assert [progress for progress, _ in told.progress] == [30, 60, 100]
        assert [(seen_at - began).total_seconds() for _, seen_at in told.progress] == [10, 20, 30]

    def test_the_newest_come_first_and_only_so_many(self, world: World) -> None:
        for task_id in "abcd":
            world.register(want(task_id))
            see(world, task_id, snap(Status.SUCCEEDED))

        assert [told.key for told in recent(world, limit=3)] == [world.key(task_id) for task_id in "dcb"]

    def test_only_ends_that_the_upstream_told_count(self, world: World) -> None:
        world.register(want("live"), want("dropped"), want("failed"), want("cancelled"))
        see(world, "live", snap(progress=50))
        world.record({world.key("dropped"): partial(drop, now=world.clock(), note="by hand")}, watcher=None)
        see(world, "failed", snap(Status.FAILED))
        see(world, "cancelled", snap(Status.CANCELLED))

        assert {told.key for told in recent(world)} == {world.key("failed"), world.key("cancelled")}

    def test_each_upstream_has_its_own(self, world: World) -> None:
        world.register(want("1"), want("1", upstream="spare"))
        world.sql("UPDATE task SET status = 'succeeded', ended_at = registered_at")

        assert len(recent(world)) == len(recent(world, "spare")) == 1
        assert recent(world, "other") == []

    def test_the_order_comes_from_the_index_of_ends(self, world: World) -> None:
        """However long the table is, only the newest ends are read."""
        if world.database.is_sqlite:
            plan = world.rows(
                "EXPLAIN QUERY PLAN SELECT key FROM task WHERE ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT 5000"
            )
            assert "task_ended" in str(plan)
            assert "TEMP B-TREE" not in str(plan)
