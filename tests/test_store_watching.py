"""Who watches what: never two at once, never nobody for long, whatever dies or freezes."""

import itertools
from datetime import timedelta
from functools import partial

from clocks import FakeClock
from databases import PostgresDatabases
from fakes import ME, UPSTREAM, HeldOpen, Thread, World, adopt, snap, statements, wait_until_blocked, want, writes

from tracker.model import Status
from tracker.observe import drop
from tracker.store import daemons, finding, tasks, watching
from tracker.store.database import Connection, Database, Work
from tracker.store.watching import Adopted

SILENT = timedelta(seconds=15)


def has_work(world: World, me: str = ME) -> bool:
    look = partial(finding.find, me=me, above={UPSTREAM: 0}, now=world.clock(), silent_for=SILENT)
    return bool(world.database.read_now(look))


def noted(world: World, me: str = ME) -> list[Adopted]:
    return world.write(partial(watching.noted, me=me, upstreams=[UPSTREAM], limit=100, now=world.clock()))


def refresh(world: World, task_id: str = "1") -> None:
    world.write(partial(tasks.ask_refresh, key=world.key(task_id), now=world.clock()))


def drop_it(world: World, task_id: str = "1") -> None:
    decide = partial(drop, now=world.clock(), note="by hand")
    world.record({world.key(task_id): decide}, watcher=None)


def burying(world: World, me: str = "dmn_undertaker") -> Work[list[str]]:
    return partial(daemons.bury, me=me, now=world.clock(), silent_for=SILENT)


def bury(world: World) -> list[str]:
    return world.write(burying(world))


class TestAdopting:
    def test_a_daemon_adopts_what_nobody_watches(self, world: World) -> None:
        world.join()
        world.register(want("1"), want("2"))
        assert has_work(world)

        first, second = sorted(world.adopt(), key=lambda task: task.key)

        assert (first.task_id, first.upstream, first.has_ended) == ("1", UPSTREAM, False)
        assert first.registered_at == world.clock()
        assert second.task_id == "2"
        assert world.column("SELECT watcher FROM task") == [ME, ME]
        assert not has_work(world)
        assert world.adopt() == []

    def test_the_oldest_come_first_and_no_more_than_asked_for(self, world: World) -> None:
        world.join()
        world.register(*(want(str(number)) for number in range(5)))
        oldest = sorted(world.column("SELECT key FROM task"))

        rounds = [sorted(task.key for task in world.adopt(limit=2)) for _ in range(4)]

        assert rounds == [oldest[:2], oldest[2:4], oldest[4:], []]

    def test_tasks_of_other_upstreams_are_left_alone(self, world: World) -> None:
        world.join()
        world.register(want("1", upstream="unknown"))

        assert not has_work(world)
        assert world.adopt() == []
        assert world.database.read_now(partial(tasks.orphans, upstreams=[UPSTREAM])) == {"unknown": 1}

    def test_a_plain_insert_gets_its_first_event_when_it_is_adopted(self, world: World) -> None:
        world.join()
        world.sql("INSERT INTO task (upstream, task_id) VALUES ('default', 'sql')")
        assert has_work(world)

        (task,) = world.adopt()
        world.record({task.key: snap(progress=3)})

        assert world.history("sql") == ["registered", "status"]
        assert world.sequences("sql") == [1, 2]

    def test_one_registered_after_a_plain_insert_still_gets_one_first_event(self, world: World) -> None:
        world.join()
        world.sql("INSERT INTO task (upstream, task_id) VALUES ('default', '1')")
        world.register(want())

        world.adopt()

        assert world.history() == ["registered"]

    def test_a_daemon_that_was_declared_dead_adopts_nothing(self, world: World) -> None:
        """Nobody would ever release what is watched under a name that is not in the table."""
        world.join()
        world.age(60)
        assert bury(world) == [ME]
        world.register(want())

        assert world.adopt() == []

        world.join("dmn_new")
        assert [task.task_id for task in world.adopt("dmn_new")] == ["1"]


