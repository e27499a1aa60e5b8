"""Whose turn it is where more tasks are due than may be asked for."""

import heapq
import math

from tracker.poller.schedule import Schedule, Watched

_LEAST_PATIENCE, _MOST_PATIENCE = 1.0, 100.0
_ADJUSTMENT = 0.02


class Turns:
    """Hands out what is due, the most urgent first.

    A task's rank is its due time and some of its own gaps more: one that may end any moment has short gaps and comes
    before others that were due earlier, yet only for as long as those can wait, so none starves. How many gaps that is
    follows what tasks really wait: then all gaps are stretched alike, the best that can be done with less room.
    """

    def __init__(self, schedule: Schedule, interval: float) -> None:
        self._schedule = schedule
        self._interval = interval
        self._heap: list[tuple[float, int]] = []
        self._waiting: dict[int, Watched] = {}
        self._patience = _LEAST_PATIENCE

    def take(self, now: float, most: int, *, is_scarce: bool) -> list[Watched]:
        """Up to `most` tasks that are due; in the order of their due times where there is room for all."""
        if not is_scarce and not self._heap:
            return self._schedule.take(now, most)
        due = self._schedule.next_due()
        if due is not None and due <= now:
            for watched in self._schedule.take(now, len(self._schedule)):
                self._waiting[watched.key] = watched
                heapq.heappush(self._heap, (watched.due + self._patience * self._gap(watched), watched.key))
        taken: list[Watched] = []
        while self._heap and len(taken) < most:
            _, key = heapq.heappop(self._heap)
            first = self._waiting.pop(key, None)  # None where it was hurried, and handed out before
            if first is not None and self._schedule.holds(first):
                first.is_hurried = False
                self._notice((now - first.due) / self._gap(first))
                taken.append(first)
        return taken

    def hurry(self, key: int) -> None:
        """Somebody asks for this task now: it comes before all others, if it waits for its turn."""
        if key in self._waiting:
            heapq.heappush(self._heap, (-math.inf, key))

    def next_due(self) -> float | None:
        """When the next task is due; None when nothing waits."""
        if self._heap:
            return -math.inf
        return self._schedule.next_due()

    def _gap(self, watched: Watched) -> float:
        return (watched.life and watched.life.gap) or self._interval

    def _notice(self, waited: float) -> None:
        patience = self._patience + _ADJUSTMENT * (waited - self._patience)
        self._patience = min(max(patience, _LEAST_PATIENCE), _MOST_PATIENCE)
