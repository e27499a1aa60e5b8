"""Telling: everybody gets their message, as often as it takes, signed with their own secret."""

import asyncio
from datetime import timedelta
from functools import partial

import pytest
from clocks import until
from couriers import GOOD, HOLE, HOLE_ENDPOINT, Post
from fakes import OWNER, World, failed, moment_of, our_fault, snap, statements, want, writes
from structlog.testing import capture_logs

from tracker.model import Status
from tracker.store import access

pytestmark = pytest.mark.anyio


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
