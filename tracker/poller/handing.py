"""Handing tasks to their lanes, a few at a time: everybody else waits meanwhile."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from tracker.clock import Clock
from tracker.poller.lane import Lane
from tracker.poller.taking import grouped
from tracker.store.watching import Adopted

_SLICE = 200
"""Tasks that are handed to a lane before others get a turn: about a millisecond."""
_NEW_FOR = timedelta(seconds=10)
"""From its registration: older tasks were watched before, or are many, and need no look at once."""


class Handing:
    """From the database to the lanes."""

    def __init__(self, lanes: Mapping[str, Lane], clock: Clock, me: Callable[[], str]) -> None:
        self._lanes = lanes
        self._clock = clock
        self._me = me
        self._under_way: asyncio.Task[None] | None = None

    async def begin(self, tasks: Sequence[Adopted], me: str, *, is_new: bool) -> None:
        """Hand over tasks while other things are done; it comes after what was begun before."""
        await self.finish()
        self._under_way = asyncio.create_task(self.hand(tasks, me, is_new=is_new))

    async def finish(self) -> None:
        """Return when what was begun is done."""
        begun, self._under_way = self._under_way, None
        if begun is not None:
            await begun

    async def hand(self, tasks: Sequence[Adopted], me: str, *, is_new: bool) -> None:
        """Hand over tasks that are watched under this name."""
        new_since = self._clock() - _NEW_FOR if is_new else None
        for start in range(0, len(tasks), _SLICE):
            if self._me() != me:
                return  # others have them by now
            some = tasks[start : start + _SLICE]
            # Somebody may have asked for a look at one meanwhile.
            new = [task for task in some if task.key not in self._lanes[task.upstream].schedule]
            for (name, is_fresh), together in grouped(new, new_since=new_since).items():
                self._lanes[name].watch(*together, is_new=is_fresh)
                self._lanes[name].wake()
            await asyncio.sleep(0)
