"""When each watched task is due: in memory, on a monotonic clock, never written down."""

import heapq
from collections.abc import Iterator

import msgspec

from tracker.model import NO_STREAK, Streak
from tracker.poller.life import Life

TICKS_PER_SECOND = 64.0
"""Due times are moved to the tick before them, so that what is due together is one list: a million tasks are
scheduled and taken at the same cost for each as a thousand."""


class Watched(msgspec.Struct, kw_only=True, eq=False, gc=False):
    """What a daemon remembers of a task between looks; there may be a million, so it is small.

    No dataclass: that takes four times as long to make, and Python would search a million of them for circles.
    """

    key: int
    task_id: str
    expires_at: float
    """In seconds since 1970."""
    news_at: float
    """When its news last changed, on the monotonic clock."""
    has_ended: bool = False
    """Looked at once more because somebody asked, and then let go."""
    due: float = 0.0
    fingerprint: int | None = None
    digest: int | None = None
    """Of the last answer's bytes, where the same bytes again are no news; see `Look.digests`."""
    streak: Streak = NO_STREAK
    is_out: bool = False
    """Being looked at just now."""
    is_queued: bool = False
    """Out of the schedule, and waiting for its turn to be looked at."""
    is_hurried: bool = False
    """Asked for while it was out: due again as soon as it is back."""
    life: Life | None = None
    """What its end is expected by, where looks are scarce."""


class Schedule:
    """The watched tasks of one upstream, the next due first."""

    def __init__(self) -> None:
        self.by_key: dict[int, Watched] = {}
        """Every task that is watched; to be read, by whoever has no time for `holds`."""
        self._waiting: dict[float, list[Watched]] = {}
        """By tick. Entries that no longer hold stay until they are come across."""
        self._ticks: list[float] = []
        """A heap of the keys of `_waiting`."""

    def __len__(self) -> int:
        return len(self.by_key)

    def __contains__(self, key: int) -> bool:
        return key in self.by_key

    def __iter__(self) -> Iterator[Watched]:
        return iter(self.by_key.values())

    def holds(self, watched: Watched) -> bool:
        """Whether this very entry is still the one for its task."""
        return self.by_key.get(watched.key) is watched

    def is_out(self, key: int) -> bool:
        """Whether a task is being looked at just now."""
        watched = self.by_key.get(key)
        return watched is not None and watched.is_out

    def add(self, watched: Watched, due: float) -> None:
        """Watch a task from now on."""
        self.by_key[watched.key] = watched
        # Where it comes from another schedule, it may have waited for its turn there.
        watched.is_queued = False
        self.put_back(watched, due)

    def put_back(self, watched: Watched, due: float) -> None:
        """Give it its next due time after a look."""
        watched.is_out = False
        watched.due = tick = due * TICKS_PER_SECOND // 1 / TICKS_PER_SECOND
        waiting = self._waiting.get(tick)
        if waiting is None:
            self._waiting[tick] = [watched]
            heapq.heappush(self._ticks, tick)
        else:
            waiting.append(watched)

    def hurry(self, key: int, now: float) -> bool:
        """Make a task due at once; False when it is not watched here."""
        watched = self.by_key.get(key)
        if watched is None:
            return False
        # Whoever asks may have changed its row: what is seen next is compared with that.
        watched.digest = watched.fingerprint = None
        if watched.is_out:
            watched.is_hurried = True
        else:
            self.put_back(watched, now)
        return True

    def remove(self, key: int) -> None:
        """Forget a task."""
        self.by_key.pop(key, None)

    def clear(self) -> None:
        """Forget every task."""
        self.by_key.clear()
        self._waiting.clear()
        self._ticks.clear()

    def is_due(self, now: float) -> bool:
        """Whether there is something to take, about: what is come across may not hold."""
        ticks = self._ticks
        return bool(ticks) and ticks[0] <= now

    def take(self, now: float, most: int) -> list[Watched]:
        """Up to `most` tasks that are due, longest first; they are out until put back or removed."""
        taken: list[Watched] = []
        ticks, held = self._ticks, self.by_key
        while most and ticks and (tick := ticks[0]) <= now:
            waiting = self._waiting[tick]
            while waiting and most:
                watched = waiting.pop()
                # As `_waits` has it, without a call for each.
                if watched.due == tick and not watched.is_out and held.get(watched.key) is watched:
                    watched.is_out = True
                    taken.append(watched)
                    most -= 1
            if not waiting:
                del self._waiting[heapq.heappop(ticks)]
        return taken

    def next_due(self) -> float | None:
        """When the next task is due; None when nothing waits."""
        while self._ticks:
            tick = self._ticks[0]
            waiting = self._waiting[tick]
            while waiting:
                if self._waits(waiting[-1], tick):
                    return tick
                waiting.pop()
            del self._waiting[heapq.heappop(self._ticks)]
        return None

    def late(self, before: float) -> int:
        """How many tasks were due before this moment, about: by as many ticks as have passed since."""
        return sum(len(self._waiting[tick]) for tick in self._ticks if tick < before)

    def _waits(self, watched: Watched, tick: float) -> bool:
        """Whether an entry holds: its task is watched, is not out, and has not been moved to another tick."""
        return watched.due == tick and not watched.is_out and self.by_key.get(watched.key) is watched
