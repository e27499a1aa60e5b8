"""What people get to read (tasks, messages, upstreams), who may read it (access), and how long (retention)."""

from datetime import timedelta
from functools import partial

import pytest
from fakes import OWNER, HeldOpen, Thread, World, delivered, failed, snap, wait_until_blocked, want

from tracker.model import DeliveryStatus, Status
from tracker.store import access, messages, retention, tasks, upstreams
from tracker.store.tasks import Filter
from tracker.store.upstreams import Health

DAY = timedelta(days=1)


class TestTasks:
    def page(self, world: World, owner: str | None = None, **wanted: object) -> list[str]:
        found = world.database.read_now(partial(tasks.page, wanted=Filter(**wanted), owner=owner))  # type: ignore[arg-type]
        return [task.task_id for task in found]

    def test_the_newest_come_first_page_by_page(self, world: World) -> None:
        world.register(*(want(str(number)) for number in range(5)))
        (middle,) = world.column("SELECT key FROM task WHERE task_id = '2'")

        assert self.page(world) == ["4", "3", "2", "1", "0"]
        assert self.page(world, limit=2) == ["4", "3"]
        assert self.page(world, before=middle) == ["1", "0"]

    def test_filters_say_which(self, world: World) -> None:
        world.pending(want("a-1"), want("b-2"))
        world.clock.advance(60)
        world.register(want("c-3", upstream="other"))

        assert self.page(world, status=(Status.QUEUED,)) == ["c-3"]
        assert self.page(world, status=(Status.SUCCEEDED, Status.QUEUED)) == ["c-3", "b-2", "a-1"]
        assert self.page(world, upstream="other") == ["c-3"]
        assert self.page(world, task_id="a-1") == ["a-1"]
        assert self.page(world, since=world.clock()) == ["c-3"]
        assert self.page(world, until=world.clock()) == ["b-2", "a-1"]
        assert self.page(world, upstream="default", task_id="c-3") == []

    def test_a_search_finds_parts_of_ids_and_of_the_upstreams_object(self, world: World) -> None:
        key = world.watched(want("job-100%_a"), want("job-2"))
        world.record({key: snap(progress=1, object={"prompt": "A Cat in a hat"})})
        (id_,) = world.column("SELECT id FROM task WHERE task_id = 'job-2'")

        assert self.page(world, q="JOB") == ["job-2", "job-100%_a"]
        assert self.page(world, q="cat in") == ["job-100%_a"]
        assert self.page(world, q="0%_") == ["job-100%_a"]
        assert self.page(world, q="%") == ["job-100%_a"], "no wildcards"
        assert self.page(world, q=id_) == ["job-2"]
        assert self.page(world, q=id_[-12:]) == ["job-2"]

    def test_owners_see_what_they_registered(self, world: World) -> None:
        (mine,) = world.register(want("1"), owner="a")
        (others,) = world.register(want("2"), owner="b")
        world.register(want("3"), owner="a")
        world.register(want("3"), owner="b")

        assert self.page(world, "a") == ["3", "1"]
        assert self.page(world, "nobody") == []
        for id_, seen in ((mine.task.id, True), (others.task.id, False)):
            found = world.database.read_now(partial(tasks.get, id_=id_, owner="a"))
            assert (found is not None) is seen
        assert world.database.read_now(partial(tasks.get, id_="tsk_none", owner=None)) is None

    def test_a_task_is_found_by_the_upstreams_id(self, world: World) -> None:
        world.register(want("1"), want("1", upstream="other"), owner="a")

        def find(upstream: str | None, owner: str | None) -> list[str]:
            found = world.database.read_now(partial(tasks.find, task_id="1", upstream=upstream, owner=owner))
            return [task.upstream for task in found]

        assert find(None, None) == ["other", "default"]
        assert find("default", "a") == ["default"]
        assert find(None, "b") == []

    def test_callbacks_are_shown_to_their_owner(self, world: World) -> None:
        world.register(want(metadata=[1]), owner="a")
        world.register(want(metadata="no"), owner="b")

        by_key = world.database.read_now(partial(tasks.callbacks, keys=[world.key()], owner="a"))
        everybodys = world.database.read_now(partial(tasks.callbacks, keys=[world.key()], owner=None))

        assert [told.metadata for told in by_key[world.key()]] == [[1]]
        assert [told.owner for told in everybodys[world.key()]] == ["a", "b"]

    def test_everything_is_counted(self, world: World) -> None:
        world.settle(world.claim(*world.pending(want("1"), want("2")))[0], delivered())
        world.register(want("3"))

        assert world.database.read_now(tasks.count_by_status) == {"succeeded": 2, "queued": 1}
        assert world.database.read_now(tasks.count_deliveries) == {"delivered": 1, "pending": 1}


