"""How much an owner has: counted without looking at what everybody has."""

from functools import partial

import pytest
from fakes import OWNER, World, want

from tracker.model import Status
from tracker.observe import drop
from tracker.store import owners
from tracker.store.database import Connection

UPSTREAM = "default"


def live(world: World, owner: str = OWNER, most: int = 1000) -> int:
    return world.database.read_now(partial(owners.count_live, owner=owner, most=most))


def stop(world: World, task_id: str) -> None:
    world.record({world.key(task_id): partial(drop, now=world.clock(), note="enough")}, watcher=None)


class TestCounting:
    def test_an_owner_of_nothing_has_none(self, world: World) -> None:
        assert live(world) == 0
        world.register(want("1"), owner="bob")

        assert (live(world), live(world, "bob")) == (0, 1)

    def test_only_what_has_no_end_counts(self, world: World) -> None:
        world.watched(*(want(str(number)) for number in range(4)))
        world.end("0")
        stop(world, "2")

        assert live(world) == 2

    @pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING, Status.NEEDS_INPUT])
    def test_every_live_status_counts(self, world: World, status: Status) -> None:
        world.watched(want("1"))
        world.sql("UPDATE task SET status = :status", status=str(status))

        assert live(world) == 1

    def test_a_task_of_several_owners_counts_for_each(self, world: World) -> None:
        for owner in ("ann", "bob"):
            world.register(want("1"), owner=owner)

        assert (live(world, "ann"), live(world, "bob")) == (1, 1)

    def test_counting_stops_where_it_was_told_to(self, world: World) -> None:
        world.register(*(want(str(number)) for number in range(10)))

        assert (live(world, most=3), live(world, most=10), live(world, most=11)) == (3, 10, 10)

    def test_an_old_task_that_is_watched_again_counts(self, world: World) -> None:
        world.watched(want("old"), want("new"))
        stop(world, "old")
        assert live(world) == 1

        world.register(want("old"))

        assert live(world) == 2


class TestWhatRegisteringAdds:
    def added(self, world: World, *task_ids: str, owner: str = OWNER) -> list[bool]:
        """Whether each registration, made now, adds a live task: as foretold, as answered, and as counted after."""
        names = {(UPSTREAM, task_id) for task_id in task_ids}
        before = live(world, owner)
        foretold = world.database.read_now(partial(owners.adding_nothing, owner=owner, names=names))
        answered = [entry.adds_live for entry in world.register(*map(want, task_ids), owner=owner)]

        assert {(UPSTREAM, name) for name, adds in zip(task_ids, answered, strict=True) if not adds} >= foretold
        assert len(names) - len(foretold) == answered.count(True) == live(world, owner) - before
        return answered

    def test_a_new_task_is_one_more(self, world: World) -> None:
        assert self.added(world, "1", "2") == [True, True]

    def test_a_repeat_is_none(self, world: World) -> None:
        world.register(want("1"))

        assert self.added(world, "1", "2") == [False, True]

    def test_the_same_twice_in_one_go_is_one(self, world: World) -> None:
        assert self.added(world, "1", "1") == [True, False]

    def test_what_only_others_registered_is_one_more(self, world: World) -> None:
        world.register(want("1"), owner="bob")

        assert self.added(world, "1") == [True]

    def test_what_has_ended_is_none(self, world: World) -> None:
        world.watched(want("1"), want("2"))
        world.end("1")
        world.register(want("2"), owner="bob")
        world.end("2")

        assert self.added(world, "1", "2") == [False, False]
        assert self.added(world, "1", "2", owner="carl") == [False, False]

    def test_what_was_dropped_is_watched_again_and_one_more(self, world: World) -> None:
        world.watched(want("1"))
        stop(world, "1")

        assert self.added(world, "1", "1") == [True, False]


class TestCost:
    """A count must not read what it does not count: the plans name an index for every step."""

    @pytest.fixture
    def filled(self, world: World) -> World:
        world.register(*(want(f"a{number}") for number in range(500)), owner="ann")
        world.register(*(want(f"b{number}") for number in range(500)), owner="bob")
        ended = "UPDATE task SET status = 'succeeded', ended_at = registered_at WHERE task_id LIKE 'a%' AND key % 5 > 0"
        world.sql(ended)
        world.sql("ANALYZE")
        return world

    def test_every_step_is_served_by_an_index(self, filled: World) -> None:
        plans: list[str] = []

        def work(connection: Connection) -> int:
            return owners.count_live(Explaining(connection, plans), "ann", most=1000)  # type: ignore[arg-type]

        counted = filled.database.read_now(work)

        assert counted == 100
        assert len(plans) == len(owners.LIVE) + 1
        for plan in plans:
            assert "Seq Scan" not in plan, plan
            assert "SCAN task" not in plan, plan
            assert "SCAN registration" not in plan, plan


class Explaining:
    """A connection that tells how the database goes about each question."""

    def __init__(self, connection: Connection, plans: list[str]) -> None:
        self._connection = connection
        self._plans = plans
        self._explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"

    def execute(self, query: object) -> object:
        self._note(query)
        return self._connection.execute(query)  # type: ignore[call-overload]

    def scalar(self, query: object) -> object:
        self._note(query)
        return self._connection.scalar(query)  # type: ignore[call-overload]

    def _note(self, query: object) -> None:
        told = query.compile(self._connection, compile_kwargs={"literal_binds": True})  # type: ignore[attr-defined]
        rows = self._connection.exec_driver_sql(f"{self._explain} {told}").all()
        self._plans.append("\n".join(str(row[-1]) for row in rows))
