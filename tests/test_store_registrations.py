"""Registering: the same twice is the same one, late is fine, and no race loses the message."""

import itertools
from functools import partial

import pytest
from fakes import HOOK, OWNER, HeldOpen, Thread, World, failed, snap, wait_until_blocked, want
from sqlalchemy import text

from tracker.errors import InputError
from tracker.model import EventKind, Status
from tracker.observe import drop
from tracker.store import retention, tasks
from tracker.store.database import Connection


def told(world: World) -> list[dict[str, object]]:
    return world.rows("SELECT owner, url, events, format, metadata FROM callback ORDER BY key")


class TestOne:
    def test_a_registration_is_a_task_with_its_first_event_and_its_callback(self, world: World) -> None:
        (registered,) = world.register(
            want(events=("progress", "ended"), format="upstream", metadata={"order": [1, "ü"]})
        )

        assert registered.created
        task = registered.task
        assert (task.task_id, task.upstream, task.status, task.sequence) == ("1", "default", Status.QUEUED, 1)
        assert task.registered_at == world.clock()
        assert [line.event for line in world.database.read_now(partial(tasks.history, key=task.key))] == [
            EventKind.REGISTERED
        ]
        assert told(world) == [
            {
                "owner": OWNER,
                "url": HOOK,
                "events": "progress,ended",
                "format": "upstream",
                "metadata": '{"order":[1,"ü"]}',
            }
        ]

    def test_what_is_not_given_has_its_default(self, world: World) -> None:
        world.register(want())

        assert told(world) == [{"owner": OWNER, "url": HOOK, "events": "ended", "format": "standard", "metadata": None}]

    def test_without_a_url_the_task_is_only_watched(self, world: World) -> None:
        world.register(want(url=None))

        assert told(world) == []
        world.join()
        assert [task.task_id for task in world.adopt()] == ["1"]

    def test_the_same_twice_is_the_same_one(self, world: World) -> None:
        first = world.register(want(metadata=1))
        world.clock.advance(5)
        again = world.register(want(metadata=1))

        assert [entry.created for entry in first + again] == [True, False]
        assert first[0].task == again[0].task
        assert world.history() == ["registered"]
        assert len(told(world)) == 1

    def test_later_fields_replace_earlier_ones_and_silence_replaces_nothing(self, world: World) -> None:
        world.register(want(events=("progress",), metadata={"order": 1}, format="upstream"))
        world.register(want(events=("ended",)))
        world.register(want(metadata={"order": 2}))

        (row,) = told(world)
        assert (row["events"], row["metadata"], row["format"]) == ("ended", '{"order":2}', "upstream")

    def test_a_task_has_as_many_callbacks_as_urls(self, world: World) -> None:
        world.register(want(url="https://a.example/"))
        world.register(want(url="https://b.example/"), want(url="https://c.example/"))

        assert [row["url"] for row in told(world)] == [f"https://{host}.example/" for host in "abc"]

    def test_the_same_id_at_two_upstreams_is_two_tasks(self, world: World) -> None:
        registered = world.register(want(), want(upstream="other"))

        assert [entry.created for entry in registered] == [True, True]

    def test_a_task_that_plain_sql_inserted_is_known_but_new_to_its_owner(self, world: World) -> None:
        world.sql("INSERT INTO task (upstream, task_id) VALUES ('default', '1')")

        by_owner, by_admin = world.register(want())[0], world.register(want(), owner="admin", sees_all=True)[0]

        assert (by_owner.created, by_admin.created) == (True, False)
        assert by_owner.task.sequence == 0


