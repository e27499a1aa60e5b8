"""Outcomes that are written together: none is lost with another, none is forgotten when time runs out."""

import asyncio
from collections.abc import Sequence

import pytest
from clocks import until
from couriers import courier
from fakes import FakeSender, FlakyDatabase, World, statements, want
from structlog.testing import capture_logs

from tracker.courier import Courier
from tracker.errors import UnavailableError
from tracker.model import DeliveryStatus
from tracker.store import outcomes
from tracker.store.database import Connection
from tracker.store.outcomes import Settlement

pytestmark = pytest.mark.anyio


def urls(number: int) -> list[str]:
    return [f"https://h{each}.example/" for each in range(number)]


def pending(world: World, number: int) -> list[int]:
    return world.pending(*(want(url, url=url) for url in urls(number)))


def waits(one: Courier) -> int:
    return len(one._recorder._waiting)  # noqa: SLF001 - what is not written yet


def spoil(monkeypatch: pytest.MonkeyPatch, bad: int) -> None:
    """A defect of ours that the outcome of one delivery meets, after something was written."""
    settle = outcomes.settle

    def settle_most(connection: Connection, settlements: Sequence[Settlement]) -> list[DeliveryStatus | None]:
        written = settle(connection, settlements)
        if any(one.delivery.key == bad for one in settlements):
            raise ZeroDivisionError
        return written

    monkeypatch.setattr("tracker.courier.settling.outcomes.settle", settle_most)


async def test_many_are_written_in_one_transaction(world: World) -> None:
    pending(world, 9)

    with statements() as sent:
        assert await courier(world, FakeSender()).run_once() == 9

    assert world.column("SELECT status FROM delivery") == ["delivered"] * 9
    assert len([one for one in sent if "UPDATE task SET sequence" in one]) == 1


async def test_one_that_cannot_be_written_takes_no_other_with_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, bad, _ = pending(world, 3)
    spoil(monkeypatch, bad)

    with capture_logs() as logs:
        assert await courier(world, FakeSender()).run_once() == 3

    assert world.column("SELECT status FROM delivery ORDER BY key") == ["delivered", "pending", "delivered"]
    assert world.attempts() == [(1, "delivered"), (1, "sending"), (1, "delivered")]
    assert [line["event"] for line in logs].count("delivery_failed_inside") == 1


async def test_one_that_cannot_be_written_does_not_end_the_claims(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They share a transaction where they meet."""
    bad, *_ = pending(world, 6)
    spoil(monkeypatch, bad)
    sender = FakeSender()
    ours = courier(world, sender, {"max_in_flight": 4})

    with capture_logs():
        async with asyncio.TaskGroup() as group:
            group.create_task(ours.run())
            await until(lambda: len(sender.sent) == 6)
            ours.stop()

    assert world.column("SELECT status FROM delivery ORDER BY key") == ["pending", *["delivered"] * 5]


async def test_out_of_time_what_is_known_is_written(world: World) -> None:
    """The receivers have it: given back, they would get it again."""
    pending(world, 3)
    ours = courier(world, FakeSender())
    running = asyncio.create_task(ours.run())
    await until(lambda: waits(ours) == 3)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert world.column("SELECT status FROM delivery") == ["delivered"] * 3


async def test_out_of_time_while_the_database_is_away_the_claims_run_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.courier.recorder._FAREWELL", 0.01)
    pending(world, 1)
    ours = courier(world, FakeSender())
    running = asyncio.create_task(ours.run())
    await until(lambda: waits(ours) == 1)
    assert isinstance(world.database, FlakyDatabase)
    world.database.away = 9

    running.cancel()
    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await running

    assert "outcomes_not_written" in [line["event"] for line in logs]
    assert world.attempts() == [(1, "sending")]


class HeldError(Exception):
    """What a driver says of a row that somebody else has locked."""

    sqlstate = "55P03"

    @property
    def orig(self) -> Exception:
        return self


async def test_one_whose_row_is_held_holds_up_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long somebody holds it."""
    monkeypatch.setattr("tracker.courier.writing._AGAIN_AFTER", 0.01)
    _, held, _ = pending(world, 3)
    is_held, settle = True, outcomes.settle

    def settle_most(connection: Connection, settlements: Sequence[Settlement]) -> list[DeliveryStatus | None]:
        if is_held and any(one.delivery.key == held for one in settlements):
            raise UnavailableError("somebody holds it") from HeldError()
        return settle(connection, settlements)

    monkeypatch.setattr("tracker.courier.settling.outcomes.settle", settle_most)
    ours = courier(world, FakeSender())

    def delivered() -> int:
        return world.column("SELECT status FROM delivery").count("delivered")

    with capture_logs():
        async with asyncio.TaskGroup() as group:
            group.create_task(ours.run())
            await until(lambda: delivered() == 2)
            is_held = False
            await until(lambda: delivered() == 3)
            ours.stop()
