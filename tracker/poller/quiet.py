"""Looks that brought no news, as most do: kept for a moment, and settled many at a time."""

import asyncio
from collections.abc import Callable

from tracker.poller.schedule import Watched

LONGEST_SECONDS = 0.01
"""How long one waits for others; looks are many intervals of this apart."""
MOST_TASKS = 64
"""As many are settled at once; more would hardly cost less for each."""

Settle = Callable[[list[Watched], int], None]
"""Puts tasks back that so many looks were about."""


class Quiet:
    """Gathers them. What settling costs apart from its tasks is more than one of them costs."""

    def __init__(self, settle: Settle, *, longest_seconds: float = LONGEST_SECONDS) -> None:
        self._settle = settle
        self._longest_seconds = longest_seconds
        self._tasks: list[Watched] = []
        self._looks = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, batch: list[Watched]) -> None:
        """Take in the tasks of one look; they are settled soon."""
        self._tasks += batch
        self._looks += 1
        if len(self._tasks) >= MOST_TASKS:
            self.settle()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._longest_seconds, self.settle)

    def settle(self) -> None:
        """Settle all there are, now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        tasks, looks, self._tasks, self._looks = self._tasks, self._looks, [], 0
        if tasks:
            self._settle(tasks, looks)