class TestMany:
    def test_a_thousand_at_once(self, world: World) -> None:
        wanted = [want(str(number), url=f"https://shop.example/{number}") for number in range(1000)]

        first = world.register(*wanted)
        again = world.register(*reversed(wanted))

        assert [entry.task.task_id for entry in first] == [str(number) for number in range(1000)]
        assert all(entry.created for entry in first)
        assert [entry.task for entry in again] == [entry.task for entry in reversed(first)]
        assert not any(entry.created for entry in again)
        assert world.column("SELECT count(*) FROM task_history") == [1000]
        assert world.column("SELECT count(*) FROM callback") == [1000]

    @pytest.mark.parametrize("sees_all", [True, False])
    def test_doubled_rows_are_one_task_and_the_later_fields_win(self, world: World, *, sees_all: bool) -> None:
        registered = world.register(
            want(events=("progress",), metadata=1), want("2"), want(metadata=2), sees_all=sees_all
        )

        assert [entry.created for entry in registered] == [True, True, False]
        assert registered[0].task == registered[2].task
        first, second = told(world)
        assert (first["events"], first["metadata"]) == ("progress", "2")
        assert second["events"] == "ended"

    def test_old_and_new_ones_mix(self, world: World) -> None:
        world.register(want("2"))

        assert [entry.created for entry in world.register(want("1"), want("2"), want("3"))] == [True, False, True]


class TestOwners:
    def test_created_means_new_to_the_owner_and_for_an_admin_new_to_the_tracker(self, world: World) -> None:
        world.register(want(), owner="a")

        (for_b,) = world.register(want(), owner="b")
        (for_admin,) = world.register(want(), owner="admin", sees_all=True)

        assert (for_b.created, for_admin.created) == (True, False)

    def test_two_owners_of_a_task_are_told_one_message_each(self, world: World) -> None:
        world.register(want(metadata="a"), owner="a")
        world.watched(want(metadata="b"))
        assert world.end().deliveries == 2

        bodies = world.rows(
            "SELECT c.owner, d.body FROM delivery d JOIN callback c ON c.key = d.callback_key ORDER BY c.key"
        )
        assert [(row["owner"], f'"metadata":"{row["owner"][0]}"' in row["body"]) for row in bodies] == [
            ("a", True),
            (OWNER, False),
        ]


class TestLate:
    @pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED])
    def test_a_callback_for_an_ended_task_gets_one_message_at_once(self, world: World, status: Status) -> None:
        world.watched(want(url=None))
        world.record({world.key(): snap(progress=50)})
        world.end(status=status)

        for _ in range(3):
            world.register(want())

        assert world.messages() == [(f"task.{status}", "pending")]
        (row,) = world.rows("SELECT sequence, body, next_attempt_at FROM delivery")
        assert row["sequence"] == 3
        assert f'"status":"{status}"' in row["body"]
        assert '"task":{"status":' in row["body"], "the upstream's own object"
        assert world.due(), "it is due at once"

    def test_each_late_callback_gets_its_own(self, world: World) -> None:
        world.pending(want(), want("2"))

        world.register(want(url="https://b.example/"), want("2", url="https://b.example/"), want("3"), owner="b")

        assert world.messages("1") == [("task.succeeded", "pending")] * 2
        assert world.messages("2") == [("task.succeeded", "pending")] * 2
        assert world.messages("3") == []

    def test_a_contradiction_or_a_delivery_after_the_end_changes_no_late_message(self, world: World) -> None:
        world.settle(world.claim(*world.pending(want()))[0], failed(), again_after=5)
        world.record({world.key(): snap(Status.FAILED)})
        assert world.history() == ["registered", "status", "delivery_failed", "contradiction"]

        world.register(want(url="https://b.example/"))

        assert world.column("SELECT sequence FROM delivery") == [2, 2]

    def test_a_late_callback_that_wants_other_things_gets_nothing(self, world: World) -> None:
        world.pending(want(url=None))

        world.register(want(events=("progress", "failed")))

        assert world.messages() == []

    def test_a_dropped_task_tells_late_callbacks_nothing(self, world: World) -> None:
        key = world.watched(want(url=None))
        world.record({key: partial(drop, now=world.clock(), note="by hand")}, watcher=None)

        world.register(want())

        assert world.messages() == []

    def test_who_asks_for_the_end_after_it_gets_it(self, world: World) -> None:
        """The callback is known, but only now wants to be told of ends."""
        world.pending(want(events=("progress",)))
        assert world.messages() == []

        world.register(want(events=("ended",)))
        world.register(want(events=("ended",)))

        assert world.messages() == [("task.succeeded", "pending")]

    def test_a_task_that_was_inserted_with_its_end_has_no_event_to_tell(self, world: World) -> None:
        columns = "(upstream, task_id, status, ended_at)"
        world.sql(f"INSERT INTO task {columns} VALUES ('default', '1', 'failed', '2026-11-22 08:00')")

        (registered,) = world.register(want())

        assert registered.task.status is Status.FAILED
        assert world.messages() == []


