"""Recording: what was seen, its event and its messages are one transaction, or nothing."""

import json
from datetime import timedelta
from functools import partial

import pytest
from fakes import HOOK, ME, OWNER, Unwritable, World, delivered, failed, miss, moment_of, snap, statements, want, writes

from tracker.model import Change, MissKind, Rules, Status, Streak, Task
from tracker.observe import drop
from tracker.store import tasks, watching

FAR = timedelta(days=400)
EVERYTHING = ("ended", "progress", "needs_input")


class TestNews:
    def test_what_changed_is_kept_with_its_event(self, world: World) -> None:
        key = world.watched(want(url=None))
        world.clock.advance(3)

        recorded = world.record({key: snap(Status.RUNNING, 31, action="IMAGINE", submitted_at=world.clock())})[key]

        task = world.database.read_now(partial(tasks.get, id_=recorded.task.id, owner=None))
        assert task == recorded.task
        assert (task.status, task.progress, task.action, task.sequence) == (Status.RUNNING, 31, "IMAGINE", 2)
        event = world.database.read_now(partial(tasks.history, key=key))[1]
        assert (event.sequence, event.event, event.from_status, event.to_status) == (2, "status", "queued", "running")
        assert (event.observed_at, event.progress, event.upstream_status) == (world.clock(), 31, "IN_PROGRESS")

    def test_the_newest_object_is_kept_and_silence_keeps_the_one_before(self, world: World) -> None:
        key = world.watched(want(url=None))

        world.record({key: snap(progress=1, object={"prompt": "猪", "n": 1.5})})
        world.record({key: snap(progress=2, object={})})

        assert world.database.read_now(partial(tasks.last_object, key=key)) == {"prompt": "猪", "n": 1.5}

    @pytest.mark.parametrize("seen", [snap(progress=5), snap(None), miss(MissKind.TRANSIENT), miss(MissKind.UNKNOWN)])
    def test_nothing_new_writes_nothing(self, world: World, seen: object) -> None:
        key = world.watched(want(events=EVERYTHING))
        world.record({key: snap(progress=5)})

        with statements() as sent:
            recorded = world.record({key: seen})  # type: ignore[dict-item]

        assert writes(sent) == []
        assert recorded[key].event is None

    def test_what_is_no_event_is_kept_without_one(self, world: World) -> None:
        key = world.watched()
        world.record({key: snap(progress=50)})

        recorded = world.record({key: snap(progress=40)})[key]

        assert recorded.event is None
        assert world.column("SELECT progress FROM task") == [40]
        assert world.history() == ["registered", "status"]

    def test_five_hundred_tasks_in_one_call(self, world: World) -> None:
        names = [str(number) for number in range(500)]
        world.watched(*(want(name) for name in names))
        keys = world.column("SELECT key FROM task ORDER BY key")
        ends = dict.fromkeys(keys[::2], snap(Status.SUCCEEDED))

        recorded = world.record(ends | dict.fromkeys(keys[1::2], snap(progress=3)))

        assert len(recorded) == 500
        assert sum(entry.deliveries for entry in recorded.values()) == 250
        assert world.column("SELECT count(*) FROM delivery") == [250]
        assert sorted(world.column("SELECT count(*) FROM task GROUP BY status")) == [250, 250]
        assert world.column("SELECT count(*) FROM event") == [1000]

    def test_tasks_that_vanished_are_missing_from_the_answer(self, world: World) -> None:
        key = world.watched()

        recorded = world.record({key: snap(progress=1), 4711: snap(Status.SUCCEEDED)})

        assert list(recorded) == [key]

    def test_no_decisions_do_nothing(self, world: World) -> None:
        assert world.record({}) == {}


