"""Claimed deliveries, each attempted when its turn has come, or given back."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from tracker.config import CallbackSettings
from tracker.courier.claims import Claimed
from tracker.courier.turns import Turns
from tracker.courier.writing import CLAIM_MARGIN
from tracker.model import Delivery

_LONGEST_QUEUE = 1.0
"""Seconds that one waits for others at its endpoint, or half as many more; who claimed it took that for faster."""
_LONGEST_WAIT = CLAIM_MARGIN.total_seconds() / 2
"""Seconds from a claim to its attempt: after that the claim might run out before the outcome is written."""


class GiveBack(Protocol):
    """Makes deliveries due again that were claimed; those that are `begun` may have been sent."""

    def __call__(self, *claimed: Delivery, begun: bool = False) -> Coroutine[Any, Any, None]:
        """Never raises."""
        ...


class Queue:
    """Has no task for what waits; so `attempt` is only called for those whose turn it is."""

    def __init__(
        self,
        settings: CallbackSettings,
        timer: Callable[[], float],
        *,
        attempt: Callable[[Claimed], Coroutine[Any, Any, None]],
        give_back: GiveBack,
        too_slow: Callable[[str], None],
    ) -> None:
        """`too_slow` hears of endpoints at which somebody waited too long."""
        self._settings = settings
        self._timer = timer
        self._attempt = attempt
        self._give_back = give_back
        self._too_slow = too_slow
        self._turns = self._new_turns()
        self._unbegun: dict[tuple[int, int], tuple[Delivery, float]] = {}
        """By key and attempt, what was neither attempted nor given back, and since when."""
        self._is_ending = False
        """Whether nobody is to be called any more."""
        self._sending_away: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def working(self) -> AsyncIterator[asyncio.TaskGroup]:
        """Attempts are made meanwhile, in this group; when this is over all are, and the rest is given back."""
        self._is_ending = False
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    yield group
                except BaseException:
                    self._is_ending = True
                    raise
        finally:
            if self._sending_away:
                self._sending_away.cancel()
                self._sending_away = None
            # Also who was called, and cancelled before the first step.
            left = [delivery for delivery, _ in self._unbegun.values()]
            self._unbegun.clear()
            self._turns = self._new_turns()
            if left:
                await self._give_back(*left)

    def put(self, group: asyncio.TaskGroup, claimed: Sequence[Claimed]) -> None:
        """Have these attempted, each once."""
        now = self._timer()
        for entry in claimed:
            self._unbegun[_number(entry.delivery)] = entry.delivery, now
            self._turns.wait(entry.delivery.endpoint, entry, now)
        self._call(group)

    def stop(self) -> None:
        """Begin no more attempts: what waits for its turn is given back when those under way are over."""
        self._is_ending = True

    def _new_turns(self) -> Turns[Claimed]:
        return Turns(self._settings.max_in_flight, self._settings.max_in_flight_per_endpoint)

    def _call(self, group: asyncio.TaskGroup) -> None:
        while called := self._next():
            group.create_task(self._work(group, called))
        if self._turns.waiting and not self._sending_away:
            loop = asyncio.get_running_loop()
            self._sending_away = loop.call_later(_LONGEST_QUEUE / 2, self._send_away, group)

    def _send_away(self, group: asyncio.TaskGroup) -> None:
        self._sending_away = None
        if self._is_ending:
            return
        for late in self._turns.take_late(self._timer() - _LONGEST_QUEUE):
            self._too_slow(late.delivery.endpoint)
            group.create_task(self._return(late.delivery))
        self._call(group)

    async def _return(self, delivery: Delivery) -> None:
        del self._unbegun[_number(delivery)]
        await self._give_back(delivery)

    def _next(self) -> Claimed | None:
        return None if self._is_ending else self._turns.next(self._timer())

    async def _work(self, group: asyncio.TaskGroup, first: Claimed) -> None:
        """One attempt, and then those whose turns come when it is over: a task for each costs as much as signing."""
        called: Claimed | None = first
        try:
            while called:
                await self._begin(called)
                called = self._next()
        finally:
            self._call(group)

    async def _begin(self, entry: Claimed) -> None:
        delivery = entry.delivery
        _, since = self._unbegun.pop(_number(delivery))
        is_in_time = self._timer() - since < _LONGEST_WAIT
        try:
            await (self._attempt(entry) if is_in_time else self._give_back(delivery))
        except asyncio.CancelledError:
            # Not where only something that it waited for was cancelled: that ends nobody else.
            task = asyncio.current_task()
            self._is_ending |= task is not None and task.cancelling() > 0
            if is_in_time:
                await self._give_back(delivery, begun=True)
            raise
        finally:
            self._turns.give_back(delivery.endpoint)


def _number(delivery: Delivery) -> tuple[int, int]:
    return delivery.key, delivery.attempt
