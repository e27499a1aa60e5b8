"""Claimed deliveries are attempted in their turns or given back, each once, however it ends."""

import asyncio
from dataclasses import dataclass, field

import pytest
from clocks import until
from couriers import out_to

from tracker.config import CallbackSettings
from tracker.courier.claims import Claimed
from tracker.courier.queue import Queue
from tracker.model import Delivery

pytestmark = pytest.mark.anyio


def claimed(*keys: int, endpoint: str = "e") -> list[Claimed]:
    return [Claimed(delivery=out_to(endpoint, key), secrets=(), is_probe=False) for key in keys]


@dataclass
class Office:
    """A queue whose attempts end when they are told to."""

    most: int = 64
    cancelled_within: int | None = None
    """The key of one in whose attempt something is cancelled that it waits for, and not itself."""
    now: float = 0.0
    begun: list[int] = field(default_factory=list)
    given_back: list[int] = field(default_factory=list)
    interrupted: list[int] = field(default_factory=list)
    """Those of them that may have been sent."""
    too_slow: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.end, self.written = asyncio.Event(), asyncio.Event()
        self.written.set()
        self.queue = Queue(
            CallbackSettings(max_in_flight=self.most, max_in_flight_per_endpoint=1),
            lambda: self.now,
            attempt=self.attempt,
            give_back=self.give_back,
            too_slow=self.too_slow.append,
        )

    async def attempt(self, entry: Claimed) -> None:
        self.begun.append(entry.delivery.key)
        if entry.delivery.key == self.cancelled_within:
            raise asyncio.CancelledError
        await self.end.wait()

    async def give_back(self, *claimed: Delivery, begun: bool = False) -> None:
        self.given_back += [delivery.key for delivery in claimed]
        self.interrupted += [delivery.key for delivery in claimed if begun]
        await self.written.wait()

    async def work(self, entries: list[Claimed]) -> None:
        async with self.queue.working() as group:
            self.queue.put(group, entries)


async def test_they_are_attempted_one_after_the_other_and_none_is_given_back() -> None:
    office = Office()
    working = asyncio.create_task(office.work([*claimed(1, 2, 3), *claimed(4, endpoint="f")]))
    await until(lambda: office.begun == [1, 4])

    office.end.set()
    await working

    assert office.begun == [1, 4, 2, 3]
    assert office.given_back == []


async def test_when_cancelled_all_are_given_back_once_those_under_way_and_those_that_wait() -> None:
    office = Office(most=2)
    working = asyncio.create_task(office.work([*claimed(1, 2), *claimed(3, endpoint="f"), *claimed(4, endpoint="g")]))
    await until(lambda: office.begun == [1, 3])

    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working

    assert sorted(office.given_back) == [1, 2, 3, 4]
    assert office.begun == [1, 3]
    assert sorted(office.interrupted) == [1, 3]


async def test_when_stopped_what_is_under_way_comes_to_its_end_and_what_waits_is_given_back_unsent() -> None:
    office = Office(most=2)
    working = asyncio.create_task(office.work([*claimed(1, 2), *claimed(3, endpoint="f"), *claimed(4, endpoint="g")]))
    await until(lambda: office.begun == [1, 3])

    office.queue.stop()
    office.end.set()
    await working

    assert office.begun == [1, 3]
    assert sorted(office.given_back) == [2, 4]
    assert office.interrupted == []


async def test_one_that_is_called_as_all_are_cancelled_is_given_back() -> None:
    """Its task is cancelled before its first step, and does nothing itself."""
    office = Office()
    working = asyncio.create_task(office.work(claimed(1, 2, 3, 4)))
    await until(lambda: office.begun == [1])

    # First whoever waits for all of them is woken, then the attempt that ends.
    asyncio.get_running_loop().call_soon(working.cancel)
    office.end.set()
    with pytest.raises(asyncio.CancelledError):
        await working

    assert sorted([*office.begun, *office.given_back]) == [1, 2, 3, 4]


async def test_one_that_is_just_being_given_back_as_all_are_cancelled_is_given_back_once() -> None:
    office = Office(most=1)
    working = asyncio.create_task(office.work([*claimed(1), *claimed(2, endpoint="f")]))
    await until(lambda: office.begun == [1])
    office.written.clear()
    office.now = 60.0
    office.end.set()
    await until(lambda: office.given_back == [2])

    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working

    assert office.given_back == [2]


async def test_one_in_which_something_is_cancelled_is_given_back_and_the_others_go_on() -> None:
    office = Office(most=1, cancelled_within=1)
    office.end.set()

    await office.work([*claimed(1, 2), *claimed(3, endpoint="f")])

    assert sorted(office.begun) == [1, 2, 3]
    assert office.given_back == [1]


async def test_it_works_again_after_it_was_cancelled() -> None:
    office = Office(most=1)
    working = asyncio.create_task(office.work(claimed(1, 2)))
    await until(lambda: office.begun == [1])
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working

    office.end.set()
    await office.work(claimed(3, 4))

    assert office.begun == [1, 3, 4]


async def test_who_waits_too_long_for_its_endpoint_is_given_back_and_that_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tracker.courier.queue._LONGEST_QUEUE", 0.01)
    office = Office()
    working = asyncio.create_task(office.work(claimed(1, 2, 3)))
    await until(lambda: office.begun == [1])

    office.now = 0.02
    await until(lambda: office.given_back == [2, 3])

    assert office.too_slow == ["e", "e"]
    office.end.set()
    await working
    assert office.begun == [1]


async def test_who_waits_so_long_that_its_claim_might_run_out_is_given_back() -> None:
    office = Office(most=1)
    working = asyncio.create_task(office.work([*claimed(1), *claimed(2, endpoint="f")]))
    await until(lambda: office.begun == [1])

    office.now = 60.0
    office.end.set()
    await working

    assert (office.begun, office.given_back) == ([1], [2])