class TestEnds:
    def test_an_end_its_event_and_its_messages_come_together(self, world: World) -> None:
        key = world.watched(want(metadata={"order": 17}), want(url="https://b.example/x"))

        recorded = world.record({key: snap(Status.SUCCEEDED, 100, image_url="https://cdn.example/1.png")})[key]

        assert recorded.deliveries == 2
        assert world.messages() == [("task.succeeded", "pending")] * 2
        row, _ = world.rows(
            """SELECT d.*, e.origin FROM delivery d JOIN endpoint e ON e.key = d.endpoint_key
               JOIN callback c ON c.key = d.callback_key ORDER BY c.key"""
        )
        assert (row["origin"], row["sequence"]) == ("https://shop.example:443", 2)
        assert moment_of(row["next_attempt_at"]) == moment_of(row["created_at"]) == world.clock()
        data = json.loads(row["body"])["data"]
        assert (data["status"], data["sequence"], data["metadata"]) == ("succeeded", 2, {"order": 17})
        assert data["task"] == {"status": "SUCCESS", "progress": 100}

    def test_an_end_whose_message_cannot_be_written_is_no_end(self, world: World) -> None:
        """Finished, but nobody was told, cannot be stored."""
        key = world.watched()
        world.compose = Unwritable("1")

        with pytest.raises(ValueError, match="composed"):
            world.end()

        assert world.column("SELECT status FROM task") == ["queued"]
        assert world.history() == ["registered"]
        world.compose = World(world.database, world.clock).compose
        assert world.record({key: snap(Status.SUCCEEDED)})[key].deliveries == 1

    def test_the_first_wait_of_the_schedule_comes_before_the_first_attempt(self, world: World) -> None:
        world.watched()
        world.compose.first_wait = timedelta(seconds=3)
        world.end()

        assert world.due() == []
        world.clock.advance(3)
        assert len(world.due()) == 1

    def test_an_ended_task_is_watched_by_nobody(self, world: World) -> None:
        world.watched()
        world.end()

        assert world.column("SELECT watcher FROM task") == [None]
        assert world.adopt() == []

    def test_whatever_is_repeated_one_message_is_made(self, world: World) -> None:
        key = world.watched()
        work = world.recording({key: snap(Status.SUCCEEDED)})

        for _ in range(3):
            world.write(work)

        assert world.messages() == [("task.succeeded", "pending")]
        assert world.history() == ["registered", "status"]

    @pytest.mark.parametrize(
        ("status", "kind"), [(Status.LOST, MissKind.UNKNOWN), (Status.EXPIRED, MissKind.TRANSIENT)]
    )
    def test_an_end_that_the_upstream_did_not_tell_carries_its_last_words(
        self, world: World, status: Status, kind: MissKind
    ) -> None:
        key = world.watched()
        world.record({key: snap(progress=5, object={"prompt": "cat"})})
        since = world.clock() - FAR
        streak = Streak(kind=str(kind), count=9, since=since, silent=9, silent_since=since)
        rules = Rules(expire_after=timedelta(0))

        world.record({key: world.seeing(miss(kind), streak, rules)})

        assert world.messages() == [(f"task.{status}", "pending")]
        assert '"prompt":"cat"' in world.column("SELECT body FROM delivery")[0]

    def test_progress_messages_that_wait_are_superseded_by_the_end(self, world: World) -> None:
        key = world.watched(want(events=EVERYTHING), want("2", events=EVERYTHING))
        world.record({key: snap(progress=5), world.key("2"): snap(progress=5)})
        sent, _ = world.claim()
        world.settle(sent, delivered())
        world.record({key: snap(Status.NEEDS_INPUT)})
        world.record({key: snap(progress=30)})

        world.end()

        assert world.messages("1") == [
            ("task.progress", "delivered"),
            ("task.needs_input", "superseded"),
            ("task.progress", "superseded"),
            ("task.succeeded", "pending"),
        ]
        assert world.messages("2") == [("task.progress", "pending")]
        assert world.column("SELECT count(*) FROM delivery WHERE status = 'superseded' AND settled_at IS NOT NULL") == [
            2
        ]


