"""How long things took, counted in ranges: enough to say what half of them, or most of them, took at most."""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from tracker.store.rollup_tables import BOUNDS


@dataclass(frozen=True, slots=True)
class Lengths:
    """How many took how long, by the upper bounds of `BOUNDS`."""

    times_up_to: Counter[float] = field(default_factory=Counter)

    @property
    def times(self) -> int:
        """How many there were."""
        return self.times_up_to.total()

    def add(self, seconds: float, times: int = 1) -> None:
        """Count some; what took less than nothing, by clocks that differ, took no time."""
        self.times_up_to[BOUNDS[min(bisect_left(BOUNDS, seconds), len(BOUNDS) - 1)]] += times

    def add_all(self, others: "Lengths") -> None:
        """Count others too."""
        self.times_up_to.update(others.times_up_to)

    def within(self, share: float) -> float | None:
        """In how many seconds this share of them was done, taken as even within a range; None where there are none."""
        rank, passed, lower = share * self.times, 0, 0.0
        if not self.times:
            return None
        for bound in BOUNDS:
            here = self.times_up_to[bound]
            if here and passed + here >= rank:
                return lower + (bound - lower) * (rank - passed) / here
            passed, lower = passed + here, bound
        return BOUNDS[-1]
