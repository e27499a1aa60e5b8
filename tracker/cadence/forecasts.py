"""From what is expected of a task to its next look: as many looks as the square root of the chance of an end asks for.

Looking with a density λ while ends come with a hazard h costs ∫ λ S requests and finds ends ∫ f / 2λ late on average;
for a given lateness the requests are fewest where λ is proportional to √h.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from tracker.cadence.durations import Durations

_SHORTEST_GAP = 0.2
"""Of the interval: no upstream is asked more than five times as often as it is set to."""
_LONGEST_GAP = 12.0
"""Intervals: as long as a look is put off while no end is likely, though never a minute or more."""
_LONGEST_SECONDS = 60.0
_BACK_OFF = 0.2
"""Of the silence of a task that has lasted longer than any known: each gap is a fifth longer than the last."""
_PERSUADED = 16.0
"""Ends from which on what was learned counts more than the plain interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Between which gaps an upstream is looked at; seconds."""

    interval: float
    shortest: float
    longest: float

    @classmethod
    def around(cls, interval: float) -> "Bounds":
        """The bounds of an upstream's pace."""
        longest = max(interval, min(_LONGEST_GAP * interval, _LONGEST_SECONDS))
        return cls(interval=interval, shortest=_SHORTEST_GAP * interval, longest=longest)


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What one clock says of a task: how long such tasks last by it, and how far this one is.

    No dataclass: several are made for each look, which takes those many times as long.
    """

    durations: Durations
    seconds: float
    """How far the task is on this clock."""
    unit: float = 1.0
    """The seconds that one unit of the durations is for this task."""

    @property
    def doubt(self) -> float:
        """How little it says about when the task ends."""
        return self.durations.doubt(self.seconds / self.unit)

    @property
    def hazard(self) -> float:
        """How likely an end is just now, per second."""
        return self.durations.hazard(self.seconds / self.unit) / self.unit

    @property
    def overdue(self) -> float:
        """Seconds since the longest known would have ended; at most 0 before."""
        return self.seconds - self.durations.longest * self.unit

    def gap(self, looks: float) -> float:
        """Seconds until the next look, at a density of `looks` √hazard."""
        return self.unit * self.durations.wait(self.seconds / self.unit, 1.0 / (looks * math.sqrt(self.unit)))


def surest(forecasts: Sequence[Forecast]) -> Forecast:
    """The one that says most about when the task ends."""
    return forecasts[0] if len(forecasts) == 1 else min(forecasts, key=lambda forecast: forecast.doubt)


def tempo(durations: Durations, *, interval: float) -> float:
    """Looks for each √hazard such that ends are found as late, on average, as by looking at every interval."""
    return durations.mean_root / interval


def next_gap(forecast: Forecast, *, looks: float, quiet: float, bounds: Bounds) -> float:
    """Seconds until the next look at a task of which this is the best forecast, and whose news is `quiet` seconds old.

    Little evidence leaves the gap near the interval. What lasts longer than anything known is looked at at the
    interval while it moves, and less and less often while it does not. The bounds hold whatever was learned.
    """
    weight = forecast.durations.weight
    if not weight:
        return bounds.interval
    overdue = forecast.overdue
    wanted = bounds.interval + _BACK_OFF * min(overdue, quiet) if overdue > 0 else forecast.gap(looks)
    wanted = min(max(wanted, bounds.shortest), bounds.longest)
    trust = weight / (weight + _PERSUADED)
    gap: float = bounds.interval ** (1 - trust) * wanted**trust
    return min(max(gap, bounds.shortest), bounds.longest)
