"""Tasks that are taken in: what is remembered of them, and when they are looked at first."""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial

from tracker import cadence
from tracker.config import UpstreamSettings
from tracker.poller.schedule import Schedule, Watched
from tracker.store.watching import Adopted

Groups = dict[tuple[str, bool], list[Adopted]]


def grouped(tasks: Iterable[Adopted], *, new_since: datetime | None) -> Groups:
    """By upstream, and by whether they are new; none is where there is no `new_since`."""
    groups: Groups = {}
    for task in tasks:
        is_new = new_since is not None and task.registered_at >= new_since
        groups.setdefault((task.upstream, is_new), []).append(task)
    return groups


def take_in(
    schedule: Schedule,
    tasks: Iterable[Adopted],
    settings: UpstreamSettings,
    *,
    now: float,
    dice: Callable[[], float] | None,
    look_size: int,
) -> None:
    """Schedule tasks: to be looked at now, or with `dice` within one interval; `now` is on the monotonic clock."""
    first_look = partial(float, now) if dice is None else _spread(schedule, settings, now, dice, look_size)
    lasts = settings.expire_after.total_seconds()
    for task in tasks:
        watched = Watched(
            key=task.key,
            task_id=task.task_id,
            # Not as a time, which has an end: a date written by hand may be close to it.
            expires_at=task.registered_at.timestamp() + lasts,
            news_at=now,
            has_ended=task.has_ended,
            fingerprint=task.fingerprint,
        )
        schedule.add(watched, first_look())


def _spread(
    schedule: Schedule, settings: UpstreamSettings, now: float, dice: Callable[[], float], look_size: int
) -> Callable[[], float]:
    interval = settings.poll_interval
    seconds = interval.total_seconds()

    def alone() -> float:
        return now + cadence.first_look(seconds, dice=dice())

    def together() -> float:
        """At stops from the first look on, so that its requests are full too."""
        return cadence.aligned(alone(), interval=interval, stops=cadence.stops(len(schedule), look_size=look_size))

    return together if look_size > 1 else alone
