"""When to try a delivery again, and how long to leave an upstream alone."""

from collections.abc import Sequence
from datetime import timedelta

_RETRY_JITTER = 0.2
LONGEST_RETRY_AFTER = timedelta(hours=24)
_FIRST_PAUSE = timedelta(seconds=5)
_LONGEST_PAUSE = timedelta(seconds=60)


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
