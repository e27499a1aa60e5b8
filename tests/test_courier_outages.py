"""The courier without its database, and without time: no outcome is forgotten."""

import asyncio
from collections.abc import Sequence
from typing import TypeVar

import pytest
from clocks import until
from couriers import GOOD, HOLE, HOLE_ENDPOINT, Post
from fakes import FlakyDatabase, delivered
from structlog.testing import capture_logs

from tracker.model import Delivery, Outcome
from tracker.store.database import Work

pytestmark = pytest.mark.anyio

T = TypeVar("T")


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
