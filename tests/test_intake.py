"""Accepting: what may be asked for, by whom, and what becomes of it."""

from functools import partial

import pytest
from fakes import ME, HeldOpen, Thread, World, wait_until_blocked, want

from tracker.config import CallbackSettings, Settings, UpstreamSettings
from tracker.errors import ConfigError, InputError, NotFoundError, RefusedError
from tracker.guard import Guard
from tracker.intake import LARGEST_BATCH, Caller, Intake, RegistrationRequest, explain, parse
from tracker.intake.callers import LOCAL
from tracker.model import Status
from tracker.store.registrations import Wanted

GATEWAY = UpstreamSettings(base_url="https://gateway.example/mj")
READER = Caller(owner="shop", scope="read")
SHOP = Caller(owner="shop", scope="write")
OTHER = Caller(owner="other", scope="write")
ADMIN = Caller(owner="admin", scope="admin")


def settings(*upstreams: str, **fields: object) -> Settings:
    return Settings(upstreams=dict.fromkeys(upstreams or ("default",), GATEWAY), **fields)


def intake(world: World, configured: Settings | None = None) -> Intake:
    return Intake(configured or settings(), Guard(), world.compose, world.clock)


class TestCallers:
    @pytest.mark.parametrize(("scope", "allowed"), [("read", 1), ("write", 2), ("admin", 3)])
    def test_a_scope_allows_itself_and_less(self, scope: str, allowed: int) -> None:
        caller = Caller(owner="x", scope=scope)
        refused = []
        for wanted in ("read", "write", "admin"):
            try:
                caller.must_be(wanted)
            except RefusedError as error:
                refused.append(str(error))

        assert len(refused) == 3 - allowed
        assert all(scope in text for text in refused)

    def test_an_admin_sees_all_and_others_see_their_own(self) -> None:
        assert (ADMIN.sees_all, ADMIN.only_owner) == (True, None)
        assert (SHOP.sees_all, SHOP.only_owner) == (False, "shop")
        assert LOCAL.sees_all


class TestParsing:
    def test_everything_that_can_be_given(self) -> None:
        document = {
            "task_id": "1730621826053455",
            "callback_url": "https://shop.example/hook",
            "upstream": "default",
            "events": ["task.progress", "ended", "progress"],
            "format": "upstream",
            "metadata": {"order": [17, None, "猪"]},
        }

        request = parse(document)

        assert request.model_dump() == {**document, "events": ["progress", "ended"]}

    def test_an_id_is_enough(self) -> None:
        assert parse({"task_id": "1"}) == RegistrationRequest(task_id="1")

    @pytest.mark.parametrize(
        ("document", "field", "fragment"),
        [
            ({}, "task_id", "is missing; send it"),
            ({"task_id": 1730621826053455}, "task_id", 'is not text; put it in quotes: "1730621826053455"'),
            ({"task_id": ""}, "task_id", "is empty; send at least 1 character"),
            ({"task_id": "x" * 513}, "task_id", "is too long; send at most 512 characters"),
            ({"task_id": "a\0b"}, "task_id", "control character"),
            ({"task_id": "a\nb"}, "task_id", "control character"),
            ({"task_id": " a"}, "task_id", "white space"),
            ({"task_id": "\ud800"}, "task_id", "half a character"),
            ({"task_id": None}, "task_id", "is not text"),
            ({"task_id": "1", "callback": "x"}, "callback", "is not a known field"),
            ({"task_id": "1", "callback_url": "https://x.example/" + "a" * 2048}, "callback_url", "too long"),
            ({"task_id": "1", "callback_url": "a" * 5000}, "callback_url", "is too long; send at most 2048 characters"),
            ({"task_id": "1", "callback_url": ["x"]}, "callback_url", "is not text"),
            ({"task_id": "1", "callback_url": 5}, "callback_url", 'put it in quotes: "https://you.example/hook"'),
            ({"task_id": "1", "upstream": 5}, "upstream", "is not text; put it in quotes"),
            ({"task_id": "1", "upstream": "x" * 65}, "upstream", "too long"),
            ({"task_id": "1", "events": "ended"}, "events", "is not a list"),
            ({"task_id": "1", "events": []}, "events", "is empty; use some of: ended"),
            ({"task_id": "1", "events": ["finished"]}, "events", "'finished' is no event"),
            ({"task_id": "1", "events": ["ended", 5]}, "events[1]", "is not text"),
            ({"task_id": "1", "events": ["dropped"]}, "events", "'dropped' is no event"),
            ({"task_id": "1", "format": "xml"}, "format", "is not a known word; use 'standard' or 'upstream'"),
            ({"task_id": "1", "metadata": "x" * 4095}, "metadata", "is over 4096 bytes"),
            ({"task_id": "1", "metadata": {"a": "b\0c"}}, "metadata", "NUL"),
            ({"task_id": "1", "metadata": "\ud800"}, "metadata", "half a character"),
            ({"task_id": "1", "metadata": float("nan")}, "metadata", "is not JSON"),
            ({"task_id": "1", "metadata": {"x": float("inf")}}, "metadata", "is not JSON"),
            (["1"], "body", "is not an object"),
            ("1", "body", "is not an object"),
            (None, "body", "is not an object"),
        ],
    )
    def test_what_cannot_be_used_is_told_with_its_field_and_the_fix(
        self, document: object, field: str, fragment: str
    ) -> None:
        with pytest.raises(InputError) as told:
            parse(document)

        assert told.value.field == field
        assert fragment in str(told.value)
        assert "\n" not in str(told.value)

    def test_a_field_of_one_of_many_is_named_with_its_place(self) -> None:
        with pytest.raises(InputError) as told:
            parse({"task_id": 1}, where="[3]")

        assert told.value.field == "[3].task_id"

    @pytest.mark.parametrize("metadata", ["x" * 4094, {"a": {"b": [1.5, True, None]}}, "", 0, False, "\\u0000", "{}"])
    def test_any_small_json_is_metadata(self, metadata: object) -> None:
        assert parse({"task_id": "1", "metadata": metadata}).metadata == metadata

    def test_nesting_without_end_is_no_json(self) -> None:
        deep: list[object] = []
        for _ in range(100_000):
            deep = [deep]

        with pytest.raises(InputError, match="metadata: is nested too deep"):
            parse({"task_id": "1", "metadata": deep})
        while deep:  # taken apart by hand: the interpreter would fall down freeing it
            deep = deep.pop()  # type: ignore[assignment]

    def test_a_problem_that_nobody_foresaw_is_told_in_pydantics_words(self) -> None:
        error = explain({"type": "odd_one", "loc": ("body", "x"), "msg": "Should be {odd}"})

        assert str(error) == "x: should be {odd}; correct it"

    def test_the_largest_batch_is_what_is_promised(self) -> None:
        assert LARGEST_BATCH == 1000


