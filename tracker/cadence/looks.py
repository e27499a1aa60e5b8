"""When to look at a task again where looks are nearly free: at every interval, less often what stays silent."""

from datetime import timedelta

SLOWEST_SECONDS = 60.0
PATIENCE_SECONDS = 600.0
_QUIET_SHARE = 0.1
_LOOK_JITTER = 0.1
_MISSING = 1.5
STOPS_PER_INTERVAL = 5
_MOST_STOPS = 600
_LOOKS_PER_STOP = 4


def patient(interval: float, *, quiet: float) -> float:
    """Seconds between looks at a task whose news is `quiet` seconds old.

    The interval, for the ten minutes in which almost everything ends; then a tenth of the time beyond them, never
    more than a minute (or the interval, if that is longer).
    """
    if quiet <= PATIENCE_SECONDS:
        return interval
    return max(interval, min((quiet - PATIENCE_SECONDS) * _QUIET_SHARE, SLOWEST_SECONDS))


def when_missing(gap: float, *, interval: float, misses: int) -> float:
    """The gap in seconds where `misses` looks in a row told nothing: half as long again each time, up to a minute."""
    if not misses:
        return gap
    return max(gap, min(interval * _MISSING ** min(misses - 1, 20), max(interval, SLOWEST_SECONDS)))


def jittered(gap: float, dice: float) -> float:
    """The gap give or take a tenth, so that requests drift apart."""
    return gap * (1 + _LOOK_JITTER * (2 * dice - 1))


def stops(tasks: int, *, look_size: int) -> int:
    """At how many moments of an interval the tasks of an upstream gather: few, so that requests fill up; no crowds."""
    return min(max(tasks // (_LOOKS_PER_STOP * look_size), STOPS_PER_INTERVAL), _MOST_STOPS)


def aligned(due: float, *, interval: timedelta, stops: int = STOPS_PER_INTERVAL) -> float:
    """The stop nearest to a due time, in seconds on the same clock.

    Where one request asks about many tasks, they wait for each other at a few stops in each interval, so that a
    thousand tasks cost a handful of full requests and not a thousand requests of one.
    """
    stop = interval.total_seconds() / stops
    return round(due / stop) * stop
