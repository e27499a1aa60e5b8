"""Whose turn it is where more tasks are due than may be asked for."""

import heapq
import math
from collections import deque
from collections.abc import Iterable
from itertools import count

from tracker.poller.schedule import TICKS_PER_SECOND, Schedule, Watched

_LEAST_PATIENCE, _MOST_PATIENCE = 1.0, 100.0
_ADJUSTMENT = 0.02
_BEFORE_ALL = -(2**53)
"""No rank of a task that nobody asked for is as small."""
_MOMENT = 0.01
"""Seconds for which an order holds: it is worked out for as many as go meanwhile, one by one where few do."""
_MOST_AT_ONCE = 16


class Turns:
    """Hands out what is due, the most urgent first.

    A task's rank is its due time and some of its own gaps more: one that may end any moment has short gaps and comes
    before others that were due earlier, yet only for as long as those can wait, so none starves. How many gaps that is
    follows what tasks really wait: then all gaps are stretched alike, the best that can be done with less room.
    """

    def __init__(self, schedule: Schedule, interval: float) -> None:
        self._schedule = schedule
        self._interval = interval
        self._ranked: dict[float, list[Watched]] = {}
        """By rank, to the tick as in the schedule; an entry holds as long as its task is queued."""
        self._ranks: list[float] = []
        """A heap of the keys of `_ranked`."""
        self._asked = count(_BEFORE_ALL)
        """The ranks of what is asked for, in the order of asking."""
        self._patience = _LEAST_PATIENCE
        self._chosen: deque[Watched] = deque()
        """Whose turns are next, in this order."""
        self._chosen_at = -math.inf
        self._at_once = 1

    def take(self, now: float, most: int, *, is_scarce: bool) -> list[Watched]:
        """Up to `most` tasks that are due; in the order of their due times where there is room for all."""
        if not (is_scarce or self._chosen or self._ranks):
            return self._schedule.take(now, most)
        taken: list[Watched] = []
        chosen, held = self._chosen, self._schedule.by_key
        if chosen and now - self._chosen_at >= _MOMENT:
            self._reconsider()
        while chosen or self._choose(now, most - len(taken)):
            first = chosen.popleft()
            # One that is not queued was hurried, and handed out before; one that is not held was removed meanwhile.
            if first.is_queued and held.get(first.key) is first:
                first.is_queued = first.is_hurried = False
                first.is_out = True
                taken.append(first)
                if len(taken) == most:
                    break
        return taken

    def _choose(self, now: float, most: int) -> bool:
        """Work out whose turns are next, for as many as go in a moment; whether there are any."""
        self._queue_what_is_due(now)
        at_once = min(2 * self._at_once, _MOST_AT_ONCE) if now - self._chosen_at < _MOMENT else 1
        limit, chosen, ranked, ranks = max(most, at_once), self._chosen, self._ranked, self._ranks
        waited, interval, held = 0.0, self._interval, self._schedule.by_key
        while ranks and len(chosen) < limit:
            entries = ranked[ranks[0]]
            while entries and len(chosen) < limit:
                first = entries.pop()
                if first.is_queued and held.get(first.key) is first:
                    chosen.append(first)
                    waited += (now - first.due) / ((first.life and first.life.gap) or interval)
            if not entries:
                del ranked[heapq.heappop(ranks)]
        if chosen:
            self._chosen_at, self._at_once = now, at_once
            self._notice(waited / len(chosen), len(chosen))
        return bool(chosen)

    def _queue_what_is_due(self, now: float) -> None:
        if self._schedule.is_due(now):
            self._queue(self._schedule.take(now, len(self._schedule)))

    def _reconsider(self, without: Watched | None = None) -> None:
        """Have those whose turns were next wait again; but who was asked for stays in front."""
        queued = [one for one in self._chosen if one.is_queued and one is not without]
        self._chosen.clear()
        self._chosen.extend(one for one in queued if one.is_hurried)
        self._queue(one for one in queued if not one.is_hurried)

    def _queue(self, due: Iterable[Watched]) -> None:
        """Have them wait for their turns."""
        patience, interval, ranked = self._patience, self._interval, self._ranked
        for watched in due:
            watched.is_queued = True
            gap = (watched.life and watched.life.gap) or interval
            rank = (watched.due + patience * gap) * TICKS_PER_SECOND // 1
            entries = ranked.get(rank)
            if entries is None:
                self._begin(rank, watched)
            else:
                entries.append(watched)

    def hurry(self, key: int) -> None:
        """Somebody asks for this task now: it comes before all others, if it waits for its turn."""
        watched = self._schedule.by_key.get(key)
        if watched is not None and watched.is_queued:
            self._reconsider(without=watched)
            self._begin(next(self._asked), watched)

    def next_due(self) -> float | None:
        """When the next task is due; None when nothing waits."""
        if self._chosen or self._ranks:
            return -math.inf
        return self._schedule.next_due()

    def _begin(self, rank: float, first: Watched) -> None:
        """Note the first of a rank that nobody has."""
        self._ranked[rank] = [first]
        heapq.heappush(self._ranks, rank)

    def _notice(self, waited: float, times: int) -> None:
        """Note that so many have waited for so many of their gaps."""
        self._patience += (1 - (1 - _ADJUSTMENT) ** times) * (waited - self._patience)
        self._patience = min(max(self._patience, _LEAST_PATIENCE), _MOST_PATIENCE)