class TestWithdrawing:
    def test_a_withdrawn_registration_is_gone_for_its_owner_only(self, world: World) -> None:
        world.register(want(), owner="a")
        key = world.watched(want())

        world.write(partial(tasks.withdraw, key=key, owner="a", now=world.clock()))

        assert world.end().deliveries == 1
        assert world.column("SELECT owner FROM registration") == [OWNER]

    def test_who_registers_again_after_withdrawing_is_told_again(self, world: World) -> None:
        """A 2xx to a registration is a promise, whatever was before it."""
        key = world.watched(want(), want("2"))
        world.write(partial(tasks.withdraw, key=key, owner=OWNER, now=world.clock()))

        assert world.register(want())[0].created

        assert world.end().deliveries == 1

    def test_who_registers_again_after_the_end_is_told_it_once(self, world: World) -> None:
        key = world.watched(want(), want("2"))
        world.write(partial(tasks.withdraw, key=key, owner=OWNER, now=world.clock()))
        assert world.end().deliveries == 0

        world.register(want())
        world.register(want())

        assert world.messages() == [("task.succeeded", "pending")]

    def test_a_repeat_does_not_revive_a_callback_that_said_410(self, world: World) -> None:
        world.watched(want(events=("progress", "ended")))
        world.record({world.key(): snap(progress=5)})
        world.settle(world.claim()[0], failed(410))

        world.register(want())

        assert world.end().deliveries == 0


