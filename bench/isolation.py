"""How long healthy receivers wait for their messages while others misbehave, each in a way of its own."""

import asyncio
import math
import os
import random
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

from bench import memory
from bench.couriers import delivering, running
from bench.ends import Ends
from bench.hostile import HOSTILE
from bench.outbox import empty_database
from bench.receivers import Manners, Receivers
from bench.table import Row
from tracker import log
from tracker.clock import utc_now
from tracker.config import CallbackSettings
from tracker.courier import Courier
from tracker.store.database import Database

_SEED = 20_261_122
_SECONDS = 25.0
_ENDPOINTS = 100
_PER_SECOND = 0.12
"""Ends for each endpoint: 12 a second in all, few enough for a busy machine."""
_MANNERS = Manners(slowest=0.05)
_SETTINGS = CallbackSettings(timeout=timedelta(seconds=3))
"""A seventh of the default, so that in these seconds attempts pile up as they would in minutes."""
_WAITING = 10_000
"""Messages that are due for the black hole from the beginning."""
_NICENESS = 10
"""Of the hostile receivers: a flood takes the time that nobody else wants, as if it came from another machine."""
_GRACE = 20.0
_ALL_TRIED_WITHIN = 8.0
_HOLES = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Who misbehaves, and how much waits for each of them from the beginning."""

    name: str
    hostile: Sequence[str] = ()
    waiting: dict[str, int] = field(default_factory=dict)
    """By kind."""
    is_known: bool = True
    """Whether the courier has called everybody before; it has not when it has just been started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a crowd did to the others."""

    waits: Sequence[float]
    """Seconds from the end of a task to the answer of its healthy receiver; infinite where none came."""
    began_with: float
    """Megabytes after a quarter of the time."""
    peak: float
    """The most from then on."""
    cpu: float
    """Seconds of a core that the sender took."""

    @property
    def p95(self) -> float:
        """Of the waits, in seconds."""
        return self._quantile(0.95)

    def _quantile(self, share: float) -> float:
        return sorted(self.waits)[math.ceil(share * len(self.waits)) - 1]

    def __str__(self) -> str:
        late = sum(math.isinf(wait) for wait in self.waits)
        median, p95 = (1000 * self._quantile(share) for share in (0.5, 0.95))
        return (
            f"median {median:.0f} ms, p95 {p95:.0f} ms of {len(self.waits)}, {late} too late, "
            f"memory {self.began_with:.0f} to {self.peak:.0f} MB, {self.cpu:.1f} s of CPU"
        )


ALONE = Crowd(name="nobody else")
ALL_KINDS = Crowd(name="one of each kind", hostile=tuple(HOSTILE), waiting={"black hole": _WAITING})
HOLES = Crowd(name="many black holes", hostile=("black hole",) * _HOLES, waiting={"black hole": 100})
"""More than could fill every slot there is, and each with enough to do so again and again."""
NEW_HOLES = replace(HOLES, name="many black holes, just started", is_known=False)


def run() -> Iterable[Row]:
    """Two couriers side by side, so that whatever else the machine does happens to both: one has hostile receivers."""
    kinds = [side_by_side((ALONE, ALL_KINDS), _SEED + number) for number in range(3)]
    yield _waiting_row(f"beside {len(HOSTILE)} hostile ones", kinds, at_most=1.5)
    yield _memory_row([beside for _, beside in kinds])
    holes = [side_by_side((ALONE, HOLES), _SEED + number) for number in range(2)]
    yield _waiting_row(f"beside {_HOLES} black holes", holes, at_most=1.5)
    new = [side_by_side((ALONE, NEW_HOLES), _SEED)]
    yield _waiting_row(f"beside {_HOLES} black holes, just started", new)


def brief() -> Iterable[Row]:
    """One round of what matters most."""
    kinds = [side_by_side((ALONE, ALL_KINDS), _SEED)]
    yield _waiting_row(f"beside {len(HOSTILE)} hostile ones", kinds, at_most=1.5)
    yield _memory_row([beside for _, beside in kinds])


def side_by_side(crowds: Sequence[Crowd], seed: int) -> list[Measured]:
    """A process for each, which begin together."""
    context = get_context("spawn")
    together = context.Barrier(len(crowds))
    with ProcessPoolExecutor(len(crowds), context, initializer=_begin, initargs=(together,)) as pool:
        measured = list(pool.map(measure, crowds, [seed] * len(crowds)))
    for crowd, one in zip(crowds, measured, strict=True):
        print(f"{crowd.name}: {one}", file=sys.stderr)
    return measured


_together: Barrier | None = None
_NOWHERE = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for as long as the process lasts


def _begin(together: Barrier) -> None:
    """Settle down in a new process; lines are logged as the daemon logs them, and read by nobody."""
    global _together  # noqa: PLW0603 - what a process is told at its beginning
    _together = together
    log.configure(format="json", level="info", stream=_NOWHERE)


def _waiting_row(beside_whom: str, rounds: Sequence[Sequence[Measured]], *, at_most: float | None = None) -> Row:
    ratios = [beside.p95 / alone.p95 for alone, beside in rounds]
    alone, beside = (1000 * statistics.median(one.p95 for one in arm) for arm in zip(*rounds, strict=True))
    return Row(
        what=f"p95 from end to 2xx at receivers {beside_whom}",
        ours=f"{beside:.0f} ms",
        against=f"without them {alone:.0f} ms",
        ratio=statistics.median(ratios),
        spread=f"{min(ratios):.2f}-{max(ratios):.2f}",
        at_most=at_most,
    )


def _memory_row(measured: Sequence[Measured]) -> Row:
    ratios = [one.peak / one.began_with for one in measured]
    worst = max(measured, key=lambda one: one.peak / one.began_with)
    return Row(
        what="peak memory of the sender meanwhile",
        ours=f"{worst.peak:.0f} MB",
        against=f"after a quarter of the time {worst.began_with:.0f} MB",
        ratio=max(ratios),
        spread=f"{min(ratios):.2f}-{max(ratios):.2f}",
        at_most=1.1,
    )


def measure(crowd: Crowd, seed: int) -> Measured:
    """One run, on a database of its own."""
    with (
        empty_database("sqlite") as url,
        Receivers(seed) as healthy,
        Receivers(seed, niceness=_NICENESS) as hostile,
    ):
        good = healthy.open([_MANNERS] * (_ENDPOINTS - max(len(crowd.hostile), len(HOSTILE))))
        bad = dict(zip(hostile.open(crowd.hostile, network="127.0.2"), crowd.hostile, strict=True))
        return asyncio.run(_Run(Database(url), good, bad, crowd, seed).run(healthy))


class _Run:
    """Ends at a steady rate for everybody, in an order by chance."""

    def __init__(self, database: Database, good: Sequence[str], bad: dict[str, str], crowd: Crowd, seed: int) -> None:
        self._database = database
        self._ends = Ends(self._database)
        self._good = good
        self._is_known = crowd.is_known
        self._urls = [f"{url}/hook" for url in (*good, *bad)] * round(_SECONDS * _PER_SECOND)
        random.Random(seed).shuffle(self._urls)  # noqa: S311 - a simulation
        self._backlog = [f"{url}/hook" for url, kind in bad.items() for _ in range(crowd.waiting.get(kind, 0))]

    async def run(self, healthy: Receivers) -> Measured:
        """Measure, and close the database."""
        now = utc_now()
        keys = self._ends.register(self._urls, now)
        self._ends.end_now(self._ends.register(self._backlog, now), now)
        async with delivering(self._database, _SETTINGS) as courier:
            if self._is_known:
                async with running(courier):
                    known = await self._make_known(courier, healthy)
                    await _begin_together()
                    measured = await self._measure(courier, healthy, keys, known)
            else:
                await _begin_together()
                async with running(courier):
                    measured = await self._measure(courier, healthy, keys, 0)
        self._database.close()
        return measured

    async def _measure(self, courier: Courier, healthy: Receivers, keys: Sequence[int], known: int) -> Measured:
        expected = known + len(self._good) * round(_SECONDS * _PER_SECOND)
        cpu_before = time.process_time()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._end_all(keys, courier))
            began_with = await _after(_SECONDS / 4)
        if not await asyncio.to_thread(healthy.wait_for, expected, _GRACE):
            print(f"not all of {expected} arrived within {_GRACE:.0f} s", file=sys.stderr)
        waits = [one.answered_at - _moment(one.happened_at) for one in healthy.arrivals()[known:]]
        return Measured(
            waits=[*waits, *[math.inf] * (expected - known - len(waits))],
            began_with=began_with,
            peak=memory.peak(),
            cpu=time.process_time() - cpu_before,
        )

    async def _make_known(self, courier: Courier, healthy: Receivers) -> int:
        """A message for each that is healthy; the others are tried meanwhile."""
        now = utc_now()
        await self._ends.end(self._ends.register([f"{url}/hook" for url in self._good], now), now)
        courier.wake()
        await asyncio.sleep(_ALL_TRIED_WITHIN)
        if not await asyncio.to_thread(healthy.wait_for, len(self._good), _GRACE):
            raise AssertionError("the healthy receivers got nothing")
        return len(self._good)

    async def _end_all(self, keys: Sequence[int], courier: Courier) -> None:
        loop = asyncio.get_running_loop()
        began, began_at = loop.time(), utc_now()
        async with asyncio.TaskGroup() as group:
            for number, key in enumerate(keys):
                after = number * _SECONDS / len(keys)
                await asyncio.sleep(began + after - loop.time())
                # Counted from when it should have ended, so that a loop that lags behind hides nothing.
                group.create_task(self._end(key, began_at + timedelta(seconds=after), courier))

    async def _end(self, key: int, now: datetime, courier: Courier) -> None:
        await self._ends.end([key], now)
        courier.wake()


async def _begin_together() -> None:
    if _together:
        await asyncio.to_thread(_together.wait)


async def _after(seconds: float) -> float:
    await asyncio.sleep(seconds)
    memory.forget_peak()
    return memory.resident()


def _moment(written: str) -> float:
    return datetime.fromisoformat(written).timestamp()
