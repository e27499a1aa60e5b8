"""Watching before adopting: where many tasks wait for a daemon that is alone, they are read first and written later."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial

import structlog

from tracker.clock import Clock
from tracker.poller.handing import Handing
from tracker.poller.lane import Lane
from tracker.store import ahead
from tracker.store.database import Database
from tracker.store.writer import Each

log = structlog.get_logger()

_AT_ONCE = 1000
"""Read, and later adopted: some ten milliseconds, for which registrations wait."""
_READS_IN_A_ROW = 8
_ADOPTIONS_IN_A_ROW = 4
"""Before newcomers are looked for again, which costs as much as adopting a hundred."""
_LONGEST_REST = 0.1
"""Seconds: what is registered here meanwhile is handed to its lane afterwards. After as long no other batch follows."""


@dataclass(slots=True, kw_only=True)
class _Stretch:
    """The tasks of one upstream that were free when somebody looked."""

    top: int
    floor: int
    """What is not above this key is still to be adopted; at first that is all."""
    read_up_to: int = 0
    is_read: bool = False
    keys: list[list[int]] = field(default_factory=list)
    """What is watched and not adopted yet, in batches, the highest last."""
    new: set[int] = field(default_factory=set)
    """Those of them that had no history when they were read."""


class Ahead:
    """Hands free tasks to their lanes, and adopts them afterwards, at half the pace it could.

    From the highest key down: tasks that are committed late mostly have keys just below that, and are found where all
    is adopted.
    """

    def __init__(
        self,
        lanes: Mapping[str, Lane],
        database: Database,
        handing: Handing,
        clock: Clock,
        *,
        timer: Callable[[], float],
    ) -> None:
        self._lanes = lanes
        self._database = database
        self._handing = handing
        self._clock = clock
        self._timer = timer
        self._stretches: dict[str, _Stretch] = {}

    async def begin(self, upstream: str, *, above: int) -> None:
        """Watch all that is free of an upstream from now on; what is not above a key is adopted."""
        if upstream in self._stretches:
            return
        last = await self._database.read_as_one(partial(ahead.last, upstream=upstream))
        if last is not None:
            self._stretches[upstream] = _Stretch(top=last, floor=last, read_up_to=above)

    def floor(self, upstream: str) -> int:
        """The key up to which free tasks of an upstream are seen to here."""
        stretch = self._stretches.get(upstream)
        return 0 if stretch is None else stretch.floor

    def top(self, upstream: str) -> int:
        """The key up to which they were; what has been adopted since may be dear to walk over."""
        stretch = self._stretches.get(upstream)
        return 0 if stretch is None else stretch.top

    def unadopted(self, upstream: str) -> int:
        """How many tasks are watched and not adopted yet, at most: some had news, and were adopted with these."""
        stretch = self._stretches.get(upstream)
        return 0 if stretch is None else sum(map(len, stretch.keys))

    def clear(self) -> None:
        """Forget it all: the lanes are empty."""
        self._stretches.clear()

    async def step(self, me: str, *, is_alone: bool) -> int:
        """Read on, or adopt some of what was read; returns how many tasks that was.

        What is not read when others come is left to whoever adopts it.
        """
        for upstream, stretch in [*self._stretches.items()]:
            stretch.is_read |= not is_alone
            if upstream not in self._lanes or (stretch.is_read and not stretch.keys):
                del self._stretches[upstream]
            elif not stretch.is_read:
                return await self._read(upstream, stretch, me)
        for upstream, stretch in self._stretches.items():
            return await self._adopt_some(upstream, stretch, me)
        return 0

    async def _read(self, upstream: str, stretch: _Stretch, me: str) -> int:
        found = 0
        for _ in range(_READS_IN_A_ROW):
            read = partial(ahead.waiting, upstream=upstream, above=stretch.read_up_to, up_to=stretch.top)
            tasks = await self._database.read_as_one(partial(read, limit=_AT_ONCE))
            if self._stretches.get(upstream) is not stretch:
                return found  # we started anew meanwhile
            await self._handing.begin(tasks, me, is_new=False)
            found += len(tasks)
            keys = [task.key for task in tasks]
            stretch.new.update(task.key for task in tasks if not task.has_history)
            if keys:
                stretch.keys.append(keys)
            stretch.is_read = len(tasks) < _AT_ONCE
            if stretch.is_read:
                log.info("tasks_watched_unadopted", upstream=upstream, tasks=self.unadopted(upstream))
                break
            stretch.read_up_to = keys[-1]
        return max(found, 1)

    async def _adopt_some(self, upstream: str, stretch: _Stretch, me: str) -> int:
        adopted, began = 0, self._timer()
        for _ in range(min(_ADOPTIONS_IN_A_ROW, len(stretch.keys))):
            adopted += await self._adopt(upstream, stretch, me)
            if self._stretches.get(upstream) is not stretch or self._timer() - began > _LONGEST_REST:
                break
        return adopted

    async def _adopt(self, upstream: str, stretch: _Stretch, me: str) -> int:
        """Write a batch, and rest for as long as that took; who was let go of meanwhile is not ours to adopt."""
        schedule = self._lanes[upstream].schedule
        keys = stretch.keys[-1]
        ours = [key for key in keys if key in schedule]
        began = self._timer()
        settled = await self._settle(ours, stretch.new.intersection(ours), me)
        if self._stretches.get(upstream) is not stretch:
            return 0  # we started anew meanwhile
        stretch.keys.pop()
        stretch.floor = min(stretch.floor, keys[0] - 1)
        # What is out may just become ours by what it brings, if others let go of it again.
        later = [*settled.held, *filter(schedule.is_out, settled.lost)]
        if later:
            stretch.keys.insert(0, later)
        stretch.new.difference_update({*ours}.difference(later) if stretch.new else ())
        for key in settled.lost:
            if not schedule.is_out(key):
                schedule.remove(key)
        await asyncio.sleep(min(self._timer() - began, _LONGEST_REST))
        return len(keys) - len(later)

    async def _settle(self, keys: list[int], new: Collection[int], me: str) -> ahead.Settled:
        batch = ahead.Batch(me=me, keys=keys, new=sorted(new), now=self._clock())
        return await self._database.write_beside(Each(ahead.adopt_each, batch, len(keys)))