class TestLiving:
    def test_a_daemon_that_was_declared_dead_records_nothing_even_before_others_have_its_tasks(
        self, world: World
    ) -> None:
        """Whoever finds it gone may adopt at any moment: nothing may come in between."""
        key = world.watched(want())
        world.write(daemons.all_leave)

        assert world.record({key: snap(progress=10)}) == {}

    def test_a_daemon_that_beats_is_not_buried(self, world: World) -> None:
        world.watched()
        world.age(14)
        assert world.write(partial(watching.beat, me=ME, now=world.clock()))
        world.age(14)

        assert bury(world) == []
        assert world.column("SELECT watcher FROM task") == [ME]

    def test_a_heartbeat_tells_who_is_there_where_others_can_be(self, world: World) -> None:
        """In the same transaction: a daemon that has nothing to do asks nothing else as often."""
        world.join("dmn_other")
        world.join()
        among: list[daemons.Member] = []

        world.write(partial(watching.beat, me=ME, now=world.clock(), among=among))

        assert [member.id for member in among] == ([] if world.database.is_sqlite else sorted([ME, "dmn_other"]))

    def test_whose_process_has_ended_at_its_place_is_buried_at_once_and_nobody_else(self, world: World) -> None:
        for me, place, pid in (("ended", "here", 1), ("lives", "here", 2), ("elsewhere", "there", 1), ("older", "", 1)):
            row = {"me": me, "host": "h", "pid": pid, "version": "1", "now": world.clock(), "place": place}
            world.write(lambda connection, row=row: daemons.join(connection, **row))

        asked = partial(daemons.bury_ended, place="here", has_ended=lambda pid: pid == 1)
        assert world.write(asked) == ["ended"]

        assert world.column("SELECT id FROM daemon WHERE NOT is_gone ORDER BY id") == ["elsewhere", "lives", "older"]
        assert world.write(asked) == []

    def test_the_tasks_of_a_silent_daemon_are_free_and_it_learns_of_it(self, world: World) -> None:
        world.watched(want("1"), want("2"))
        world.age(10)
        world.join("dmn_other")
        world.age(6)

        assert bury(world) == [ME]

        assert not world.write(partial(watching.beat, me=ME, now=world.clock()))
        assert len(world.adopt("dmn_other")) == 2

    def test_who_leaves_lets_go_of_its_own_only(self, world: World) -> None:
        world.watched(want("1"))
        world.join("dmn_other")
        world.register(want("2"))
        world.adopt("dmn_other")

        world.write(partial(watching.leave, me=ME))

        assert world.column("SELECT id FROM daemon WHERE NOT is_gone") == ["dmn_other"]
        assert [task.task_id for task in world.adopt("dmn_other")] == ["1"]

    def test_all_leave_where_only_the_caller_can_be_serving(self, world: World) -> None:
        world.watched(want("1"))
        world.sql("UPDATE task SET watcher = 'dmn_forgotten'")

        world.write(daemons.all_leave)
        strays = world.write(partial(daemons.find_strays, now=world.clock()))
        world.join("dmn_new")

        assert strays == ["dmn_forgotten"]
        assert len(world.adopt("dmn_new")) == 1
        assert world.adopt("dmn_new") == []
        assert world.column("SELECT id FROM daemon WHERE NOT is_gone") == ["dmn_new"]


class TestNotes:
    def test_the_watcher_of_a_task_finds_the_wish_to_look_now_once(self, world: World) -> None:
        world.watched(want("1"), want("2"))
        refresh(world)
        assert has_work(world)

        (note,) = noted(world)

        assert (note.task_id, note.has_ended) == ("1", False)
        assert not has_work(world)
        assert noted(world) == []
        assert world.column("SELECT watcher FROM task") == [ME, ME]

    def test_nobody_else_finds_it(self, world: World) -> None:
        world.watched()
        world.join("dmn_other")
        refresh(world)

        assert not has_work(world, "dmn_other")
        assert noted(world, "dmn_other") == []
        assert len(noted(world)) == 1

    def test_a_note_on_an_unwatched_task_is_done_with_when_it_is_adopted(self, world: World) -> None:
        world.join()
        world.register(want())
        refresh(world)

        assert len(world.adopt()) == 1
        assert noted(world) == []

    def test_a_note_on_an_unwatched_task_is_taken_by_one_who_then_watches_it(self, world: World) -> None:
        """It may be one of a million that are free, and a while until its turn comes."""
        world.join()
        world.register(want())
        world.sql("INSERT INTO task (upstream, task_id) VALUES ('default', 'sql')")
        for task_id in ("1", "sql"):
            refresh(world, task_id)
        assert has_work(world)

        assert {note.task_id for note in noted(world)} == {"1", "sql"}

        assert world.column("SELECT watcher FROM task") == [ME, ME]
        assert world.history("sql") == ["registered"]
        assert noted(world) == []
        assert world.adopt() == []

    def test_one_that_was_declared_dead_takes_no_note(self, world: World) -> None:
        world.register(want())
        refresh(world)

        assert noted(world) == []
        world.join()
        assert len(noted(world)) == 1

    def test_an_ended_task_can_be_looked_at_again_by_anybody(self, world: World) -> None:
        world.pending(want())
        world.join("dmn_other")
        refresh(world)

        (note,) = noted(world, "dmn_other")

        assert note.has_ended
        assert world.column("SELECT watcher, refresh_at FROM task") == [None]

    def test_the_watcher_of_a_dropped_task_is_told_and_lets_go(self, world: World) -> None:
        world.watched()
        drop_it(world)

        (note,) = noted(world)

        assert note.has_ended
        assert world.column("SELECT watcher FROM task") == [None]
        assert not has_work(world)

    def test_a_drop_of_an_unwatched_task_leaves_no_note(self, world: World) -> None:
        world.join()
        world.register(want())
        drop_it(world)

        assert not has_work(world)
        assert world.adopt() == []

    def test_looking_for_work_writes_nothing(self, world: World) -> None:
        world.watched()

        with statements() as sent:
            has_work(world)
            noted(world)
            world.adopt()

        assert writes(sent) == []