class TestRaces:
    """On Postgres, where others write at the same moment."""

    def test_a_callback_that_comes_while_the_end_is_written_sees_the_end(self, worlds: list[World]) -> None:
        poller, intake, other = worlds
        key = poller.watched(want(url=None))
        ending = HeldOpen(poller.database, poller.recording({key: snap(Status.SUCCEEDED)}))

        registering = Thread(lambda: intake.register(want()))
        wait_until_blocked(other.database)
        ending.commit()

        assert registering.result()[0].task.status is Status.SUCCEEDED
        assert other.messages() == [("task.succeeded", "pending")]

    def test_an_end_that_comes_while_a_callback_is_written_sees_the_callback(self, worlds: list[World]) -> None:
        poller, intake, other = worlds
        key = poller.watched(want(url=None))
        registering = HeldOpen(intake.database, intake.registering(want()))

        ending = Thread(lambda: poller.record({key: snap(Status.SUCCEEDED)}))
        wait_until_blocked(other.database)
        registering.commit()

        assert ending.result()[key].deliveries == 1
        assert other.messages() == [("task.succeeded", "pending")]

    def test_no_race_of_registrations_and_ends_loses_or_doubles_a_message(self, worlds: list[World]) -> None:
        poller, intake, other = worlds
        names = [str(number) for number in range(120)]
        poller.watched(*(want(name, url=None) for name in names))
        keys = {name: poller.key(name) for name in names}
        batches = [names[start : start + 4] for start in range(0, 120, 4)]

        def end() -> None:
            for batch in batches:
                poller.record({keys[name]: snap(Status.SUCCEEDED) for name in batch})

        def register(world: World, url: str) -> None:
            for batch in batches:
                world.register(*(want(name, url=url) for name in reversed(batch)))

        threads = [
            Thread(end),
            Thread(lambda: register(intake, "https://a.example/")),
            Thread(lambda: register(other, "https://b.example/")),
        ]
        for thread in threads:
            thread.result()

        per_task = other.column("SELECT count(*) FROM delivery GROUP BY task_key")
        assert per_task == [2] * 120
        assert set(other.column("SELECT message_type FROM delivery")) == {"task.succeeded"}

    def test_two_that_register_the_same_new_tasks_make_one_of_each(self, worlds: list[World]) -> None:
        names = [str(number) for number in range(40)]

        def register(world: World, owner: str, order: list[str]) -> list[bool]:
            batches = (order[start : start + 8] for start in range(0, 40, 8))
            return list(
                itertools.chain.from_iterable(
                    [entry.created for entry in world.register(*map(want, batch), owner=owner, sees_all=True)]
                    for batch in batches
                )
            )

        threads = [
            Thread(lambda: register(worlds[0], "a", names)),
            Thread(lambda: register(worlds[1], "b", names)),
            Thread(lambda: register(worlds[2], "c", names[::-1])),
        ]
        created = [made for thread in threads for made in thread.result()]

        assert sum(created) == 40
        assert worlds[0].column("SELECT count(*) FROM task") == [40]
        assert worlds[0].column("SELECT count(*) FROM task_history") == [40]
        assert worlds[0].column("SELECT count(*) FROM callback") == [120]

    def test_a_task_is_not_forgotten_while_a_late_callback_is_written(self, worlds: list[World]) -> None:
        poller, intake, other = worlds
        poller.pending(want(url=None))
        registering = HeldOpen(intake.database, intake.registering(want()))
        poller.clock.advance(3600)

        forgotten = poller.write(partial(retention.forget_tasks, keys=[poller.key()], ended_before=poller.clock()))
        registering.commit()

        assert forgotten == 0
        assert other.messages() == [("task.succeeded", "pending")]

    def test_a_late_callback_for_a_task_that_is_forgotten_just_now_registers_it_anew(self, worlds: list[World]) -> None:
        poller, intake, other = worlds
        poller.pending(want(url=None))
        poller.clock.advance(3600)

        def forget_slowly(connection: Connection) -> None:
            locked = connection.execute(text("SELECT key FROM task FOR UPDATE")).all()
            registering.append(Thread(lambda: intake.register(want())))
            wait_until_blocked(other.database)
            assert len(locked) == 1
            connection.execute(text("DELETE FROM task"))

        registering: list[Thread] = []
        poller.write(forget_slowly)

        (registered,) = registering[0].result()
        assert (registered.created, registered.task.status) == (True, Status.QUEUED)


class TestDroppedAndBack:
    def test_a_dropped_task_that_is_registered_again_is_watched_again(self, world: World) -> None:
        key = world.watched()
        world.record({key: partial(drop, now=world.clock(), note="dropped")}, watcher=None)

        world.register(want())

        assert world.history() == ["registered", "status", "status"]
        assert world.column("SELECT status FROM task") == ["queued"]
        assert world.end().deliveries == 1

    def test_another_owner_gets_the_result_of_a_task_that_the_first_one_dropped(self, world: World) -> None:
        key = world.watched()
        world.record({key: partial(drop, now=world.clock(), note="dropped")}, watcher=None)

        (registered,) = world.register(want(url="https://other.example/hook"), owner="other")

        assert registered.created
        assert registered.task.status is Status.QUEUED

    def test_no_other_end_is_left(self, world: World) -> None:
        world.watched()
        world.end(status=Status.FAILED)

        world.register(want())

        assert world.column("SELECT status FROM task") == ["failed"]


def test_one_owner_has_at_most_fifty_callbacks_for_a_task(world: World) -> None:
    urls = [f"https://receiver.example/{number}" for number in range(50)]
    world.register(*(want(url=url) for url in urls))

    with pytest.raises(InputError, match="callback_url: the task has 50 callbacks already"):
        world.register(want(url="https://receiver.example/one-more"))

    assert len(world.register(want(url="https://receiver.example/theirs"), owner="other")) == 1
    assert world.column("SELECT count(*) FROM callback") == [51]
