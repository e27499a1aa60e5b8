"""The courier and the health of endpoints: pauses, probes, and a slow start after them."""

from functools import partial

import pytest
from couriers import COPIES, GOOD, GOOD_ENDPOINT, HOLE, HOLE_ENDPOINT, Post
from fakes import World, failed, moment_of, statements, want
from structlog.testing import capture_logs

from tracker.model import Delivery
from tracker.store import endpoints

pytestmark = pytest.mark.anyio


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
