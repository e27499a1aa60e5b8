"""When each watched task is due: in memory, on a monotonic clock, never written down."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from tracker.model import NO_STREAK, Streak
from tracker.poller.life import Life


@dataclass(slots=True, kw_only=True, eq=False)
class Watched:
    """What a daemon remembers of a task between looks."""

    key: int
    task_id: str
    expires_at: datetime
    news_at: float
    """When its news last changed, on the monotonic clock."""
    has_ended: bool = False
    """Looked at once more because somebody asked, and then let go."""
    due: float = 0.0
    fingerprint: int | None = None
    streak: Streak = NO_STREAK
    is_out: bool = False
    """Being looked at just now."""
    is_hurried: bool = False
    """Asked for while it was out: due again as soon as it is back."""
    life: Life | None = None
    """What its end is expected by, where looks are scarce."""


class Schedule:
    """The watched tasks of one upstream, the next due first."""

    def __init__(self) -> None:
        self._watched: dict[int, Watched] = {}
        self._heap: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._watched)

    def __contains__(self, key: int) -> bool:
        return key in self._watched

    def __iter__(self) -> Iterator[Watched]:
        return iter(self._watched.values())

    def holds(self, watched: Watched) -> bool:
        """Whether this very entry is still the one for its task."""
        return self._watched.get(watched.key) is watched

    def add(self, watched: Watched, due: float) -> None:
        """Watch a task from now on."""
        self._watched[watched.key] = watched
        self.put_back(watched, due)

    def put_back(self, watched: Watched, due: float) -> None:
        """Give it its next due time after a look."""
        watched.is_out = False
        watched.due = due
        heapq.heappush(self._heap, (due, watched.key))

    def hurry(self, key: int, now: float) -> bool:
        """Make a task due at once; False when it is not watched here."""
        watched = self._watched.get(key)
        if watched is None:
            return False
        if watched.is_out:
            watched.is_hurried = True
        else:
            self.put_back(watched, now)
        return True

    def remove(self, key: int) -> None:
        """Forget a task."""
        self._watched.pop(key, None)

    def clear(self) -> None:
        """Forget every task."""
        self._watched.clear()
        self._heap.clear()

    def take(self, now: float, most: int) -> list[Watched]:
        """Up to `most` tasks that are due, longest first; they are out until put back or removed."""
        taken: list[Watched] = []
        while len(taken) < most and (first := self._first()) is not None and first.due <= now:
            heapq.heappop(self._heap)
            first.is_out = True
            taken.append(first)
        return taken

    def next_due(self) -> float | None:
        """When the next task is due; None when nothing waits."""
        first = self._first()
        return None if first is None else first.due

    def _first(self) -> Watched | None:
        """The task at the head of the heap, past entries that no longer hold."""
        while self._heap:
            due, key = self._heap[0]
            watched = self._watched.get(key)
            if watched is not None and not watched.is_out and watched.due == due:
                return watched
            heapq.heappop(self._heap)
        return None
