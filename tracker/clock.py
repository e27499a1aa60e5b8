"""The wall clock, as an argument: whole milliseconds of UTC, which both databases and JSON carry exactly."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]

_DRIFT = 0.0005
"""By how much two clocks may go apart, in seconds for each second."""


def utc_now() -> datetime:
    """The present moment, to the millisecond."""
    # Not by cutting microseconds off, which makes a second moment and takes twice as long.
    return datetime.fromtimestamp(time.time_ns() // 1_000_000 / 1000, UTC)


def _whole_milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def steady() -> float:
    """Seconds on a clock that never jumps, and goes on while the machine sleeps where it has such a clock."""
    return time.clock_gettime(_STEADY)


_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SharedClock:
    """Tells the time of a clock that others go by too, read now and then; until the first reading it tells our own."""

    def __init__(self, own: Clock = utc_now, timer: Callable[[], float] = steady) -> None:
        self._own = own
        self._timer = timer
        self._set_at = 0.0
        self._theirs: datetime | None = None
        self._doubt = 0.0

    def __call__(self) -> datetime:
        """The present moment there, to the millisecond."""
        return self._own() if self._theirs is None else _whole_milliseconds(self._at(self._timer()))

    def set(self, theirs: datetime, *, asked: float, answered: float) -> None:
        """It said `theirs` at some moment between these two on our timer."""
        doubt, at = (answered - asked) / 2, (asked + answered) / 2
        if self._theirs is not None:
            doubted = self._doubt + (at - self._set_at) * _DRIFT
            if doubt > doubted and abs((self._at(at) - theirs).total_seconds()) <= doubt + doubted:
                # The answer took longer, and says nothing else than what is known better.
                return
        self._theirs, self._set_at, self._doubt = theirs, at, doubt

    @property
    def ahead(self) -> timedelta:
        """How far our own clock is ahead of it."""
        return self._own() - self()

    def _at(self, moment: float) -> datetime:
        assert self._theirs is not None  # noqa: S101 - asked only when it is set
        return self._theirs + timedelta(seconds=moment - self._set_at)
