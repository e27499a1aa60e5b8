"""Whose turn it is where more tasks are due than may be asked for."""

import heapq
import math
from itertools import count

from tracker.poller.schedule import TICKS_PER_SECOND, Schedule, Watched

_LEAST_PATIENCE, _MOST_PATIENCE = 1.0, 100.0
_ADJUSTMENT = 0.02
_BEFORE_ALL = -(2**53)
"""No rank of a task that nobody asked for is as small."""


class Turns:
    """Hands out what is due, the most urgent first.

    A task's rank is its due time and some of its own gaps more: one that may end any moment has short gaps and comes
    before others that were due earlier, yet only for as long as those can wait, so none starves. How many gaps that is
    follows what tasks really wait: then all gaps are stretched alike, the best that can be done with less room.
    """

    def __init__(self, schedule: Schedule, interval: float) -> None:
        self._schedule = schedule
        self._interval = interval
        self._waiting: dict[int, Watched] = {}
        self._ranked: dict[float, list[Watched]] = {}
        """By rank, to the tick as in the schedule; an entry holds as long as its task waits."""
        self._ranks: list[float] = []
        """A heap of the keys of `_ranked`."""
        self._asked = count(_BEFORE_ALL)
        """The ranks of what is asked for, in the order of asking."""
        self._patience = _LEAST_PATIENCE

    def take(self, now: float, most: int, *, is_scarce: bool) -> list[Watched]:
        """Up to `most` tasks that are due; in the order of their due times where there is room for all."""
        if not is_scarce and not self._ranks:
            return self._schedule.take(now, most)
        self._queue(self._schedule.take(now, len(self._schedule)))
        taken: list[Watched] = []
        waiting, ranked, ranks = self._waiting, self._ranked, self._ranks
        while ranks and len(taken) < most:
            rank = ranks[0]
            first = ranked[rank].pop()
            if not ranked[rank]:
                del ranked[heapq.heappop(ranks)]
            if waiting.get(first.key) is not first:
                # It was hurried, and handed out before.
                continue
            del waiting[first.key]
            if self._schedule.holds(first):
                first.is_hurried = False
                self._notice((now - first.due) / self._gap(first))
                taken.append(first)
        return taken

    def _queue(self, due: list[Watched]) -> None:
        """Have them wait for their turns."""
        for watched in due:
            self._waiting[watched.key] = watched
            rank = watched.due + self._patience * self._gap(watched)
            self._rank(watched, rank * TICKS_PER_SECOND // 1)

    def hurry(self, key: int) -> None:
        """Somebody asks for this task now: it comes before all others, if it waits for its turn."""
        if key in self._waiting:
            self._rank(self._waiting[key], next(self._asked))

    def next_due(self) -> float | None:
        """When the next task is due; None when nothing waits."""
        if self._ranks:
            return -math.inf
        return self._schedule.next_due()

    def _rank(self, watched: Watched, rank: float) -> None:
        ranked = self._ranked.get(rank)
        if ranked is None:
            self._ranked[rank] = [watched]
            heapq.heappush(self._ranks, rank)
        else:
            ranked.append(watched)

    def _gap(self, watched: Watched) -> float:
        return (watched.life and watched.life.gap) or self._interval

    def _notice(self, waited: float) -> None:
        patience = self._patience + _ADJUSTMENT * (waited - self._patience)
        if patience < _LEAST_PATIENCE:
            patience = _LEAST_PATIENCE
        elif patience > _MOST_PATIENCE:
            patience = _MOST_PATIENCE
        self._patience = patience
