"""Batches that meet in the writer are written together, as if each had come alone."""

import threading
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from fakes import ME, HeldOpen, Thread, Unwritable, World, snap, statements, wait_until_blocked, want
from sqlalchemy import Connection, text

from tracker.model import Change, Seen, Status, Task
from tracker.store import changes, tasks
from tracker.store.changes import Batch, Decide
from tracker.store.database import Database
from tracker.store.writer import GROUP_ROWS, Each

EVERYTHING = ("ended", "progress", "needs_input")


@pytest.fixture
def keys(world: World) -> list[int]:
    """Those of four watched tasks."""
    world.watched(*(want(str(number), events=EVERYTHING) for number in range(4)))
    return world.column("SELECT key FROM task ORDER BY key")


def batch(world: World, seen: Mapping[int, Seen | Decide], watcher: str | None = ME) -> Batch:
    decisions = {key: found if callable(found) else world.seeing(found) for key, found in seen.items()}
    return Batch(decisions=decisions, watcher=watcher, now=world.clock(), compose=world.compose)


def together(world: World, *batches: Batch) -> list[dict[int, changes.Recorded]]:
    return world.write(partial(changes.record_each, batches=batches))


class TestTogether:
    def test_they_take_as_many_statements_as_one(self, world: World, keys: list[int]) -> None:
        def step(progress: int, *parts: list[int]) -> int:
            world.clock.advance(5)
            with statements() as sent:
                together(world, *(batch(world, dict.fromkeys(part, snap(progress=progress))) for part in parts))
            return len(sent)

        step(1, keys)

        assert step(2, keys[:1], keys[1:3], keys[3:]) == step(3, keys)
        assert set(world.column("SELECT progress FROM task")) == {3}

    def test_each_is_answered_about_its_own_tasks(self, world: World, keys: list[int]) -> None:
        first, second = together(
            world,
            batch(world, {keys[2]: snap(progress=5), keys[0]: snap(Status.SUCCEEDED), 4711: snap()}),
            batch(world, {keys[1]: snap(progress=7)}),
        )

        assert {key: entry.task.progress for key, entry in first.items()} == {keys[2]: 5, keys[0]: 100}
        assert {key: entry.task.progress for key, entry in second.items()} == {keys[1]: 7}
        assert (first[keys[0]].deliveries, second[keys[1]].deliveries) == (1, 1)

    def test_of_two_about_one_task_the_second_sees_what_the_first_wrote(self, world: World, keys: list[int]) -> None:
        both = together(
            world,
            batch(world, {keys[0]: snap(Status.SUCCEEDED), keys[1]: snap(progress=5)}),
            batch(world, {keys[0]: snap(progress=50), keys[2]: snap(progress=6)}),
        )

        assert [entry[keys[0]].task.status for entry in both] == ["succeeded", "succeeded"]
        assert world.history("0") == ["registered", "status", "contradiction"]
        assert world.sequences("0") == [1, 2, 3]
        assert world.messages("0") == [("task.succeeded", "pending")]
        assert world.messages("2") == [("task.progress", "pending")]

    def test_one_of_a_daemon_that_was_replaced_writes_nothing_beside_one_that_does(
        self, world: World, keys: list[int]
    ) -> None:
        zombie, ours = together(
            world,
            batch(world, {keys[0]: snap(Status.FAILED)}, "dmn_gone"),
            batch(world, {keys[1]: snap(Status.SUCCEEDED)}),
        )

        assert (list(zombie), list(ours)) == ([], [keys[1]])
        assert world.column("SELECT status FROM task ORDER BY key") == ["queued", "succeeded", "queued", "queued"]

    def test_one_that_cannot_be_written_fails_alone(self, world: World, keys: list[int]) -> None:
        gate = HeldOpen(world.database, lambda _: None)
        world.compose = Unwritable("1")
        submit = world.database._writer.submit  # noqa: SLF001 - the order of a group is made here and nowhere else
        futures = [submit(Each(changes.record_each, batch(world, {key: snap(Status.SUCCEEDED)}))) for key in keys]
        gate.commit()

        with pytest.raises(ValueError, match="composed"):
            futures[1].result(20)
        assert [len(future.result(20)) for future in (futures[0], *futures[2:])] == [1, 1, 1]
        assert world.column("SELECT status FROM task ORDER BY key") == ["succeeded", "queued", "succeeded", "succeeded"]

    def test_a_group_takes_no_more_rows_than_a_commit_should_have(self, database: Database) -> None:
        gate = HeldOpen(database, lambda _: None)
        met: list[int] = []

        def work(_: Connection, pieces: Any) -> list[None]:  # noqa: ANN401 - whatever was handed in
            met.append(len(pieces))
            return [None] * len(pieces)

        submit = database._writer.submit  # noqa: SLF001 - as above
        futures = [submit(Each(work, number, GROUP_ROWS // 2)) for number in range(5)]
        gate.commit()

        assert [future.result(20) for future in futures] == [None] * 5
        assert met == [2, 2, 1]


class TestRows:
    def test_objects_of_every_length_and_script_are_kept_apart(self, world: World, keys: list[int]) -> None:
        objects = [{"prompt": "猪" * 700}, {"prompt": 'a "quoted" \\ line\nand 🦊'}, {"n": [1.5, None, True]}, {"": ""}]

        world.record({key: snap(progress=1, object=found) for key, found in zip(keys, objects, strict=True)})

        assert [world.database.read_now(partial(tasks.last_object, key=key)) for key in keys] == objects
        bodies = world.column("SELECT body FROM delivery ORDER BY task_key")
        assert ["猪" in body or "🦊" in body for body in bodies] == [True, True, False, False]

    def test_half_a_character_stops_no_other_task(self, world: World, keys: list[int]) -> None:
        """Providers clean what upstreams say; what slips through is one bad row."""
        gate = HeldOpen(world.database, lambda _: None)
        bad = {keys[0]: snap(progress=1, object={"prompt": "a\ud800"})}
        submit = world.database._writer.submit  # noqa: SLF001 - as above
        futures = [submit(Each(changes.record_each, batch(world, seen))) for seen in (bad, {keys[1]: snap(progress=1)})]
        gate.commit()

        with pytest.raises(UnicodeEncodeError):
            futures[0].result(20)
        assert len(futures[1].result(20)) == 1

    def test_a_time_that_was_written_by_hand_without_a_zone_is_utc(self, world: World, keys: list[int]) -> None:
        world.sql("UPDATE task SET started_at = '2026-11-22 08:00:01', submitted_at = '2026-11-22 10:00:00.5+02:00'")
        zone = "SET TIME ZONE 'UTC'"
        if not world.database.is_sqlite:
            world.sql(f"{zone}; UPDATE task SET started_at = '2026-11-22 08:00:01'")

        recorded = world.record({keys[0]: snap(progress=5)})[keys[0]]

        assert recorded.task.started_at is not None
        assert recorded.task.submitted_at is not None
        assert recorded.task.started_at.isoformat() == "2026-11-22T08:00:01+00:00"
        assert recorded.task.submitted_at.isoformat() == "2026-11-22T08:00:00.500000+00:00"

    def test_a_time_of_another_zone_is_told_in_utc(self, world: World, keys: list[int]) -> None:
        if not world.database.is_sqlite:
            world.sql("SET TIME ZONE 'Asia/Shanghai'")
        world.sql("UPDATE task SET started_at = '2026-11-22 10:00:00.5+02:00'")

        recorded = world.record({keys[0]: snap(progress=5)})[keys[0]]

        assert recorded.task.started_at is not None
        assert recorded.task.started_at.isoformat() == "2026-11-22T08:00:00.500000+00:00"

    def test_a_step_of_progress_changes_no_index_but_that_of_events(self, world: World, keys: list[int]) -> None:
        """On SQLite an index is written wherever a statement so much as names one of its columns."""
        world.record({keys[0]: snap(progress=5)})

        with statements() as sent:
            world.record({keys[0]: snap(progress=6)})

        (written,) = [statement for statement in sent if statement.startswith("UPDATE task")]
        named = written.partition(" FROM ")[0]
        assert ("ended_at" in named, "watcher" in named) == (False, False)


class TestLocks:
    """On Postgres, where other daemons take locks too: all of a transaction in one order."""

    @pytest.fixture
    def worlds(self, worlds: list[World]) -> list[World]:
        worlds[0].watched(want("1"), want("2"))
        return worlds

    @pytest.mark.parametrize("order", [((2,), (1,)), ((2,), (1, 2)), ((1, 2), (2,), (1,))])
    def test_batches_of_one_group_take_them_in_the_order_of_keys(
        self, worlds: list[World], order: tuple[tuple[int, ...], ...]
    ) -> None:
        decided: list[int] = []

        def decide(task: Task) -> Change:
            decided.append(int(task.task_id))
            return Change(task=task)

        first = worlds[0]
        pieces = [
            Each(changes.record_each, batch(first, {first.key(str(name)): decide for name in names})) for names in order
        ]

        met_by_one_that_goes_from_1_to_2(worlds, pieces)

        assert sorted(decided) == sorted(name for names in order for name in names), "nothing was done twice"

    def test_another_kind_in_the_same_group_has_a_transaction_of_its_own(self, worlds: list[World]) -> None:
        calls: list[str] = []

        def lock(name: str, connection: Connection, pieces: Any) -> list[None]:  # noqa: ANN401 - as above
            calls.append(name)
            connection.execute(text("SELECT key FROM task WHERE task_id = :name FOR UPDATE"), {"name": name})
            return [None] * len(pieces)

        met_by_one_that_goes_from_1_to_2(worlds, [Each(partial(lock, "2"), None), Each(partial(lock, "1"), None)])

        assert calls == ["2", "1"]


def met_by_one_that_goes_from_1_to_2(worlds: list[World], pieces: list[Each[Any, Any]]) -> None:
    """Have these written as one group while somebody has locked task 1, and wants task 2 once they wait for it."""
    first, second, other = worlds
    has_one, go = threading.Event(), threading.Event()

    def from_one_to_two(connection: Connection) -> None:
        for name in ("1", "2"):
            connection.execute(text("SELECT key FROM task WHERE task_id = :name FOR UPDATE"), {"name": name})
            has_one.set()
            assert go.wait(20)

    with ExitStack() as closing:
        closing.callback(go.set)
        walking = Thread(lambda: second.write(from_one_to_two))
        assert has_one.wait(20)
        gate = HeldOpen(first.database, lambda _: None)
        submit = first.database._writer.submit  # noqa: SLF001 - as above
        futures = [submit(piece) for piece in pieces]
        gate.commit()
        wait_until_blocked(other.database)
    walking.result()
    for future in futures:
        future.result(20)