class TestMessages:
    def test_a_delivery_is_shown_with_its_attempts(self, world: World) -> None:
        world.pending(want())
        (claimed,) = world.claim()
        world.settle(claimed, failed(503), again_after=5)
        world.clock.advance(5)
        world.settle(world.claim()[0], delivered())

        line = world.database.read_now(partial(messages.get, id_=claimed.id, owner=None))

        assert line is not None
        assert (line.id, line.task_id, line.message_type, line.status) == (
            claimed.id,
            "1",
            "task.succeeded",
            "delivered",
        )
        assert (line.attempt, line.settled_at, line.next_attempt_at) == (2, world.clock(), None)
        tries = world.database.read_now(partial(messages.attempts, keys=[line.key]))[line.key]
        assert [(each.attempt, each.outcome, each.status_code) for each in tries] == [
            (1, "failed", 503),
            (2, "delivered", 200),
        ]
        assert tries[0].next_attempt_at == world.clock()

    def test_deliveries_are_shown_newest_first_by_status_and_to_their_owner(self, world: World) -> None:
        world.register(want("1", url="https://b.example/"), owner="b")
        keys = world.pending(want("1"), want("2"))
        world.settle(world.claim(keys[0])[0], failed())

        def page(owner: str | None, **wanted: object) -> list[int]:
            found = world.database.read_now(partial(messages.page, owner=owner, **wanted))  # type: ignore[arg-type]
            return [line.key for line in found]

        assert page(None) == keys[::-1]
        assert page(None, limit=1) == keys[-1:]
        assert page(None, before=keys[-1]) == keys[-2::-1]
        assert page(None, status=DeliveryStatus.DEAD) == keys[:1]
        assert sorted(page("b") + page(OWNER)) == keys
        assert len(page("b")) == 1
        of_task = partial(messages.of_task, task_key=world.key("1"))
        assert len(world.database.read_now(partial(of_task, owner=None))) == 2
        assert [line.url for line in world.database.read_now(partial(of_task, owner="b"))] == ["https://b.example/"]
        id_ = world.column("SELECT id FROM delivery WHERE key = :key", key=page("b")[0])[0]
        assert world.database.read_now(partial(messages.get, id_=id_, owner=OWNER)) is None


class TestUpstreams:
    def test_what_is_known_last_is_kept(self, world: World) -> None:
        assert world.database.read_now(upstreams.read) == {}
        paused = Health(
            name="a",
            state="paused",
            reason="refused: no",
            paused_until=world.clock() + DAY,
            last_error="no",
            last_error_at=world.clock(),
            last_ok_at=world.clock() - DAY,
            look_size=100,
        )
        for health in (Health(name="a"), Health(name="b"), paused):
            world.write(partial(upstreams.write, health=health))

        assert world.database.read_now(upstreams.read) == {"a": paused, "b": Health(name="b")}

    def test_live_tasks_are_counted_by_upstream(self, world: World) -> None:
        world.pending(want("1"))
        world.register(want("2"), want("3"), want("4", upstream="other"))

        assert world.database.read_now(upstreams.live_tasks) == {"default": 2, "other": 1}


