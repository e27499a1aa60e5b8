"""When to look at a task again, when to try a delivery again, how long to leave an upstream alone.

Pure: the moment and the dice (a number from 0 up to 1) are arguments.
"""

from collections.abc import Sequence
from datetime import timedelta

SLOWEST_LOOK = timedelta(seconds=60)
QUIET_SHARE = 0.1
"""A task that has been quiet for t is looked at every t/10, so its end is found at most that much late."""
_LOOK_JITTER = 0.1
_RETRY_JITTER = 0.2
LONGEST_RETRY_AFTER = timedelta(hours=24)
_FIRST_PAUSE = timedelta(seconds=5)
_LONGEST_PAUSE = timedelta(seconds=60)


def next_look(*, interval: timedelta, quiet: timedelta, misses: int, dice: float) -> timedelta:
    """How long to wait before the next look at a task.

    `interval` is the upstream's pace and the shortest answer, `quiet` the time since its last news, `misses`
    how many looks in a row told nothing. A task with news is looked at every interval, a quiet or
    missing one less and less often, never less than once a minute (or the interval, if that is longer);
    all of it give or take a tenth, so that tasks registered together drift apart.
    """
    slowest = max(interval, SLOWEST_LOOK)
    delay = max(interval, quiet * QUIET_SHARE)
    if misses:
        delay = max(delay, interval * 1.5 ** min(misses - 1, 20))
    return min(delay, slowest) * (1 + _LOOK_JITTER * (2 * dice - 1))


STOPS_PER_INTERVAL = 5


def aligned(due: float, *, interval: timedelta) -> float:
    """The stop nearest to a due time, in seconds on the same clock.

    Where one request asks about many tasks, they wait for each other at a few stops in each interval, so that a
    thousand tasks cost a handful of full requests and not a thousand requests of one.
    """
    stop = interval.total_seconds() / STOPS_PER_INTERVAL
    return round(due / stop) * stop


def first_look(*, interval: timedelta, is_new: bool, dice: float) -> timedelta:
    """New tasks are looked at at once; ones adopted in bulk after a start are spread over one interval."""
    return timedelta(0) if is_new else interval * dice


def retry_delay(
    failures: int, *, schedule: Sequence[timedelta], retry_after: timedelta | None, dice: float
) -> timedelta | None:
    """How long to wait before the next attempt of a delivery that has failed `failures` times; None: give up.

    `schedule[0]` is the wait before the first attempt. Jitter is ±20 %, and never makes it earlier than
    `retry_after` (itself bounded to 24 h).
    """
    if failures >= len(schedule):
        return None
    delay = schedule[failures] * (1 + _RETRY_JITTER * (2 * dice - 1))
    if retry_after is None:
        return delay
    asked = min(max(retry_after, timedelta(0)), LONGEST_RETRY_AFTER)
    return max(delay, asked * (1 + _RETRY_JITTER * dice))


def pause(times: int, *, retry_after: timedelta | None) -> timedelta:
    """How long to leave an upstream alone after it refused or throttled us `times` times in a row."""
    doubled: timedelta = min(_FIRST_PAUSE * 2 ** min(max(times - 1, 0), 10), _LONGEST_PAUSE)
    if retry_after is None:
        return doubled
    return min(max(doubled, retry_after), LONGEST_RETRY_AFTER)