class TestChecking:
    def check(self, world: World, configured: Settings, **fields: object) -> Wanted:
        return intake(world, configured).check(RegistrationRequest(task_id="1", **fields))

    @pytest.mark.parametrize(
        ("upstreams", "default", "asked", "chosen"),
        [
            (("only",), None, None, "only"),
            (("a", "default"), None, None, "default"),
            (("a", "b"), "b", None, "b"),
            (("a", "b"), "b", "a", "a"),
        ],
    )
    def test_a_task_without_an_upstream_goes_to_the_default(
        self, world: World, upstreams: tuple[str, ...], default: str | None, asked: str | None, chosen: str
    ) -> None:
        configured = settings(*upstreams, default_upstream=default)

        assert self.check(world, configured, upstream=asked).upstream == chosen

    @pytest.mark.parametrize(
        ("configured", "asked", "problem"),
        [
            (settings("a", "b"), None, "upstream: is needed, since there is no default upstream; name one of: a, b"),
            (settings("a"), "b", "upstream: 'b' is not configured; name one of: a"),
        ],
    )
    def test_an_upstream_must_be_configured(
        self, world: World, configured: Settings, asked: str | None, problem: str
    ) -> None:
        with pytest.raises(InputError) as told:
            self.check(world, configured, upstream=asked)

        assert str(told.value) == problem

    def test_without_any_upstream_the_configuration_is_at_fault(self, world: World) -> None:
        with pytest.raises(
            ConfigError, match="upstreams: none is configured; TRACKER_UPSTREAMS__DEFAULT__BASE_URL and"
        ):
            self.check(world, Settings())

    @pytest.mark.parametrize(("field", "value"), [("metadata", 0), ("events", ["ended"]), ("format", "standard")])
    def test_what_only_a_callback_can_carry_needs_one(self, world: World, field: str, value: object) -> None:
        with pytest.raises(InputError, match=rf"^\[2\]\.{field}: needs a callback_url; "):
            intake(world).check(RegistrationRequest(task_id="1", **{field: value}), where="[2]")

        assert self.check(world, settings(), **{field: None}).url is None

    @pytest.mark.parametrize("url", ["nonsense", "ftp://x.example/", "http://127.0.0.1/", "http://[::1]:22/"])
    def test_a_callback_that_may_not_be_called_is_refused_at_once(self, world: World, url: str) -> None:
        with pytest.raises(InputError) as told:
            intake(world).check(RegistrationRequest(task_id="1", callback_url=url), where="[7]")

        assert told.value.field == "[7].callback_url"

    def test_what_was_not_given_is_none(self, world: World) -> None:
        wanted = self.check(world, settings(), callback_url="https://shop.example/")

        assert (wanted.events, wanted.format, wanted.metadata) == (None, None, None)