class TestTokens:
    def add(self, world: World, owner: str = "a", scope: str = "read") -> str:
        made = access.new_token()
        add = partial(access.add_token, made=made, owner=owner, scope=scope, name="laptop", now=world.clock())
        world.write(add)
        return made

    def check(self, world: World, presented: str) -> access.TokenLine | None:
        return world.database.read_now(partial(access.check_token, presented=presented))

    def test_a_token_opens_and_only_its_hash_and_its_beginning_are_kept(self, world: World) -> None:
        assert not world.database.read_now(access.has_tokens)
        made = self.add(world)

        found = self.check(world, made)

        assert found is not None
        assert (found.owner, found.scope, found.name, found.prefix) == ("a", "read", "laptop", made[:8])
        assert (found.created_at, found.last_used_at, found.revoked_at) == (world.clock(), None, None)
        assert made.startswith("trk_")
        assert made not in str(world.rows("SELECT * FROM token"))
        assert world.database.read_now(access.has_tokens)

    @pytest.mark.parametrize("presented", ["", "trk_", "trk_wrong", "\0", "ü"])
    def test_an_unknown_token_opens_nothing(self, world: World, presented: str) -> None:
        made = self.add(world)

        assert self.check(world, presented) is None
        assert self.check(world, made.upper()) is None
        assert self.check(world, made[:8]) is None

    def test_a_revoked_token_opens_nothing_and_is_still_listed(self, world: World) -> None:
        first, second = self.add(world), self.add(world, "b", "admin")
        found = self.check(world, first)
        assert found is not None

        assert world.write(partial(access.revoke_token, id_=found.id, now=world.clock()))
        world.clock.advance(5)
        assert world.write(partial(access.revoke_token, id_=found.id, now=world.clock()))
        assert not world.write(partial(access.revoke_token, id_="tok_none", now=world.clock()))

        assert self.check(world, first) is None
        assert self.check(world, second) is not None
        listed = {line.owner: line for line in world.database.read_now(access.list_tokens)}
        assert listed["a"].revoked_at == world.clock() - timedelta(seconds=5), "the first time counts"
        assert listed["b"].revoked_at is None

    def test_use_is_noted(self, world: World) -> None:
        made = self.add(world)
        found = self.check(world, made)
        assert found is not None

        world.write(partial(access.touch_tokens, ids=[found.id], now=world.clock() + DAY))

        again = self.check(world, made)
        assert again is not None
        assert again.last_used_at == world.clock() + DAY


class TestSecrets:
    def current(self, world: World, fresh: str, owner: str = "a") -> str:
        return world.write(partial(access.current_secret, owner=owner, now=world.clock(), fresh=fresh))

    def rotate(self, world: World, fresh: str, owner: str = "a") -> str:
        return world.write(partial(access.rotate_secret, owner=owner, now=world.clock(), fresh=fresh))

    def signing(self, world: World, *owners: str) -> dict[str, list[str]]:
        return world.database.read_now(partial(access.signing_secrets, owners=owners or ("a",), now=world.clock()))

    def test_an_owner_without_a_secret_gets_the_fresh_one_and_keeps_it(self, world: World) -> None:
        assert self.current(world, "whsec_1") == "whsec_1"
        assert self.current(world, "whsec_2") == "whsec_1"
        assert self.signing(world) == {"a": ["whsec_1"]}

    def test_a_rotated_secret_signs_beside_the_new_one_for_a_day(self, world: World) -> None:
        self.current(world, "whsec_1")
        assert self.rotate(world, "whsec_2") == "whsec_2"
        world.clock.advance(3600)
        self.rotate(world, "whsec_3")

        assert self.signing(world) == {"a": ["whsec_3", "whsec_2", "whsec_1"]}
        world.clock.advance(23 * 3600 - 1)
        assert self.signing(world) == {"a": ["whsec_3", "whsec_2", "whsec_1"]}
        world.clock.advance(1)
        assert self.signing(world) == {"a": ["whsec_3", "whsec_2"]}
        world.clock.advance(10**7)
        assert self.signing(world) == {"a": ["whsec_3"]}
        assert self.current(world, "whsec_4") == "whsec_3"

    def test_the_first_secret_may_come_of_a_rotation(self, world: World) -> None:
        self.rotate(world, "whsec_1")

        assert self.signing(world) == {"a": ["whsec_1"]}

    def test_owners_have_their_own(self, world: World) -> None:
        self.current(world, "whsec_a")
        self.current(world, "whsec_b", "b")

        assert self.signing(world, "a", "b", "c") == {"a": ["whsec_a"], "b": ["whsec_b"]}

    def test_two_that_make_the_first_one_at_the_same_moment_end_with_one(self, worlds: list[World]) -> None:
        first, second, other = worlds
        held = HeldOpen(first.database, partial(access.current_secret, owner="a", now=first.clock(), fresh="whsec_1"))

        late = Thread(lambda: self.current(second, "whsec_2"))
        wait_until_blocked(other.database)

        assert held.commit() == "whsec_1"
        assert late.result() == "whsec_1"
        assert self.signing(other) == {"a": ["whsec_1"]}

    @pytest.mark.parametrize("before", [[], ["whsec_0"]], ids=["none before", "one before"])
    def test_two_that_rotate_at_the_same_moment_rotate_one_after_the_other(
        self, worlds: list[World], before: list[str]
    ) -> None:
        first, second, other = worlds
        for fresh in before:
            self.rotate(first, fresh)
        held = HeldOpen(first.database, partial(access.rotate_secret, owner="a", now=first.clock(), fresh="whsec_1"))

        late = Thread(lambda: self.rotate(second, "whsec_2"))
        wait_until_blocked(other.database)

        assert held.commit() == "whsec_1"
        assert late.result() == "whsec_2"
        assert self.signing(other) == {"a": ["whsec_2", "whsec_1", *before]}
        assert other.column("SELECT secret FROM secret WHERE expires_at IS NULL") == ["whsec_2"]