class TestSeveralDaemons:
    """On Postgres."""

    def test_no_task_is_given_to_two(self, worlds: list[World]) -> None:
        for number, world in enumerate(worlds):
            world.join(f"dmn_{number}")
        worlds[0].register(*(want(str(number)) for number in range(300)))

        def adopt(number: int) -> list[int]:
            taken = iter(lambda: [task.key for task in worlds[number].adopt(f"dmn_{number}", limit=7)], [])
            return list(itertools.chain.from_iterable(taken))

        threads = [Thread(partial(adopt, number)) for number in range(3)]
        taken = {f"dmn_{number}": thread.result() for number, thread in enumerate(threads)}

        everything = [key for keys in taken.values() for key in keys]
        assert len(everything) == len(set(everything)) == 300
        for name, keys in taken.items():
            assert sorted(keys) == worlds[0].column("SELECT key FROM task WHERE watcher = :me ORDER BY key", me=name)

    def test_what_another_is_adopting_just_now_is_skipped_without_waiting(self, worlds: list[World]) -> None:
        first, second, _ = worlds
        first.join("dmn_1")
        first.join("dmn_2")
        first.register(*(want(str(number)) for number in range(4)))
        adopting = partial(adopt, me="dmn_1", upstreams=[UPSTREAM], limit=2, now=first.clock())
        held = HeldOpen(first.database, adopting)

        taken = {task.key for task in second.adopt("dmn_2")}

        assert len(taken) == 2
        assert not taken & {task.key for task in held.commit()}

    def test_two_that_bury_the_same_daemon_do_it_once(self, worlds: list[World]) -> None:
        first, second, other = worlds
        first.watched()
        first.age(60)
        held = HeldOpen(first.database, burying(first))

        again = Thread(lambda: bury(second))
        wait_until_blocked(other.database)

        assert held.commit() == [ME]
        assert again.result() == []

    def test_a_daemon_buried_while_it_adopts_keeps_nothing(self, worlds: list[World]) -> None:
        first, second, other = worlds
        first.join()
        first.register(want())
        first.age(60)
        adopting = partial(adopt, me=ME, upstreams=[UPSTREAM], limit=2, now=first.clock())
        held = HeldOpen(first.database, adopting)

        undertaker = Thread(lambda: bury(second))
        wait_until_blocked(other.database)
        held.commit()

        assert undertaker.result() == [ME]
        other.join("dmn_other")
        assert len(other.adopt("dmn_other")) == 1

    def test_daemons_that_come_and_go_leave_no_task_behind(self, worlds: list[World]) -> None:
        """Each adopts, ends a few, is buried by the others, comes back under a new name."""
        worlds[0].register(*(want(str(number)) for number in range(60)))

        def live(world: World, number: int) -> None:
            for life in range(12):
                me = f"dmn_{number}_{life}"
                world.join(me)
                taken = world.adopt(me, limit=9)
                world.record({task.key: snap(Status.SUCCEEDED) for task in taken[:3]}, me)
                world.write(partial(watching.leave, me=me if life % 2 else f"dmn_{(number + 1) % 3}_{life}"))
                world.adopt(me, limit=2)

        threads = [Thread(partial(live, world, number)) for number, world in enumerate(worlds)]
        for thread in threads:
            thread.result()

        alive = set(worlds[0].column("SELECT id FROM daemon"))
        assert set(worlds[0].column("SELECT watcher FROM task WHERE watcher IS NOT NULL")) <= alive
        assert worlds[0].column("SELECT count(*) FROM task WHERE ended_at IS NOT NULL") == worlds[0].column(
            "SELECT count(*) FROM delivery"
        )


def test_where_nearly_all_are_free_a_look_above_them_goes_through_none(
    postgres: PostgresDatabases, clock: FakeClock
) -> None:
    """By what Postgres has counted then, any walk through the table would soon come across a free one."""
    url = postgres.migrated()
    database = Database(url)
    world = World(database, clock)
    world.sql("INSERT INTO task (upstream, task_id) SELECT 'default', 't' || n FROM generate_series(1, 20000) AS n")
    world.sql("ANALYZE task")
    ask = partial(finding.find, me=ME, above={UPSTREAM: 20_000}, now=clock(), silent_for=SILENT)

    def look(connection: Connection) -> bool:
        # As on a connection that has asked a few times.
        connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
        before = _walked(connection)
        assert not ask(connection)
        return _walked(connection) > before

    for _ in range(7):
        walked = world.write(look)
    assert not walked
    database.close()
    postgres.drop(url)


def _walked(connection: Connection) -> int:
    """How often the tasks were gone through from one end to the other, by what this transaction has counted."""
    return int(connection.exec_driver_sql("SELECT pg_stat_get_xact_numscans('task'::regclass)").scalar_one())
