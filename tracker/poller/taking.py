"""Tasks that are taken in: what is remembered of them, and when they are looked at first."""

import math
from collections.abc import Iterable
from datetime import datetime

from tracker import cadence
from tracker.config import UpstreamSettings
from tracker.poller.schedule import Schedule, Watched
from tracker.store.watching import Adopted

_GOLDEN = (math.sqrt(5) - 1) / 2

Groups = dict[tuple[str, bool], list[Adopted]]


def grouped(tasks: Iterable[Adopted], *, new_since: datetime | None) -> Groups:
    """By upstream, and by whether they are new; none is where there is no `new_since`."""
    groups: Groups = {}
    for task in tasks:
        is_new = new_since is not None and task.registered_at >= new_since
        groups.setdefault((task.upstream, is_new), []).append(task)
    return groups


class Taking:
    """Takes tasks into a schedule; those that come many together are looked at first within one interval.

    As many as one request asks about go at the same moment, and stay together from then on: requests are full from the
    first, and of a million tasks neighbours in memory are looked at together. Each moment is a golden section of the
    interval after the one before, which leaves no crowds and no gaps, however many follow.
    """

    def __init__(self, schedule: Schedule, settings: UpstreamSettings, *, phase: float) -> None:
        """`phase` is where in an interval the first of them goes, from 0 to 1."""
        self._schedule = schedule
        self._interval = settings.poll_interval
        self._lasts = settings.expire_after.total_seconds()
        self._phase = phase
        self._moment = -math.inf
        self._room = 0

    def take_in(self, tasks: Iterable[Adopted], *, now: float, is_new: bool, look_size: int) -> None:
        """Schedule tasks, new ones to be looked at now; `now` is on the monotonic clock."""
        for task in tasks:
            watched = Watched(
                key=task.key,
                task_id=task.task_id,
                # Not as a time, which has an end: a date written by hand may be close to it.
                expires_at=task.registered_at.timestamp() + self._lasts,
                news_at=now,
                has_ended=task.has_ended,
                fingerprint=task.fingerprint,
            )
            self._schedule.add(watched, now if is_new else self._first_look(now, look_size))

    def _first_look(self, now: float, look_size: int) -> float:
        if self._room <= 0 or self._moment < now:
            self._phase = (self._phase + _GOLDEN) % 1
            moment = now + self._phase * self._interval.total_seconds()
            self._room, self._moment = look_size, max(self._aligned(moment, look_size), now)
        self._room -= 1
        return self._moment

    def _aligned(self, moment: float, look_size: int) -> float:
        if look_size == 1:
            return moment
        stops = cadence.stops(len(self._schedule), look_size=look_size)
        return cadence.aligned(moment, interval=self._interval, stops=stops)