class TestContradictions:
    def test_an_ended_task_is_contradicted_once_and_stays_as_it_is(self, world: World) -> None:
        world.pending(want(events=EVERYTHING))
        before = world.rows("SELECT status, ended_at, upstream_status, progress FROM task")

        for _ in range(2):
            world.record({world.key(): snap(Status.FAILED, fail_reason="no")})

        assert world.history() == ["registered", "status", "contradiction"]
        assert world.rows("SELECT status, ended_at, upstream_status, progress FROM task") == before
        assert world.messages() == [("task.succeeded", "pending")]


class TestCallbacks:
    def test_each_is_told_what_it_wants(self, world: World) -> None:
        key = world.watched(
            want(url="https://a.example/", events=("progress",)),
            want(url="https://b.example/", events=("failed",)),
            want(url="https://c.example/", events=("needs_input", "succeeded")),
        )
        for seen in (snap(progress=3), snap(progress=40), snap(Status.NEEDS_INPUT), snap(Status.SUCCEEDED)):
            world.record({key: seen})

        told: dict[str, list[str]] = {}
        query = "SELECT c.url, d.message_type FROM delivery d JOIN callback c ON c.key = d.callback_key ORDER BY d.key"
        for row in world.rows(query):
            told.setdefault(row["url"][8], []).append(row["message_type"])
        assert told == {"a": ["task.progress", "task.progress"], "c": ["task.needs_input", "task.succeeded"]}

    def test_one_that_wants_the_bare_object_gets_it_with_every_kind_of_news(self, world: World) -> None:
        key = world.watched(want(events=EVERYTHING, format="upstream"))
        since = world.clock() - FAR
        lost = world.seeing(miss(MissKind.UNKNOWN), Streak(kind="unknown", count=9, since=since), Rules())

        for seen in snap(progress=3), snap(Status.NEEDS_INPUT), lost:
            world.record({key: seen})

        bodies = [json.loads(body) for body in world.column("SELECT body FROM delivery ORDER BY key")]
        assert [body["status"] for body in bodies] == ["IN_PROGRESS", "NEEDS_INPUT", "FAILURE"]
        assert {body["id"] for body in bodies} == {"1"}
        assert [body["failReason"][:5] for body in bodies if "failReason" in body] == ["lost:"]

    def test_one_that_is_gone_gets_nothing(self, world: World) -> None:
        key = world.watched(want(events=EVERYTHING), want(url="https://b.example/"))
        world.record({key: snap(progress=5)})
        world.settle(world.claim()[0], failed(410))

        assert world.end().deliveries == 1

    def test_an_unusable_url_that_was_written_by_hand_stops_no_end(self, world: World) -> None:
        key = world.watched(want(url=None))
        world.sql(
            f"""INSERT INTO callback (task_key, owner, url, events, format, metadata, created_at)
                VALUES ({key}, 'x', 'nonsense', 'ended', 'standard', 'no json', '2026-11-22 08:00:00Z')"""
        )

        assert world.end().deliveries == 1
        assert '"metadata":"no json"' in world.column("SELECT body FROM delivery")[0]

    def test_callbacks_of_one_host_share_an_endpoint(self, world: World) -> None:
        world.pending(
            want(url="https://shop.example/a"),
            want("2", url="https://SHOP.example:443/b"),
            want("3", url="http://shop.example/"),
        )

        assert sorted(world.column("SELECT origin FROM endpoint")) == [
            "http://shop.example:80",
            "https://shop.example:443",
        ]


