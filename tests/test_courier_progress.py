"""The courier and messages about tasks that go on: three tries, one at a time, and a quiet end."""

from datetime import timedelta

import pytest
from couriers import Post
from fakes import World, failed, our_fault, snap, want
from structlog.testing import capture_logs

from tracker.model import Status

pytestmark = pytest.mark.anyio

EVERYTHING = ("ended", "progress", "needs_input")


@pytest.fixture
def world(world: World) -> World:
    world.watched(want(events=EVERYTHING))
    return world


def tell(world: World, progress: int) -> None:
    world.record({world.key(): snap(progress=progress)})


async def wear_out(post: Post) -> list[float | None]:
    """Fail until nothing is tried any more; returns how long each next attempt is waited for."""
    waits = []
    while post.statuses() == ["pending"]:
        assert await post.courier.run_once() == 1
        waits.append(post.next_attempt_in())
        post.world.clock.advance(waits[-1] or 0)
    return waits


class TestTries:
    async def test_progress_is_tried_three_times_and_its_end_is_no_alarm(self, post: Post) -> None:
        tell(post.world, 10)
        post.sender.script.extend([failed()] * 9)

        with capture_logs() as logs:
            waits = await wear_out(post)

        assert waits == [1, 5, None]
        assert post.statuses() == ["dead"]
        assert [(line["event"], line["log_level"]) for line in logs if line["event"].startswith("delivery")] == [
            ("delivery_failed", "warning"),
            ("delivery_failed", "warning"),
            ("delivery_dead", "warning"),
        ]
        assert post.world.history()[-1] == "delivery_dead"
        assert 'tracker_deliveries_total{outcome="dead"} 1.0' in post.metrics.exposition()[0].decode()

    async def test_a_question_outlasts_a_restart_of_its_receiver_and_its_loss_is_an_error(self, post: Post) -> None:
        post.world.record({post.world.key(): snap(Status.NEEDS_INPUT)})
        post.sender.script.extend([failed()] * 9)

        with capture_logs() as logs:
            assert await wear_out(post) == [5, 300, None]

        assert [line["log_level"] for line in logs if line["event"] == "delivery_dead"] == ["error"]

    async def test_ends_go_by_the_schedule_as_ever(self, world: World) -> None:
        post = Post(world, {"retry_schedule": "0s,7s,8s,9s,10s"})
        world.end()
        post.sender.script.extend([failed()] * 9)

        with capture_logs() as logs:
            assert await wear_out(post) == [7, 8, 9, 10, None]

        assert [line["log_level"] for line in logs if line["event"] == "delivery_dead"] == ["error"]

    @pytest.mark.parametrize(("asked", "wait"), [(30, 30), (60, 60), (61, None)])
    async def test_who_asks_for_more_than_a_minute_is_not_told(self, world: World, asked: float, wait: float) -> None:
        post = Post(world, dice=0.0)
        tell(world, 10)
        post.sender.script.append(failed(429, retry_after=timedelta(seconds=asked)))

        await post.courier.run_once()

        assert post.next_attempt_in() == wait
        assert post.statuses() == ["dead" if wait is None else "pending"]

    async def test_our_own_faults_spend_no_try(self, post: Post) -> None:
        tell(post.world, 10)
        post.sender.script.extend([our_fault()] * 4 + [failed()] * 9)

        assert await wear_out(post) == [10, 10, 10, 10, 1, 5, None]


class TestNews:
    async def test_a_failure_that_a_newer_message_outdates_is_told_as_that(self, post: Post) -> None:
        tell(post.world, 10)
        send = post.sender.send

        async def send_while_the_task_goes_on(*given: object) -> object:
            post.world.clock.advance(1)
            tell(post.world, 20)
            post.sender.send = send  # type: ignore[method-assign]
            return await send(*given)  # type: ignore[arg-type]

        post.sender.send = send_while_the_task_goes_on  # type: ignore[assignment,method-assign]
        post.sender.script.append(failed())

        with capture_logs() as logs:
            assert await post.courier.run_once() == 2

        assert post.statuses() == ["superseded", "delivered"]
        assert [line["event"] for line in logs] == ["delivery_superseded", "delivered"]
        assert logs[0]["log_level"] == "info"
        assert 'tracker_deliveries_total{outcome="failed"} 1.0' in post.metrics.exposition()[0].decode()
        assert 'tracker_deliveries_total{outcome="dead"} 0.0' in post.metrics.exposition()[0].decode()

    async def test_what_comes_too_fast_is_told_half_a_second_later_and_what_it_overtakes_never(
        self, post: Post
    ) -> None:
        told = 0
        for progress in range(10, 60):
            tell(post.world, progress)
            told += await post.courier.run_once()
            post.world.clock.advance(0.1)

        assert told == 10, "in five seconds"
        steps = [sent.body.partition('"progress":')[2][:2] for sent in post.sender.sent]
        assert steps == ["10", "15", "20", "25", "30", "35", "40", "45", "50", "55"]

    async def test_the_end_is_told_at_once_whatever_was_told_just_now(self, post: Post) -> None:
        tell(post.world, 10)
        await post.courier.run_once()
        tell(post.world, 20)
        post.world.end()

        assert await post.courier.run_once() == 1
        assert post.statuses() == ["delivered", "superseded", "delivered"]
