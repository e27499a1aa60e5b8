"""Telling: everybody gets their message, nobody waits for a black hole, and no outcome is forgotten."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import pytest
from conftest import FakeClock
from fakes import (
    OWNER,
    FakeSender,
    FlakyDatabase,
    World,
    delivered,
    failed,
    moment_of,
    our_fault,
    snap,
    statements,
    want,
    writes,
)
from lending import KINDS, lent_database
from structlog.testing import capture_logs

from tracker.config import CallbackSettings
from tracker.courier import Courier, Ports
from tracker.courier.claims import Claimed
from tracker.metrics import Metrics
from tracker.model import Delivery, Outcome, Status
from tracker.store import access, endpoints
from tracker.store.database import Work
from tracker.webhooks.signing import new_secret

pytestmark = pytest.mark.anyio

T = TypeVar("T")
GOOD = "https://good.example/hook"
GOOD_ENDPOINT = "https://good.example:443"
HOLE = "https://hole.example/hook"
HOLE_ENDPOINT = "https://hole.example:443"
COPIES = """INSERT INTO delivery (id, task_key, callback_key, endpoint_key, sequence, message_type, body,
            next_attempt_at, created_at)
            SELECT 'msg_' || n.i, d.task_key, d.callback_key, d.endpoint_key, 1000 + n.i, d.message_type,
            d.body, d.next_attempt_at, d.created_at FROM delivery d JOIN task t ON t.key = d.task_key,
            (WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < :number) SELECT i FROM s) n
            WHERE t.task_id = :task"""


@dataclass
class Post:
    """A courier, with everything it touches at hand."""

    world: World
    settings: dict[str, Any] = field(default_factory=dict)
    dice: float = 0.5
    timer: Callable[[], float] | None = None
    beats: list[None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sender = FakeSender()
        self.metrics = Metrics(version="0")
        ports = Ports(
            database=self.world.database,
            sender=self.sender,
            metrics=self.metrics,
            new_secret=new_secret,
            clock=self.world.clock,
            timer=self.timer or self.world.clock.timer,
            dice=lambda: self.dice,
            beat=lambda: self.beats.append(None),
        )
        self.courier = Courier(CallbackSettings(**self.settings), ports)

    def pending(self, number: int, url: str) -> None:
        names = [f"{url} {each}" for each in range(number)]
        self.world.pending(*(want(name, url=url) for name in names))

    def pending_at_holes(self, *hosts: str) -> list[asyncio.Event]:
        """One message to each of these, which were called before, and answer nothing until their events are set."""
        for host in hosts:
            endpoint = f"https://{host}.example:443"
            self.know(endpoint)
            self.pending(1, f"{endpoint}/")
            self.sender.holes[endpoint] = asyncio.Event()
        return list(self.sender.holes.values())

    def know(self, endpoint: str, *, seconds: float = 0.1, delivered: bool = False) -> None:
        """It was called before, and took so long."""
        slots, took = self.courier._slots, timedelta(seconds=seconds)  # noqa: SLF001 - what a first attempt does
        slots.time(endpoint, took, delivered=delivered)

    def next_attempt_in(self) -> float | None:
        (value,) = self.world.column("SELECT next_attempt_at FROM delivery")
        return None if value is None else (moment_of(value) - self.world.clock()).total_seconds()

    def statuses(self) -> list[str]:
        return self.world.column("SELECT status FROM delivery ORDER BY key")


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    with lent_database(request, request.param) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[FlakyDatabase]:
    opened = FlakyDatabase(database_url)
    yield opened
    opened.close()


@pytest.fixture
def world(database: FlakyDatabase, clock: FakeClock) -> World:
    return World(database, clock)


@pytest.fixture
def post(world: World) -> Post:
    return Post(world)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0)


class TestDelivering:
    async def test_what_is_due_is_sent_signed_and_written_down(self, post: Post) -> None:
        post.world.watched()
        finished_at = post.world.clock()
        post.world.record({post.world.key(): snap(Status.SUCCEEDED, finished_at=finished_at)})
        post.world.clock.advance(3)

        assert await post.courier.run_once() == 1
        assert await post.courier.run_once() == 0

        (sent,) = post.sender.sent
        assert sent.body == post.world.column("SELECT body FROM delivery")[0]
        assert post.statuses() == ["delivered"]
        assert post.world.attempts() == [(1, "delivered")]
        said = post.metrics.exposition()[0].decode()
        assert 'tracker_deliveries_total{outcome="delivered"} 1.0' in said
        assert "tracker_finish_to_deliver_seconds_sum 3.0" in said

    async def test_where_nothing_is_due_nothing_is_written(self, post: Post) -> None:
        with statements() as sent:
            assert await post.courier.run_once() == 0

        assert writes(sent) == []

    async def test_the_row_of_an_attempt_is_there_before_its_request(self, post: Post) -> None:
        post.pending(1, HOLE)
        hole = post.sender.holes[HOLE_ENDPOINT] = asyncio.Event()

        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run_once())
            await post.sender.started.wait()
            assert post.world.attempts() == [(1, "sending")]
            # Beyond its deadline of 20 s, so that nobody sends it meanwhile.
            (until,) = post.world.column("SELECT claimed_until FROM attempt")
            assert moment_of(until) == post.world.clock() + timedelta(seconds=50)
            hole.set()

    async def test_it_delivers_until_stopped_and_finishes_what_is_out(self, post: Post) -> None:
        post.pending(1, HOLE)
        hole = post.sender.holes[HOLE_ENDPOINT] = asyncio.Event()
        running = asyncio.create_task(post.courier.run())
        await post.sender.started.wait()

        post.courier.stop()
        post.pending(1, GOOD)
        hole.set()
        await running

        assert len(post.sender.sent) == 1
        assert post.world.attempts() == [(1, "failed")]
        assert post.beats

    async def test_it_sleeps_until_it_is_woken(self, post: Post) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run())
            await until(lambda: bool(post.beats))
            await asyncio.to_thread(post.pending, 2, GOOD)

            post.courier.wake()

            await until(lambda: len(post.sender.sent) == 2)
            post.courier.stop()
        assert post.statuses() == ["delivered"] * 2


class TestRetrying:
    async def test_retries_go_by_the_schedule_and_end(self, world: World) -> None:
        post = Post(world, {"retry_schedule": "0s,5s,5m,2h"})
        post.pending(1, GOOD)
        post.sender.script.extend([failed()] * 4)
        waits = []
        while post.statuses() == ["pending"]:
            assert await post.courier.run_once() == 1
            waits.append(post.next_attempt_in())
            world.clock.advance(waits[-1] or 0)

        assert waits == [5, 300, 7200, None]
        assert post.statuses() == ["dead"]
        assert len({sent.id for sent in post.sender.sent}) == 1
        assert len({sent.body for sent in post.sender.sent}) == 1
        assert world.history(f"{GOOD} 0")[-4:] == [*["delivery_failed"] * 3, "delivery_dead"]
        said = post.metrics.exposition()[0].decode()
        assert 'tracker_deliveries_total{outcome="failed"} 3.0' in said
        assert 'tracker_deliveries_total{outcome="dead"} 1.0' in said

    @pytest.mark.parametrize(("dice", "wait"), [(0.0, 4.0), (0.5, 5.0), (0.999, 5.998)])
    async def test_a_fifth_of_jitter_at_most(self, world: World, dice: float, wait: float) -> None:
        post = Post(world, dice=dice)
        post.pending(1, GOOD)
        post.sender.script.append(failed())

        await post.courier.run_once()

        assert post.next_attempt_in() == pytest.approx(wait, abs=0.001)

    @pytest.mark.parametrize(
        ("dice", "asked", "wait"), [(0.0, 60, 60), (0.999, 60, 71.988), (0.0, 1, 4), (0.0, 10**9, 86400)]
    )
    async def test_retry_after_is_obeyed_but_never_hurries(
        self, world: World, dice: float, asked: float, wait: float
    ) -> None:
        post = Post(world, dice=dice)
        post.pending(1, GOOD)
        post.sender.script.append(failed(503, retry_after=timedelta(seconds=asked)))

        await post.courier.run_once()

        assert post.next_attempt_in() == pytest.approx(wait, abs=0.001)

    async def test_410_is_the_end_of_the_callback(self, post: Post) -> None:
        post.pending(1, GOOD)
        post.sender.script.append(failed(410))

        await post.courier.run_once()

        assert post.statuses() == ["dead"]
        assert post.world.column("SELECT gone_at IS NOT NULL AS gone FROM callback") == [True]

    async def test_our_own_faults_are_tried_again_and_spend_nothing(self, world: World) -> None:
        post = Post(world, {"retry_schedule": "0s,5s"})
        post.pending(1, GOOD)
        post.sender.script.extend([our_fault()] * 5)
        for _ in range(5):
            await post.courier.run_once()
            assert post.next_attempt_in() == 10
            world.clock.advance(10)

        await post.courier.run_once()

        assert post.statuses() == ["delivered"]
        assert world.column("SELECT failures FROM delivery") == [0]

    @pytest.mark.parametrize(("dice", "wait"), [(0.0, 8.0), (0.5, 10.0), (0.999, 11.996)])
    async def test_our_own_fault_delays_a_message_by_seconds_whatever_was_before(
        self, world: World, dice: float, wait: float
    ) -> None:
        """Attempts that were interrupted, that probed, or that came before somebody sent it again."""
        post = Post(world, dice=dice)
        post.pending(1, GOOD)
        world.sql("UPDATE delivery SET attempt = 10")
        post.sender.script.append(our_fault())

        await post.courier.run_once()

        assert post.next_attempt_in() == pytest.approx(wait, abs=0.001)

    async def test_a_sender_that_raises_stops_nobody_and_is_tried_again(self, post: Post) -> None:
        post.pending(2, GOOD)
        post.sender.script.append(RuntimeError("bug"))

        with capture_logs() as logs:
            await post.courier.run_once()

        assert [line["event"] for line in logs if line["log_level"] == "error"] == ["delivery_failed_inside"]
        assert sorted(post.statuses()) == ["delivered", "pending"]
        post.world.clock.advance(50)
        await post.courier.run_once()
        assert post.statuses() == ["delivered"] * 2
        assert sorted(post.world.attempts()) == [(1, "delivered"), (1, "interrupted"), (2, "delivered")]


class TestRoom:
    async def test_an_endpoint_gets_no_more_at_once_than_its_share(self, world: World) -> None:
        post = Post(world, {"max_in_flight_per_endpoint": 3})
        post.pending(20, GOOD)

        assert await post.courier.run_once() == 20

        assert post.sender.most_at_once == 3

    async def test_all_together_get_no_more_than_there_is(self, world: World) -> None:
        post = Post(world, {"max_in_flight": 5})
        for number in range(8):
            post.know(f"https://h{number}.example:443")
            post.pending(4, f"https://h{number}.example/")

        assert await post.courier.run_once() == 32

        assert post.sender.most_at_once == 5

    async def test_more_are_claimed_than_are_sent_so_that_neither_waits_for_the_other(self, world: World) -> None:
        post = Post(world, {"max_in_flight": 2})
        post.pending_at_holes(*"abcdefg")

        running = asyncio.create_task(post.courier.run())
        await until(lambda: post.courier._slots.free_for_all == 0)  # noqa: SLF001 - they have been taken, not only claimed

        assert len(post.world.attempts()) == 6
        await until(lambda: len(post.sender.sent) == 2)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert len(post.world.due()) == 7, "also those that waited are given back"

    async def test_stopped_it_sends_nothing_of_what_it_has_only_claimed(self, world: World) -> None:
        """A third of it is under way; with slow receivers the rest would take longer than a stop may."""
        post = Post(world, {"max_in_flight": 2})
        holes = post.pending_at_holes(*"abcdefg")
        running = asyncio.create_task(post.courier.run())
        await until(lambda: post.courier._slots.free_for_all == 0)  # noqa: SLF001 - as above
        await until(lambda: len(post.sender.sent) == 2)

        post.courier.stop()
        for hole in holes:
            hole.set()
        await running

        assert len(post.sender.sent) == 2
        assert len(post.world.due()) == 5

    async def test_more_are_claimed_for_a_brisk_endpoint_than_it_gets_at_a_time(self, world: World) -> None:
        """A claim takes longer than what it does with them."""
        post = Post(world, {"max_in_flight_per_endpoint": 2})
        post.pending(21, GOOD)
        sizes: list[int] = []
        claim = post.courier._write  # noqa: SLF001 - how many come at a time

        async def counted(work: Work[list[Claimed]]) -> list[Claimed]:
            claimed = await claim(work)
            sizes.append(len(claimed))
            return claimed

        post.courier._write = counted  # type: ignore[method-assign]  # noqa: SLF001
        assert await post.courier.run_once() == 21

        assert sizes == [1, 8, 8, 4]
        assert post.sender.most_at_once == 2

    async def test_one_that_is_brisk_no_longer_keeps_nothing_waiting(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tracker.courier.queue._LONGEST_QUEUE", 0.01)
        post = Post(world, {"max_in_flight_per_endpoint": 2})
        post.know(GOOD_ENDPOINT, seconds=0.01, delivered=True)
        post.pending(10, GOOD)
        post.sender.holes[GOOD_ENDPOINT] = asyncio.Event()

        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run())
            await until(lambda: len(post.sender.sent) == 2)
            post.world.clock.advance(0.02)
            await until(lambda: [outcome for _, outcome in post.world.attempts()].count("interrupted") == 6)

            assert len(post.sender.sent) == 2
            assert len(post.world.due()) == 8
            post.sender.holes[GOOD_ENDPOINT].set()
            post.courier.stop()

    async def test_one_that_waited_too_long_for_its_turn_is_given_back_unsent(self, world: World) -> None:
        """Its claim might run out, and another send it, while it is sent here."""
        post = Post(world, {"max_in_flight": 1})
        holes = post.pending_at_holes("a", "b")

        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run())
            await until(lambda: post.courier._slots.free_for_all == 1)  # noqa: SLF001 - both have been taken
            await until(lambda: len(post.sender.sent) == 1)
            post.world.clock.advance(16)
            for hole in holes:
                hole.set()
            await until(lambda: len(post.sender.sent) == 2)
            post.courier.stop()

        assert sorted(post.world.attempts()) == [(1, "failed"), (1, "interrupted"), (2, "failed")]

    async def test_while_a_claim_is_written_the_next_are_looked_for(self, world: World) -> None:
        """And delivered once each, although that look shows what the claim takes as due."""
        post = Post(world, {"max_in_flight": 8})
        for host in "abcdefgh":
            post.know(f"https://{host}.example:443")
            post.pending(10, f"https://{host}.example/")
        database, looked = world.database, asyncio.Event()
        read, write = database.read, database.write
        under_way = 0

        async def noted(work: Work[T]) -> T:
            found = await read(work)
            if under_way:
                looked.set()
            return found

        async def held(work: Work[T]) -> T:
            nonlocal under_way
            under_way += 1
            async with asyncio.timeout(10):
                await looked.wait()
            written = await write(work)
            under_way -= 1
            return written

        database.read, database.write = noted, held  # type: ignore[method-assign]
        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run())
            await until(lambda: len(post.sender.sent) == 80)
            post.courier.stop()

        assert len(world.attempts()) == 80, "nothing was claimed twice"

    @pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
    @pytest.mark.parametrize("number", [1, 4], ids=["one", "more than a look shows"])
    async def test_what_somebody_held_is_claimed_soon_after_they_let_go_of_it(self, world: World, number: int) -> None:
        """Nobody wakes it. On SQLite there is nobody else."""
        post = Post(world, {"max_in_flight": 1})
        post.know(GOOD_ENDPOINT)
        post.pending(number, GOOD)
        write, in_vain = world.database.write, 0

        async def held(work: Work[T]) -> T | list[T]:
            nonlocal in_vain
            in_vain += 1
            return [] if in_vain <= 5 else await write(work)

        world.database.write = held  # type: ignore[method-assign, assignment]
        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run())
            await until(lambda: len(post.sender.sent) == number)
            post.courier.stop()

        assert post.statuses() == number * ["delivered"]

    async def test_one_that_nobody_has_heard_of_gets_a_single_message_first(self, world: World) -> None:
        post = Post(world)
        post.pending(20, HOLE)
        hole = post.sender.holes[HOLE_ENDPOINT] = asyncio.Event()

        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run())
            post.pending(9, GOOD)
            post.courier.wake()
            await until(lambda: post.sender.sent_to(GOOD_ENDPOINT) == 9)

            assert post.sender.sent_to(HOLE_ENDPOINT) == 1
            post.courier.stop()
            hole.set()

    async def test_many_slow_ones_leave_room_for_the_others(self, world: World) -> None:
        """Even when there are more of them than a look shows, each with a single message."""
        post = Post(world)
        holes = [f"https://hole{number}.example" for number in range(300)]
        for hole in holes:
            post.sender.holes[f"{hole}:443"] = asyncio.Event()
            post.know(f"{hole}:443", seconds=30)
        post.know(GOOD_ENDPOINT)
        world.pending(*(want(hole, url=hole) for hole in holes))
        post.pending(5, GOOD)

        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run())
            await until(lambda: post.sender.sent_to(GOOD_ENDPOINT) == 5)

            assert len(post.sender.sent) == 32 + 5
            post.courier.stop()
            for hole in post.sender.holes.values():
                hole.set()

    async def test_new_names_without_end_leave_room_for_those_that_answered_before(self, world: World) -> None:
        post = Post(world)
        holes = [f"https://hole{number}.example" for number in range(300)]
        for hole in holes:
            post.sender.holes[f"{hole}:443"] = asyncio.Event()
        post.know(GOOD_ENDPOINT)
        world.pending(*(want(hole, url=hole) for hole in holes))
        post.pending(5, GOOD)

        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run())
            await until(lambda: post.sender.sent_to(GOOD_ENDPOINT) == 5)

            assert len(post.sender.sent) == 16 + 5
            post.courier.stop()
            for hole in post.sender.holes.values():
                hole.set()

    async def test_while_every_slot_is_taken_it_sleeps_though_more_is_due(self, world: World) -> None:
        post = Post(world, {"max_in_flight": 2})
        post.know(HOLE_ENDPOINT)
        post.pending(20, HOLE)
        hole = post.sender.holes[HOLE_ENDPOINT] = asyncio.Event()

        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run())
            await until(lambda: len(post.sender.sent) == 2)
            beats = len(post.beats)
            await asyncio.sleep(0.05)

            assert len(post.beats) <= beats + 1
            post.courier.stop()
            hole.set()

    async def test_while_everything_is_taken_nobody_looks_whatever_else_comes_in(self, world: World) -> None:
        """What might wait for brisk endpoints is room for no other."""
        post = Post(world, {"max_in_flight": 2})
        holes = post.pending_at_holes(*"abcdefg")
        looks = 0
        read = world.database.read

        async def counted(work: Work[T]) -> T:
            nonlocal looks
            looks += 1
            return await read(work)

        world.database.read = counted  # type: ignore[method-assign]
        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run())
            await until(lambda: len(post.sender.sent) == 2 and post.courier._slots.free_for_all == 0)  # noqa: SLF001
            before = looks
            for _ in range(10):
                beats = len(post.beats)
                post.courier.wake()
                await until(lambda beats=beats: len(post.beats) > beats)  # type: ignore[misc]

            assert looks <= before + 1
            for hole in holes:
                hole.set()
            await until(lambda: len(post.sender.sent) == 7)
            post.courier.stop()

    async def test_one_that_worked_before_a_restart_gets_its_whole_share(self, world: World) -> None:
        before = Post(world)
        before.pending(1, GOOD)
        await before.courier.run_once()
        after = Post(world)
        world.pending(*(want(f"again {number}", url=GOOD) for number in range(4)))

        claimed = await after.courier._claim()  # noqa: SLF001

        assert len(claimed) == 4

    async def test_one_that_failed_last_gets_a_single_message_after_a_restart(self, world: World) -> None:
        before = Post(world)
        before.pending(2, GOOD)
        before.sender.script += [delivered(), failed()]
        await before.courier.run_once()
        after = Post(world)
        world.pending(*(want(f"again {number}", url=GOOD) for number in range(4)))

        claimed = await after.courier._claim()  # noqa: SLF001

        assert len(claimed) == 1

    async def test_where_looking_takes_long_everything_is_delivered_all_the_same(self, world: World) -> None:
        post = Post(world)
        for number in range(3):
            post.pending(200, f"https://h{number}.example/")
        read = world.database.read

        async def slowly(work: Work[T]) -> T:
            world.clock.advance(1.0)
            return await read(work)

        world.database.read = slowly  # type: ignore[method-assign]

        assert await post.courier.run_once() == 600

    async def test_an_endpoint_is_called_no_faster_than_allowed(self, world: World) -> None:
        post = Post(world, {"max_per_second_per_endpoint": 2})
        post.pending(3, GOOD)
        post.pending(1, "https://other.example/")

        assert await post.courier.run_once() == 2
        assert await post.courier.run_once() == 0
        world.clock.advance(0.49)
        assert await post.courier.run_once() == 0
        world.clock.advance(0.02)
        assert await post.courier.run_once() == 1
        world.clock.advance(0.51)
        assert await post.courier.run_once() == 1

    async def test_a_rate_is_kept_up_although_answers_are_slow(self, world: World) -> None:
        """Two a second means two a second, also to a receiver that takes five seconds."""
        post = Post(world, {"max_per_second_per_endpoint": 2, "max_in_flight_per_endpoint": 3})
        post.know(HOLE_ENDPOINT, seconds=5)
        post.pending(5, HOLE)
        hole = post.sender.holes[HOLE_ENDPOINT] = asyncio.Event()

        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run())
            for number in (1, 2, 3):
                await until(lambda number=number: len(post.sender.sent) == number)  # type: ignore[misc]
                world.clock.advance(0.51)
                post.courier.wake()
            beats = len(post.beats)
            post.courier.wake()
            await until(lambda: len(post.beats) > beats)
            assert len(post.sender.sent) == 3, "as many as may be out"
            post.courier.stop()
            hole.set()

    async def test_a_rate_needs_nobody_to_wake_it(self, world: World) -> None:
        post = Post(world, {"max_per_second_per_endpoint": 100}, timer=time.monotonic)
        post.pending(5, GOOD)

        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run())
            await until(lambda: len(post.sender.sent) == 5)
            post.courier.stop()

    async def test_a_black_hole_with_a_thousand_messages_holds_nobody_up(self, world: World) -> None:
        post = Post(world)
        world.pending(want("hole", url=HOLE), want("good", url=GOOD))
        copies = """INSERT INTO delivery (id, task_key, callback_key, endpoint_key, sequence, message_type, body,
                    next_attempt_at, created_at)
                    SELECT 'msg_' || n.i, d.task_key, d.callback_key, d.endpoint_key, 1000 + n.i, d.message_type,
                    d.body, '2026-11-22 07:00:00.000Z', d.created_at FROM delivery d JOIN task t ON t.key = d.task_key,
                    (WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 1000) SELECT i FROM s) n
                    WHERE t.task_id = 'hole'"""
        world.sql(copies)
        hole = post.sender.holes[HOLE_ENDPOINT] = asyncio.Event()

        async with asyncio.TaskGroup() as group:
            group.create_task(post.courier.run())
            await until(lambda: post.sender.sent_to(GOOD_ENDPOINT) == 1)

            assert post.sender.sent_to(HOLE_ENDPOINT) == 1
            assert len(post.beats) <= 4, "a bounded number of passes"
            post.courier.stop()
            hole.set()


class TestHealth:
    async def pause(self, post: Post, number: int = 1) -> None:
        """Messages to a receiver that fails until it is paused."""
        post.pending(number, GOOD)
        post.sender.script.extend([failed(None, error="timeout")] * 5)
        for _ in range(5):
            post.world.clock.advance(15)
            post.world.sql("UPDATE delivery SET next_attempt_at = '2027-01-01 00:00:00.000Z'")
            moment = post.world.clock().strftime("%Y-%m-%d %H:%M:%S.000Z")
            post.world.sql(
                """UPDATE delivery SET next_attempt_at = :now
                   WHERE key = (SELECT key FROM delivery ORDER BY attempt, key LIMIT 1)""",
                now=moment,
            )
            assert await post.courier.run_once() == 1

    def state(self, post: Post) -> str:
        return str(post.world.column("SELECT state FROM endpoint")[0])

    async def test_a_receiver_that_fails_is_paused_and_log_metrics_and_operator_hear_of_it(self, post: Post) -> None:
        post.world.join("dmn_teller", tells_operator=True)
        with capture_logs() as logs:
            await self.pause(post, 10)

        (line,) = [line for line in logs if line["event"] == "endpoint_paused"]
        assert 'tracker_endpoint_turns_total{state="paused"} 1.0' in post.metrics.exposition()[0].decode()
        assert post.world.column("SELECT message_type FROM notice") == ["endpoint.paused"]
        assert line["reason"] == "5 failures in a row, the last one: timeout"
        assert self.state(post) == "paused"
        assert await post.courier.run_once() == 0

    async def test_a_probe_that_fails_costs_the_message_nothing(self, world: World) -> None:
        post = Post(world, {"retry_schedule": "0s,5s"})
        await self.pause(post, 5)
        before = world.column("SELECT failures FROM delivery ORDER BY key")
        for wait in (31, 61, 121, 241, 301):
            world.clock.advance(wait)
            post.sender.script.append(failed(None, error="timeout"))
            assert await post.courier.run_once() == 1, "one probe"

        assert world.column("SELECT failures FROM delivery ORDER BY key") == before
        (until,) = world.column("SELECT paused_until FROM endpoint")
        assert (moment_of(until) - world.clock()).total_seconds() >= 240, "the next one waits longer than a claim does"
        assert set(post.statuses()) == {"pending"}

    async def test_five_hundred_that_waited_go_out_slowly_at_first(self, world: World) -> None:
        post = Post(world, {"max_in_flight_per_endpoint": 8})
        await self.pause(post, 5)
        world.sql(COPIES, task=f"{GOOD} 0", number=495)
        world.clock.advance(31)
        sizes: list[int] = []
        take = post.courier._slots.take  # noqa: SLF001
        give_back = post.courier._slots.give_back  # noqa: SLF001
        out: set[int] = set()

        def taken(delivery: Delivery) -> None:
            take(delivery)
            out.add(delivery.key)
            sizes.append(len(out))

        def returned(delivery: Delivery) -> None:
            out.discard(delivery.key)
            give_back(delivery)

        post.courier._slots.take, post.courier._slots.give_back = taken, returned  # type: ignore[method-assign]  # noqa: SLF001

        with capture_logs() as logs:
            assert await post.courier.run_once() == 500

        assert "endpoint_recovered" in [line["event"] for line in logs]
        assert post.sender.most_at_once == 8
        assert sizes[:16] == [1, 1, 1, 2, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8], "the probe, then 1, 2, 4, 8 at once"
        assert set(post.statuses()) == {"delivered"}
        assert self.state(post) == "active"

    async def test_one_that_was_opened_by_hand_starts_slowly_too(self, world: World) -> None:
        post = Post(world)
        post.know(GOOD_ENDPOINT)
        post.pending(8, GOOD)
        (key,) = world.column("SELECT key FROM endpoint")
        world.write(partial(endpoints.disable, key=key, reason="by hand", now=world.clock()))
        assert await post.courier.run_once() == 0
        world.write(partial(endpoints.enable, key=key, now=world.clock()))

        claimed = await post.courier._claim()  # noqa: SLF001

        assert len(claimed) == 1

    async def test_410_of_the_last_callback_is_told_as_the_end_of_the_endpoint(self, post: Post) -> None:
        post.pending(1, GOOD)
        post.sender.script.append(failed(410))

        with capture_logs() as logs:
            await post.courier.run_once()

        assert self.state(post) == "disabled"
        assert "endpoint_disabled" in [line["event"] for line in logs]

    async def test_a_black_hole_with_ten_thousand_messages_costs_a_healthy_claim_one_pass(self, world: World) -> None:
        post = Post(world)
        world.pending(want("hole", url=HOLE), want("good", url=GOOD))
        world.sql(COPIES, task="hole", number=10_000)
        world.sql(
            """UPDATE delivery SET next_attempt_at = '2026-11-22 07:00:00.000Z'
               WHERE task_key = (SELECT key FROM task WHERE task_id = 'hole')"""
        )

        first = await post.courier._claim()  # noqa: SLF001
        second = await post.courier._claim()  # noqa: SLF001

        assert [entry.delivery.url for entry in (*first, *second)] == [HOLE, GOOD]

    async def test_where_all_that_waits_for_a_paused_one_is_out_nothing_is_tried_again_and_again(
        self, post: Post
    ) -> None:
        await self.pause(post)
        post.world.clock.advance(60)
        (key,) = post.world.column("SELECT key FROM delivery")
        post.world.sql(
            "UPDATE delivery SET next_attempt_at = :now", now=post.world.clock().strftime("%Y-%m-%d %H:%M:%S.000Z")
        )
        assert post.world.claim(key), "another daemon has it"

        with statements() as seen:
            assert await post.courier.run_once() == 0

        assert len([each for each in seen if each.startswith("BEGIN IMMEDIATE")]) <= 3

    async def test_once_the_hole_is_paused_its_messages_are_not_even_looked_at(self, world: World) -> None:
        post = Post(world)
        world.pending(want("hole", url=HOLE), want("good", url=GOOD))
        world.sql(COPIES, task="hole", number=10_000)
        (key,) = world.column("SELECT key FROM endpoint WHERE origin = :origin", origin=HOLE_ENDPOINT)
        world.write(partial(endpoints.disable, key=key, reason="by hand", now=world.clock()))

        (early,) = world.column(
            "SELECT count(*) FROM delivery WHERE status = 'pending' AND next_attempt_at < :at",
            at="2026-11-23 00:00:00.000Z",
        )
        (claimed,) = await post.courier._claim()  # noqa: SLF001

        assert claimed.delivery.url == GOOD
        assert early == 1


class TestOutages:
    async def test_an_outcome_is_kept_while_the_database_is_away(
        self, post: Post, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tracker.courier.writing._AGAIN_AFTER", 0.0)
        post.pending(1, GOOD)
        database = post.world.database
        assert isinstance(database, FlakyDatabase)

        def go_away() -> Outcome:
            database.away = 5
            return delivered()

        post.sender.script.append(delivered())
        send = post.sender.send

        async def send_and_lose(delivery: Delivery, secrets: Sequence[str]) -> Outcome:
            outcome = await send(delivery, secrets)
            go_away()
            return outcome

        monkeypatch.setattr(post.sender, "send", send_and_lose)
        with capture_logs() as logs:
            await post.courier.run_once()

        assert database.refused == 5
        assert [line["event"] for line in logs].count("outcome_postponed") == 4  # once with others, then alone
        assert post.statuses() == ["delivered"]
        assert len(post.sender.sent) == 1

    async def test_claims_are_tried_again_when_the_database_is_back(self, post: Post) -> None:
        post.pending(1, GOOD)
        assert isinstance(post.world.database, FlakyDatabase)
        post.world.database.away = 1

        with capture_logs() as logs:
            async with asyncio.TaskGroup() as group:
                group.create_task(post.courier.run())
                await until(lambda: any(line["event"] == "deliveries_postponed" for line in logs))
                post.courier.wake()
                await until(lambda: len(post.sender.sent) == 1)
                post.courier.stop()

        assert post.statuses() == ["delivered"]

    async def test_who_runs_out_of_time_gives_back_what_is_out(self, post: Post) -> None:
        post.know(HOLE_ENDPOINT)
        post.pending(2, HOLE)
        post.sender.holes[HOLE_ENDPOINT] = asyncio.Event()
        running = asyncio.create_task(post.courier.run())
        await until(lambda: len(post.sender.sent) == 2)

        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

        assert len(post.world.due()) == 2
        assert post.world.attempts() == [(1, "interrupted")] * 2
        assert post.world.column("SELECT failures FROM delivery") == [0, 0]

    async def test_out_of_time_while_the_database_is_away_it_still_ends_as_told(self, post: Post) -> None:
        """A cancelled task that raises something else would make an accident of a shutdown."""
        post.pending(1, HOLE)
        post.sender.holes[HOLE_ENDPOINT] = asyncio.Event()
        running = asyncio.create_task(post.courier.run())
        await post.sender.started.wait()
        assert isinstance(post.world.database, FlakyDatabase)
        post.world.database.away = 9

        running.cancel()
        with capture_logs(), pytest.raises(asyncio.CancelledError):
            await running

        assert post.world.attempts() == [(1, "sending")], "the claim runs out by itself"

    async def test_an_outcome_that_is_being_written_is_written(self, post: Post) -> None:
        """Cancelled while it waited for the writer: the receiver has it, and must not get it again."""
        post.pending(1, HOLE)
        hole = post.sender.holes[HOLE_ENDPOINT] = asyncio.Event()
        running = asyncio.create_task(post.courier.run())
        await post.sender.started.wait()
        wrote = asyncio.Event()
        database = post.world.database
        write = database.write_beside

        async def announced(work: Work[T]) -> T:
            wrote.set()
            return await write(work)

        database.write_beside = announced  # type: ignore[method-assign]
        hole.set()
        await wrote.wait()

        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

        assert post.world.attempts() == [(1, "failed")]
        assert post.next_attempt_in() == 5


class TestSecrets:
    async def test_an_owner_without_one_gets_one_that_stays(self, post: Post) -> None:
        post.pending(2, GOOD)

        await post.courier.run_once()

        first, second = post.sender.signed
        assert first == second
        assert post.world.column("SELECT owner FROM secret") == [OWNER]
        assert post.world.column("SELECT secret FROM secret") == list(first)

    async def test_a_rotation_holds_for_what_was_queued_before(self, post: Post) -> None:
        post.world.write(partial(access.current_secret, owner=OWNER, now=post.world.clock(), fresh="whsec_1"))
        post.pending(1, GOOD)
        post.sender.script.append(failed())
        await post.courier.run_once()
        post.world.write(partial(access.rotate_secret, owner=OWNER, now=post.world.clock(), fresh="whsec_2"))
        post.world.clock.advance(5)
        post.sender.script.append(failed())
        await post.courier.run_once()
        post.world.clock.advance(25 * 3600)

        await post.courier.run_once()

        assert post.sender.signed == [("whsec_1",), ("whsec_2", "whsec_1"), ("whsec_2",)]

    async def test_each_owner_signs_with_its_own(self, post: Post) -> None:
        for owner in ("a", "b"):
            post.world.write(
                partial(access.current_secret, owner=owner, now=post.world.clock(), fresh=f"whsec_{owner}")
            )
            post.world.register(want(), owner=owner)
        post.world.watched(want(url=None))
        post.world.end()

        await post.courier.run_once()

        assert {sent.owner: signed for sent, signed in zip(post.sender.sent, post.sender.signed, strict=True)} == {
            "a": ("whsec_a",),
            "b": ("whsec_b",),
        }