SWEEPS = {
    "tasks": [retention.TASKS],
    "attempts": [retention.ATTEMPTS],
    "bodies": [retention.BODIES, retention.OBJECTS],
}


class TestRetention:
    def forget(self, world: World, what: str, days: int = 30, limit: int = 100) -> int:
        before = world.clock() - days * DAY
        found = world.database.read_now(partial(retention.ended, after=retention.START, before=before, limit=limit))
        forgotten = 0
        for sweep in SWEEPS[what]:
            keys = world.database.read_now(lambda c, find=sweep.find: find(c, [place.key for place in found]))
            forgotten += world.write(partial(sweep.forget, keys=keys, ended_before=before))
        return forgotten

    @pytest.fixture
    def told(self, world: World) -> World:
        """Three tasks: one that was told, one whose message waits, one without an end."""
        world.watched(want("told"), want("waits"), want("runs"))
        world.record({world.key("runs"): snap(progress=5)})
        for name in ("told", "waits"):
            world.end(name)
        first, second = world.claim()
        world.settle(first, delivered())
        world.settle(second, failed(), again_after=10**8)
        world.clock.advance(30 * DAY.total_seconds())
        return world

    @pytest.mark.parametrize("what", ["tasks", "attempts", "bodies"])
    def test_ages_count_from_the_end_of_the_task(self, told: World, what: str) -> None:
        assert self.forget(told, what) == 0

        told.clock.advance(0.001)

        assert self.forget(told, what) > 0
        assert self.forget(told, what) == 0

    def test_a_task_is_forgotten_with_all_it_has_unless_a_message_is_on_its_way(self, told: World) -> None:
        told.clock.advance(1)

        assert self.forget(told, "tasks") == 1

        assert told.column("SELECT task_id FROM task ORDER BY key") == ["runs", "waits"]
        assert told.column("SELECT count(*) FROM attempt") == [1]
        for table in ("event", "snapshot", "registration", "callback", "delivery"):
            assert (
                len(set(told.column(f"SELECT task_key FROM {table}")) - set(told.column("SELECT key FROM task"))) == 0
            )

    def test_attempts_are_forgotten_but_those_of_waiting_messages(self, told: World) -> None:
        told.clock.advance(1)

        assert self.forget(told, "attempts") == 1

        assert told.attempts() == [(1, "failed")]
        assert told.column("SELECT count(*) FROM delivery") == [2]

    def test_bodies_and_objects_are_forgotten_but_those_of_waiting_messages(self, told: World) -> None:
        told.clock.advance(1)

        assert self.forget(told, "bodies") == 3, "one body, two objects"

        query = "SELECT t.task_id FROM delivery d JOIN task t ON t.key = d.task_key WHERE d.body IS NOT NULL"
        assert told.column(query) == ["waits"]
        query = "SELECT t.task_id FROM snapshot s JOIN task t ON t.key = s.task_key"
        assert told.column(query) == ["runs"]

    def test_a_late_callback_is_told_of_an_end_whose_object_was_forgotten(self, told: World) -> None:
        told.clock.advance(1)
        self.forget(told, "bodies")

        told.register(want("told", url="https://b.example/"))

        assert told.messages("told") == [("task.succeeded", "delivered"), ("task.succeeded", "pending")]

    def test_no_more_than_asked_for_goes_at_once(self, world: World) -> None:
        world.pending(*(want(str(number), url=None) for number in range(5)))
        world.clock.advance(31 * DAY.total_seconds())

        assert [self.forget(world, "tasks", limit=2) for _ in range(4)] == [2, 2, 1, 0]
