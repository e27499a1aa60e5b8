"""When one upstream's tasks are due: at every interval where looks are nearly free, by habit where they are scarce."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import structlog

from tracker import cadence
from tracker.config import UpstreamSettings
from tracker.errors import UnavailableError
from tracker.model import NO_STREAK, Snapshot, Status, Task
from tracker.poller.habits import Habits
from tracker.poller.life import Life
from tracker.poller.schedule import Watched
from tracker.store import habits
from tracker.store.database import Database

log = structlog.get_logger()

_READ_EVERY = timedelta(minutes=10)
"""How often the table is asked: it knows what other daemons saw, and what was before a restart."""
_MOST_ENDS = 600
"""More would hardly count, and take longer than anybody should wait."""
_TELLING = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED})
"""Ends that say how long tasks take; the others say how long we wait."""


class Pace:
    """Decides on due times; `settle` first, once for each answer, then `note` and `due` for its tasks."""

    def __init__(self, name: str, settings: UpstreamSettings, *, now: datetime, dice: Callable[[], float]) -> None:
        self.is_scarce = False
        """Whether there are fewer looks to spend than the plain interval would take."""
        self.habits = Habits(settings.poll_interval.total_seconds())
        self._name = name
        self._interval = settings.poll_interval.total_seconds()
        self._expires_after = settings.expire_after.total_seconds()
        self._dice = dice
        self._read_at: datetime | None = None
        self._now = self._was_due = self._next = 0.0
        self._thrown = 0.5
        self._wall, self._wall_seconds = now, now.timestamp()
        self._align: Callable[[float], float] | None = None

    def settle(self, now: float, wall: datetime, *, look_size: int, tasks: int, rate: float | None) -> None:
        """Take the moment (seconds on the monotonic clock, and what the other one says), and what there is to spend.

        `look_size` is how many ids a request carries, `rate` how many requests may be sent in a second.
        """
        self._now, self._wall, self._wall_seconds = now, wall, wall.timestamp()
        self.is_scarce = look_size == 1 or (rate is not None and tasks > rate * look_size * self._interval)
        if look_size > 1:
            stops = cadence.stops(tasks, look_size=look_size)
            self._align = partial(cadence.aligned, interval=timedelta(seconds=self._interval), stops=stops)
            self._thrown = self._dice()
        else:
            self._align = None
        self._was_due = -1.0

    def note(self, watched: Watched, task: Task) -> None:
        """Take in what a look brought: news, or an end to learn from."""
        if not self.is_scarce:
            watched.life = None
        elif not task.status.is_end:
            self._follow(watched, task)
        elif watched.life is not None and task.status in _TELLING:
            self.habits.end(watched.life, task.finished_at, self._wall)

    def meet(self, watched: Watched, seen: Snapshot) -> None:
        """Take in what a look brought that was no news: it says of the task what its row does."""
        if self.is_scarce and watched.life is None:
            watched.life = self.habits.go_on(seen, self._wall, since=watched.expires_at - self._expires_after)

    def due(self, watched: Watched) -> float:
        """When to look again, in seconds on the monotonic clock."""
        streak = watched.streak
        misses = 0 if streak is NO_STREAK else max(streak.count, streak.silent)
        if self.is_scarce and watched.life is not None:
            gap = self.habits.gap(watched.life, self._wall_seconds)
        else:
            quiet = self._now - watched.news_at
            if not self.is_scarce and not misses and quiet <= cadence.PATIENCE_SECONDS:
                # Most tasks of a list were due together.
                return self._next if watched.due == self._was_due else self._one_interval_on(watched.due)
            gap = cadence.patient(self._interval, quiet=quiet)
        if misses:
            gap = cadence.when_missing(gap, interval=self._interval, misses=misses)
        if self._align is None:
            return self._now + cadence.jittered(gap, self._dice())
        # One throw for all of an answer: who was looked at together stays together.
        return self._align(self._now + cadence.jittered(gap, self._thrown))

    def _one_interval_on(self, was_due: float) -> float:
        """Counted from when it was due, so that what answers take does not add up; the same for all of a stop."""
        self._was_due = was_due
        is_late = self._now - was_due > self._interval / 2
        due = (self._now if is_late else was_due) + self._interval
        self._next = due if self._align is None else self._align(due)
        return self._next

    def learns(self, now: datetime) -> bool:
        """Whether it is time to `learn`: now and then, where habits matter."""
        return self.is_scarce and (self._read_at is None or now - self._read_at >= _READ_EVERY)

    async def learn(self, database: Database, now: datetime) -> None:
        """Read what the table knows of past ends."""
        self._read_at = now
        try:
            ended = await database.read(partial(habits.recent, upstream=self._name, limit=_MOST_ENDS))
        except UnavailableError as error:
            log.warning("habits_not_read", upstream=self._name, reason=str(error))
            return
        # Where others have ended so many since that the table shows fewer of ours, memory knows more.
        if len(ended) >= min(self.habits.ends, _MOST_ENDS):
            self.habits.relearn(_lives(ended, self._interval))
            log.debug("habits_read", upstream=self._name, ends=len(ended))

    def _follow(self, watched: Watched, task: Task) -> None:
        if watched.life is None:
            watched.life = self.habits.begin(task, self._wall)
        else:
            self.habits.follow(watched.life, task, self._wall)


def _lives(ended: list[habits.Ended], interval: float) -> list[tuple[Life, float]]:
    """What rows tell, the oldest first."""
    late = sorted((one.ended_at - one.finished_at).total_seconds() for one in ended if one.finished_at)
    # Ends are found at once now and then: what is never less is the distance between the two clocks.
    ahead = late[len(late) // 20] if late else 0.0
    return [_life(one, ahead, interval) for one in reversed(ended)]


def _life(one: habits.Ended, ahead: float, interval: float) -> tuple[Life, float]:
    ended = one.ended_at.timestamp()
    began = one.submitted_at or one.registered_at
    at = min(one.finished_at.timestamp() + ahead, ended) if one.finished_at else ended - interval / 2
    life = Life(began=min(began.timestamp(), at), action=one.action or "")
    if one.started_at is not None:
        life.started = min(max(one.started_at.timestamp(), life.began), at)
    for progress, seen_at in one.progress:
        life.advance(progress, seen_at.timestamp())
    return life, at
