"""Forgetting what is old: walks from where the last walk ended, and once a day from the beginning.

What is passed over the first time (a message is still on its way, somebody registered late) is found on the next day.
"""

import time
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from functools import partial

from tracker.janitor.stride import Stride
from tracker.store.database import Connection, Database
from tracker.store.retention import START, Place, Sweep, ended

FROM_THE_BEGINNING_EVERY = timedelta(days=1)
_TASKS_AT_A_LOOK = 500


class Broom:
    """One kind of sweep, and how far it has come."""

    def __init__(self, database: Database, sweep: Sweep) -> None:
        self._database = database
        self._sweep = sweep
        self._stride = Stride()
        self._place = START
        self._began_at: datetime | None = None

    async def sweep(self, *, ended_before: datetime, now: datetime) -> int:
        """Forget what belongs to tasks that ended before a moment; returns how many rows that were."""
        if self._began_at is None or now - self._began_at >= FROM_THE_BEGINNING_EVERY:
            self._place, self._began_at = START, now
        forgotten = 0
        while places := await self._look(ended_before):
            keys = [place.key for place in places]
            forgotten += await self._forget(await self._find(keys), ended_before)
            self._place = places[-1]
        return forgotten

    async def _look(self, ended_before: datetime) -> Sequence[Place]:
        return await self._database.read(partial(ended, after=self._place, before=ended_before, limit=_TASKS_AT_A_LOOK))

    async def _find(self, task_keys: Collection[int]) -> Sequence[int]:
        return await self._database.read(lambda connection: self._sweep.find(connection, task_keys))

    async def _forget(self, found: Collection[int], ended_before: datetime) -> int:
        left, forgotten = sorted(found), 0
        while left:
            some, left = left[: self._stride.rows], left[self._stride.rows :]
            forgotten += await strode(
                self._database, self._stride, partial(self._sweep.forget, keys=some, ended_before=ended_before)
            )
        return forgotten


async def strode(database: Database, stride: Stride, step: Callable[[Connection], int]) -> int:
    """Write one step, and let the stride learn how long it held up the writer; returns what the step did."""

    def timed(connection: Connection) -> tuple[int, float]:
        started = time.perf_counter()
        return step(connection), time.perf_counter() - started

    done, seconds = await database.write(timed)
    stride.took(done, seconds)
    return done
