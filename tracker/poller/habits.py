"""What an upstream's tasks have taught: how long they take, by action and by the progress at hand."""

import math
from collections.abc import Iterable, Iterator
from datetime import datetime

from tracker.cadence import Bounds, Durations, Forecast, Tally, next_gap, surest, tempo
from tracker.model import Snapshot, Task
from tracker.poller.life import Life, bucket

_MOST_ACTIONS = 32
_ANY = ""
"""All actions together."""
_SUBMITTED, _STARTED = -2, -1
"""Clocks, beside one for each fifth of the way."""
_SOONEST, _LATEST = 4, 32
"""Ends after which what they say together is worked out anew: soon while there are few."""
_ADJUSTMENT = 0.03
_LOOSEST, _TIGHTEST = 0.1, 4.0

Key = tuple[str, int]
Kind = tuple[str, bool, int | None]
"""Tasks of which the same is known: their action, whether they have started, the fifth whose pace has been seen."""


class Habits:
    """Learns from ends, and says how long to wait before the next look at a task."""

    def __init__(self, interval: float) -> None:
        self.bounds = Bounds.around(interval)
        self.ends = 0
        self._tallies: dict[Key, Tally] = {}
        self._learned: dict[Key, Durations] = {}
        self._clocks: dict[Kind, list[tuple[int, Durations]]] = {}
        """What there is to forecast by, as long as nothing is learned."""
        self._stale = 0
        self._tightness = 1.0
        """Corrects the number of looks by how late ends really were found."""
        self._looks: float | None = None

    @property
    def kinds(self) -> int:
        """How many distributions are kept: for each action and clock one."""
        return len(self._tallies)

    def begin(self, task: Task, now: datetime) -> Life:
        """The life of a task, from what its row says."""
        return self.go_on(task, now, since=task.registered_at.timestamp())

    def go_on(self, told: Task | Snapshot, now: datetime, *, since: float) -> Life:
        """The life of a task that is in the middle of it, from whatever tells of it; it was registered at `since`."""
        at = now.timestamp()
        life = Life(began=min(since, at), looked=at)
        self.follow(life, told, now)
        return life

    def follow(self, life: Life, told: Task | Snapshot, now: datetime) -> None:
        """Note the news of a task."""
        life.action = told.action or ""
        life.news = now.timestamp()
        if told.submitted_at and life.started is None:
            life.began = min(told.submitted_at, now).timestamp()
        if told.started_at and life.started is None:
            life.started = max(min(told.started_at, now).timestamp(), life.began)
        life.advance(told.progress or 0, now.timestamp())

    def gap(self, life: Life, at: float) -> float:
        """Seconds from now, which is `at` since 1970, to the next look."""
        life.looked = at
        if not self._tallies:
            # None has ended yet that could say more.
            life.gap = self.bounds.interval
            return life.gap
        best = surest(self._forecasts(life, at))
        life.gap = next_gap(best, looks=self._tempo(), quiet=at - life.news, bounds=self.bounds)
        return life.gap

    def end(self, life: Life, finished_at: datetime | None, now: datetime) -> None:
        """Learn from an end that was seen just now; `finished_at` is the upstream's word for when it was.

        Whatever the clocks say, it was after the last look.
        """
        seen = now.timestamp()
        at = (life.looked + seen) / 2 if finished_at is None else finished_at.timestamp()
        self._teach(life, min(max(at, life.looked), seen))
        if life.gap > 0:
            miss = min(life.gap / self.bounds.interval, 3.0) - 1.0
            self._tightness = min(max(self._tightness * math.exp(_ADJUSTMENT * miss), _LOOSEST), _TIGHTEST)
            self._looks = None

    def relearn(self, lives: Iterable[tuple[Life, float]]) -> None:
        """Start anew from lives that have ended, and when they did, the oldest first."""
        self._tallies.clear()
        self.ends = 0
        for life, at in lives:
            self._teach(life, at)
        self._unlearn()

    def _teach(self, life: Life, at: float) -> None:
        self.ends += 1
        actions = {_ANY, life.action} if self._is_known(life.action) else {_ANY}
        lasted = at - life.running
        for action in actions:
            self._add((action, _SUBMITTED), at - life.began)
            if life.started is not None:
                self._add((action, _STARTED), lasted)
            for fifth, percent in life.seen.items():
                self._add((action, fifth), lasted / percent)
        self._stale += 1
        if self._stale >= min(_SOONEST + self.ends // 16, _LATEST):
            self._unlearn()

    def _unlearn(self) -> None:
        """Have what the tallies say worked out anew."""
        self._stale = 0
        self._learned.clear()
        self._clocks.clear()
        self._looks = None

    def _is_known(self, action: str) -> bool:
        """Whether an action is learned apart from the others; only so many are."""
        return (action, _SUBMITTED) in self._tallies or len(self._tallies) < _MOST_ACTIONS * (2 + 5)

    def _add(self, key: Key, duration: float) -> None:
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally()
            self._clocks.clear()
        tally.add(duration)

    def _tempo(self) -> float:
        if self._looks is None:
            together = self._known((_ANY, _SUBMITTED)) or _NOTHING_KNOWN
            self._looks = self._tightness * tempo(together, interval=self.bounds.interval)
        return self._looks

    def _forecasts(self, life: Life, now: float) -> list[Forecast]:
        fifth = bucket(life.progress)
        percent = life.seen.get(fifth)
        # Of an action that is not learned apart is known what is known of all; there may be any number of them.
        action = life.action if (life.action, _SUBMITTED) in self._tallies else _ANY
        kind = (action, life.started is not None, fifth if percent else None)
        clocks = self._clocks.get(kind)
        if clocks is None:
            clocks = self._clocks[kind] = list(self._clocks_of(*kind))
        age, running = max(now - life.began, 0.0), max(now - life.running, 0.0)
        return [
            Forecast(
                durations=durations,
                seconds=age if clock == _SUBMITTED else running,
                unit=percent if percent and clock == fifth else 1.0,
            )
            for clock, durations in clocks
        ]

    def _clocks_of(self, action: str, has_started: bool, fifth: int | None) -> Iterator[tuple[int, Durations]]:  # noqa: FBT001
        yield _SUBMITTED, self._known((_ANY, _SUBMITTED)) or _NOTHING_KNOWN
        for of in (_ANY, action) if action else (_ANY,):
            if of and (known := self._known((of, _SUBMITTED))):
                yield _SUBMITTED, known
            if has_started and (known := self._known((of, _STARTED))):
                yield _STARTED, known
            if fifth is not None and (known := self._known((of, fifth))):
                yield fifth, known

    def _known(self, key: Key) -> Durations | None:
        known = self._learned.get(key)
        if known is None and (tally := self._tallies.get(key)):
            known = self._learned[key] = tally.learned()
        return known


_NOTHING_KNOWN = Tally().learned()