class TestRegistering:
    def test_it_is_written_for_its_caller_in_the_configured_format(self, world: World) -> None:
        configured = settings(callbacks=CallbackSettings(format="upstream"))
        desk = intake(world, configured)
        wanted = desk.check(RegistrationRequest(task_id="1", callback_url="https://shop.example/"))

        (registered,) = world.write(desk.register([wanted], SHOP))

        assert registered.created
        assert world.rows("SELECT owner, format FROM callback") == [{"owner": "shop", "format": "upstream"}]
        assert not world.write(desk.register([wanted], ADMIN))[0].created
        assert world.write(desk.register([wanted], OTHER))[0].created


class TestRefreshing:
    def test_a_look_now_is_noted(self, world: World) -> None:
        (registered,) = world.register(want(), owner="shop")

        task = world.write(intake(world).refresh(registered.task.id, SHOP))

        assert task == registered.task
        assert world.column("SELECT refresh_at IS NOT NULL AS noted FROM task") == [True]

    @pytest.mark.parametrize("what", ["refresh", "drop"])
    def test_what_the_caller_does_not_see_is_not_there(self, world: World, what: str) -> None:
        (registered,) = world.register(want(), owner="shop")
        desk = intake(world)

        for id_, caller in ((registered.task.id, OTHER), ("tsk_none", SHOP), ("", ADMIN)):
            with pytest.raises(NotFoundError, match="no task"):
                world.write(getattr(desk, what)(id_, caller))
        with pytest.raises(NotFoundError, match=r"tsk_….*GET /v1/tasks\?task_id=… finds"):
            world.write(getattr(desk, what)(registered.task.task_id, SHOP))

        assert world.column("SELECT refresh_at FROM task") == [None]
        assert world.column("SELECT status FROM task") == ["queued"]


class TestDropping:
    def test_who_registered_it_alone_ends_it(self, world: World) -> None:
        (registered,) = world.register(want(), owner="shop")

        dropped = world.write(intake(world).drop(registered.task.id, SHOP))

        assert dropped.stopped
        assert dropped.task.status is Status.DROPPED
        assert world.column("SELECT note FROM task_history WHERE event = 'status'") == ["dropped by shop"]
        assert world.messages() == []
        assert not world.write(intake(world).drop(registered.task.id, SHOP)).stopped, "it has ended"

    def test_for_other_owners_it_goes_on(self, world: World) -> None:
        (registered,) = world.register(want(), owner="other")
        world.watched(want(), want(url="https://shop.example/too"))

        dropped = world.write(intake(world).drop(registered.task.id, SHOP))

        assert (dropped.stopped, dropped.withdrawn, dropped.task.status) == (False, True, Status.QUEUED)
        assert world.end().deliveries == 1
        with pytest.raises(NotFoundError):
            world.write(intake(world).drop(registered.task.id, SHOP))

    def test_an_admin_ends_it_for_everybody(self, world: World) -> None:
        (registered,) = world.register(want(), owner="shop")
        world.register(want(), owner="other")

        assert world.write(intake(world).drop(registered.task.id, ADMIN)).stopped

        assert world.column("SELECT status FROM task") == ["dropped"]

    def test_a_task_that_ended_stays_as_it_is(self, world: World) -> None:
        world.pending(want())
        (id_,) = world.column("SELECT id FROM task")

        dropped = world.write(intake(world).drop(id_, ADMIN))

        assert (dropped.stopped, dropped.task.status) == (False, Status.SUCCEEDED)
        assert world.messages() == [("task.succeeded", "pending")]

    def test_two_owners_that_drop_it_at_the_same_moment_leave_nothing_to_watch(self, worlds: list[World]) -> None:
        """The first goes on for the second; the second, alone by then, ends it."""
        first, second, other = worlds
        (registered,) = first.register(want(), owner="shop")
        first.register(want(), owner="other")
        held = HeldOpen(first.database, intake(first).drop(registered.task.id, SHOP))

        dropping = Thread(partial(second.write, intake(second).drop(registered.task.id, OTHER)))
        wait_until_blocked(other.database)

        assert not held.commit().stopped
        assert dropping.result().stopped
        assert other.column("SELECT watcher FROM task") != [ME]