class TestFence:
    @pytest.mark.parametrize("status", [Status.RUNNING, Status.SUCCEEDED])
    def test_a_replaced_daemon_writes_nothing(self, world: World, status: Status) -> None:
        key = world.watched()
        world.write(partial(watching.leave, me=ME))
        world.join("dmn_other")
        world.adopt("dmn_other")

        with statements() as sent:
            assert world.record({key: snap(status)}) == {}

        assert writes(sent) == []

    def test_a_replaced_daemon_does_not_even_contradict_the_end_that_its_successor_saw(self, world: World) -> None:
        """Its answer is from before the end: that it still ran then contradicts nothing."""
        key = world.watched()
        world.write(partial(watching.leave, me=ME))
        world.join("dmn_other")
        world.adopt("dmn_other")
        world.record({key: snap(Status.SUCCEEDED)}, "dmn_other")

        assert world.record({key: snap(Status.RUNNING)}) == {}
        assert world.history() == ["registered", "status"]

    def test_whoever_is_first_to_see_something_of_a_free_task_has_it_from_then_on(self, world: World) -> None:
        world.register(want())
        key = world.key()
        world.join()
        world.join("dmn_other")

        assert world.record({key: snap(progress=10)})[key].event
        assert world.record({key: snap(Status.SUCCEEDED)}, "dmn_other") == {}
        assert world.column("SELECT watcher FROM task") == [ME]

        assert world.record({key: snap(Status.SUCCEEDED)})[key].event
        assert world.column("SELECT watcher FROM task") == [None]

    def test_one_that_was_declared_dead_does_not_write_about_a_free_task(self, world: World) -> None:
        world.register(want())
        world.join()
        world.write(partial(watching.leave, me=ME))

        assert world.record({world.key(): snap(Status.SUCCEEDED)}) == {}
        assert world.column("SELECT watcher FROM task") == [None]

    def test_a_plain_insert_that_is_not_adopted_yet_has_its_first_event_before_its_news(self, world: World) -> None:
        world.join()
        world.sql("INSERT INTO task (upstream, task_id) VALUES ('default', 'sql')")

        world.record({world.key("sql"): snap(progress=3)})

        assert world.history("sql") == ["registered", "status"]
        assert world.sequences("sql") == [1, 2]

    def test_the_others_in_the_call_are_written(self, world: World) -> None:
        world.watched(want("1"), want("2"))
        world.sql("UPDATE task SET watcher = 'dmn_other' WHERE task_id = '1'")

        recorded = world.record({world.key("1"): snap(Status.SUCCEEDED), world.key("2"): snap(Status.SUCCEEDED)})

        assert list(recorded) == [world.key("2")]


class TestDropping:
    def dropping(self, world: World, key: int) -> Change:
        decide = partial(drop, now=world.clock(), note=f"dropped by {OWNER}")
        recorded = world.record({key: decide}, watcher=None)[key]
        return Change(task=recorded.task, event=recorded.event)

    def test_a_drop_needs_no_watcher_and_tells_nobody(self, world: World) -> None:
        world.register(want(events=EVERYTHING))

        change = self.dropping(world, world.key())

        assert change.task.status is Status.DROPPED
        assert world.messages() == []
        assert world.column("SELECT refresh_at FROM task") == [None], "there is nobody to leave a note for"

    def test_the_watcher_of_a_dropped_task_finds_a_note(self, world: World) -> None:
        key = world.watched(want("1"), want("2"))

        self.dropping(world, key)

        assert world.column("SELECT watcher FROM task ORDER BY key") == [ME, ME]
        assert [note is None for note in world.column("SELECT refresh_at FROM task ORDER BY key")] == [False, True]

    def test_what_waits_to_be_said_about_progress_is_superseded(self, world: World) -> None:
        key = world.watched(want(events=EVERYTHING))
        world.record({key: snap(progress=5)})

        self.dropping(world, key)

        assert world.messages() == [("task.progress", "superseded")]

    def test_a_drop_of_an_ended_task_writes_nothing(self, world: World) -> None:
        world.pending(want())

        with statements() as sent:
            change = self.dropping(world, world.key())

        assert writes(sent) == []
        assert change.task.status is Status.SUCCEEDED


def test_a_decision_sees_the_row_as_it_is_now(world: World) -> None:
    """Not as the caller remembers it: that is what makes repeats and races harmless."""
    key = world.watched()
    world.record({key: snap(progress=5)})
    seen: list[Task] = []

    def decide(task: Task) -> Change:
        seen.append(task)
        return Change(task=task)

    world.record({key: decide})

    assert (seen[0].progress, seen[0].sequence, seen[0].task_id) == (5, 2, "1")
    assert HOOK in world.column("SELECT url FROM callback")
