"""How soon a receiver that was down for hours has everything, and how gently it is asked meanwhile."""

import asyncio
import random
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bench.couriers import delivering, running
from bench.ends import Ends
from bench.outbox import empty_database
from bench.receivers import Arrival, Manners, Receivers
from bench.schedules import THEIRS, Recovery, recover
from bench.table import Row
from tracker.config import CallbackSettings
from tracker.courier import Courier
from tracker.store.database import Database

_SEEDS = (1, 2, 3)
_MESSAGES = 5000
_HOURS = 6.0
_STEP = 15.0
"""Seconds by which the clock is moved during the outage."""
_LOOK_AROUND = 0.005
"""What the courier gets of real time for each second that passes after the recovery."""
_MANNERS = Manners(slowest=0.02)
_SETTINGS = CallbackSettings()
_LONGEST_DRAIN = 240.0
_BEGAN = datetime.fromisoformat("2026-11-22T08:00:00+00:00")


class SkippingClock:
    """Goes as fast as any other, and jumps ahead when told to."""

    def __init__(self) -> None:
        self._ahead = -time.monotonic()

    def __call__(self) -> datetime:
        """What time it is."""
        return _BEGAN + timedelta(seconds=self.timer())

    def timer(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() + self._ahead

    def skip(self, seconds: float) -> None:
        """Jump ahead."""
        self._ahead += seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """One outage and its end."""

    waited: float
    """Seconds from the recovery to the first 2xx, on the clock that skips."""
    took: float
    """Seconds from the first 2xx to the last, in real time."""
    most_at_once: int
    """Requests in the receiver's hand at the same moment, at any time."""
    requests: int
    """How many it got before the first 2xx."""
    repeats: int
    """How many it got although it had said 2xx to the same message."""
    missing: int


def run() -> Iterable[Row]:
    """An outage of six hours, with several seeds."""
    return _rows(_SEEDS)


def brief() -> Iterable[Row]:
    """The same with one."""
    return _rows(_SEEDS[:1])


def _rows(seeds: Sequence[int]) -> Iterable[Row]:
    ours = [measure(seed) for seed in seeds]
    theirs = [_theirs(seed) for seed in seeds]
    yield _emptying(ours, theirs)
    yield _asking(ours, theirs)
    most = max(one.most_at_once for one in ours)
    yield Row(
        what="requests at once, counted by the receiver",
        ours=f"{most}",
        against=f"max_in_flight_per_endpoint {_SETTINGS.max_in_flight_per_endpoint}",
        ratio=most / _SETTINGS.max_in_flight_per_endpoint,
        at_most=1.0,
    )


def _emptying(ours: Sequence[Drained], theirs: Sequence[dict[str, Recovery]]) -> Row:
    best = [min(one.empty_after for one in named.values()) for named in theirs]
    empty = [float("inf") if one.missing else one.waited + one.took for one in ours]
    ratios = [mine / other for mine, other in zip(empty, best, strict=True)]
    drain = statistics.median(one.took for one in ours)
    return Row(
        what=f"from recovery to an empty backlog of {_MESSAGES}, after {_HOURS:g} h",
        ours=f"{statistics.median(empty):.0f} s, {drain:.0f} s of it after the first 2xx",
        against="; ".join(_described(name, recovery) for name, recovery in theirs[0].items()),
        ratio=statistics.median(ratios),
        spread=f"{min(ratios):.3f}-{max(ratios):.3f}",
        at_most=0.1,
    )


def _described(name: str, recovery: Recovery) -> str:
    if recovery.dead:
        return f"{name} {100 * recovery.dead / _MESSAGES:.0f} % dead, the others {recovery.last_after:.0f} s"
    return f"{name} {recovery.last_after:.0f} s"


def _asking(ours: Sequence[Drained], theirs: Sequence[dict[str, Recovery]]) -> Row:
    fewest = [min(one.requests for one in named.values()) for named in theirs]
    ratios = [mine.requests / other for mine, other in zip(ours, fewest, strict=True)]
    return Row(
        what="requests to the receiver while it was down",
        ours=f"{statistics.median(one.requests for one in ours):.0f}",
        against="; ".join(f"{name} {recovery.requests}" for name, recovery in theirs[0].items()),
        ratio=statistics.median(ratios),
        spread=f"{min(ratios):.4f}-{max(ratios):.4f}",
        at_most=0.1,
    )


def _theirs(seed: int) -> dict[str, Recovery]:
    dice = random.Random(seed).random  # noqa: S311 - a simulation
    outage = _HOURS * 3600
    arrivals = [outage * number / _MESSAGES for number in range(_MESSAGES)]
    return {one.name: recover(one, arrivals, up_at=outage, dice=dice) for one in THEIRS}


def measure(seed: int, *, messages: int = _MESSAGES, hours: float = _HOURS) -> Drained:
    """One outage, on a database of its own."""
    with empty_database("sqlite") as url, Receivers(seed) as receivers:
        database = Database(url)
        outage = Outage(database, receivers, seed)
        drained = asyncio.run(outage.run(messages, hours * 3600))
        database.close()
    print(f"outage {seed}: {drained}", file=sys.stderr)
    return drained


class Outage:
    """A receiver goes down, messages for it pile up, and it comes back."""

    def __init__(self, database: Database, receivers: Receivers, seed: int) -> None:
        self._database = database
        self._receivers = receivers
        self._dice = random.Random(seed)  # noqa: S311 - a simulation
        self._clock = SkippingClock()

    async def run(self, messages: int, seconds: float) -> Drained:
        """All of it."""
        (url,) = self._receivers.open([_MANNERS])
        ends = Ends(self._database)
        keys = ends.register([f"{url}/hook"] * messages, self._clock())
        self._receivers.go_down()
        courier_of = delivering(
            self._database, _SETTINGS, clock=self._clock, timer=self._clock.timer, dice=self._dice.random
        )
        async with courier_of as courier:
            await self._pile_up(courier, ends, keys, round(seconds / _STEP))
            self._receivers.come_up()
            recovered_at = self._clock()
            async with running(courier):
                await self._first_success(courier)
                waited = self._clock() - recovered_at
                await asyncio.to_thread(self._receivers.wait_for, messages, _LONGEST_DRAIN)
        return _drained(self._receivers, messages, waited.total_seconds())

    async def _pile_up(self, courier: Courier, ends: Ends, keys: Sequence[int], steps: int) -> None:
        for step in range(steps):
            some = keys[len(keys) * step // steps : len(keys) * (step + 1) // steps]
            if some:
                await ends.end(some, self._clock())
            await courier.run_once()
            self._clock.skip(_STEP)

    async def _first_success(self, courier: Courier) -> None:
        success = asyncio.create_task(asyncio.to_thread(self._receivers.wait_for, 1, _LONGEST_DRAIN))
        while not success.done():
            self._clock.skip(1)
            courier.wake()
            await asyncio.sleep(_LOOK_AROUND)


def _drained(receivers: Receivers, messages: int, waited: float) -> Drained:
    arrivals = receivers.arrivals()
    taken = [arrival for arrival in arrivals if _is_taken(arrival)]
    ids = {arrival.message_id for arrival in taken}
    return Drained(
        waited=waited,
        took=taken[-1].answered_at - taken[0].answered_at if taken else float("inf"),
        most_at_once=receivers.most_at_once,
        requests=len(arrivals) - len(taken),
        repeats=len(taken) - len(ids),
        missing=messages - len(ids),
    )


def _is_taken(arrival: Arrival) -> bool:
    return 200 <= arrival.status < 300  # noqa: PLR2004 - what HTTP calls success
