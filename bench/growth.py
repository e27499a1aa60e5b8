"""Whether something grows: a line through samples that outliers do not bend, and verdicts with tolerances. Pure."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

_WINDOWS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a daemon and its database were at one moment."""

    at: float
    """Seconds since the beginning."""
    resident: float
    """Megabytes."""
    descriptors: int
    size: int
    """Bytes of the database, free room included."""
    ended: int
    """Tasks that have ended so far; those that were forgotten count too."""
    kept: int
    """Of these, tasks that are still in the database."""
    live: int
    waiting: int
    """Messages that are not delivered yet."""
    dead: int = 0
    """Dead tuples of all tables together, on Postgres."""
    rows: int = 0
    """Live ones."""
    tables: Mapping[str, float] = field(default_factory=dict)
    """Bytes for each row of a table, where they were counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One thing that must not grow."""

    what: str
    before: str
    """What it was in the second quarter."""
    after: str
    """What it was in the last half."""
    growth: float
    """Over the last half."""
    tolerance: float
    unit: str

    @property
    def holds(self) -> bool:
        """Whether it stayed within its tolerance."""
        return self.growth <= self.tolerance

    def __str__(self) -> str:
        word = "holds" if self.holds else "GROWS"
        return (
            f"{self.what}: {self.before}, then {self.after}: {self.growth:+.2f} {self.unit}, "
            f"{self.tolerance:.2f} tolerated: {word}"
        )


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs (Theil-Sen): a quarter of the points may be anything at all."""
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x2 != x1]
    return statistics.median(slopes) if slopes else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerances:
    """How much a run of this length may seem to grow without growing."""

    bytes_per_ended: int = 64
    """Of memory, for each task that ended in the last half: less than any object that could be left of it."""
    descriptors: int = 3
    share: float = 0.05
    """Of the database beyond what the history explains; of a row in each table; of the live tasks."""
    pages: float = 1.0
    """Megabytes of memory that come and go with the allocator."""


def judge(samples: Sequence[Sample], tolerances: Tolerances) -> list[Verdict]:
    """What grew over the last half; the first quarter, in which everything warms up, tells nothing."""
    before, last = samples[len(samples) // 4 : len(samples) // 2], samples[len(samples) // 2 :]
    one = _Judge(before=before, last=last, tolerances=tolerances)
    return [one.memory(), one.descriptors(), one.database(), *one.tables(), one.dead(), one.crowd(), one.backlog()]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judge:
    before: Sequence[Sample]
    last: Sequence[Sample]
    tolerances: Tolerances

    def memory(self) -> Verdict:
        ended = self.last[-1].ended - self.last[0].ended
        return self._line(
            f"memory, while {ended:,} tasks ended",
            lambda one: one.resident,
            tolerance=self.tolerances.pages + self.tolerances.bytes_per_ended * ended / 2**20,
            unit="MB",
        )

    def descriptors(self) -> Verdict:
        """Connections come and go with the work: what is left open raises the fewest that there are."""
        return self._floor(
            "descriptors, fewest",
            lambda one: one.descriptors,
            tolerance=self.tolerances.descriptors,
            unit="descriptors",
        )

    def database(self) -> Verdict:
        """A history that is kept grows, and its database with it.

        What each ended task took in the second quarter is expected of those of the last half; the rest is bloat.
        """
        expected = slope([(one.kept, one.size) for one in self.before])
        kept = self._grown(lambda one: one.kept)
        size = statistics.median(one.size for one in self.last)
        unexplained = self._grown(lambda one: one.size) - max(expected, 0.0) * max(kept, 0.0)
        return Verdict(
            what=f"database of {size / 2**20:,.0f} MB, beyond {max(kept, 0):,.0f} more tasks in the history",
            before=f"{expected:,.0f} bytes for each",
            after=f"{slope([(one.kept, one.size) for one in self.last]):,.0f}",
            growth=100 * unexplained / size,
            tolerance=100 * self.tolerances.share,
            unit="% of it",
        )

    def tables(self) -> list[Verdict]:
        """Rows of one table are alike: what they take there must not grow."""
        counted = [one.tables for one in (*self.before, *self.last) if one.tables]
        if not counted:
            return []
        first, final = counted[0], counted[-1]
        return [
            Verdict(
                what=f"a row of {name}, with its indexes",
                before=f"{first[name]:,.0f} bytes",
                after=f"{final[name]:,.0f}",
                growth=100 * (final[name] / first[name] - 1),
                tolerance=200 * self.tolerances.share,
                unit="%",
            )
            for name in sorted(first.keys() & final.keys())
        ]

    def dead(self) -> Verdict:
        """Dead tuples come and go with each vacuum: the most of the last quarter, against the quarter before it."""
        half = len(self.last) // 2
        before, after = (max((one.dead for one in part), default=0) for part in (self.last[:half], self.last[half:]))
        return Verdict(
            what="dead tuples, most",
            before=f"{before:,}",
            after=f"{after:,}",
            growth=100 * (after - before) / max(self.last[-1].rows, 1),
            tolerance=100 * self.tolerances.share,
            unit="% of all rows",
        )

    def crowd(self) -> Verdict:
        """Where nothing ends any more, or nothing comes, nothing is proved."""
        middle = statistics.median(one.live for one in self.last)
        return Verdict(
            what="live tasks, farthest from their median",
            before=f"{statistics.median(one.live for one in self.before):,.0f}",
            after=f"{middle:,.0f}",
            growth=100 * max(abs(one.live - middle) for one in self.last) / max(middle, 1),
            tolerance=100 * self.tolerances.share,
            unit="%",
        )

    def backlog(self) -> Verdict:
        return self._floor(
            "messages that wait, fewest",
            lambda one: one.waiting,
            tolerance=self.tolerances.share * self.last[-1].live,
            unit="messages",
        )

    def _floor(self, what: str, of: Callable[[Sample], float], *, tolerance: float, unit: str) -> Verdict:
        """A line through the lowest of each window: what only peaks now and then does not bend it."""
        size = max(len(self.last) // _WINDOWS, 1)
        windows = [self.last[start : start + size] for start in range(0, len(self.last) - size + 1, size)]
        lowest = [min(window, key=of) for window in windows]
        return Verdict(
            what=what,
            before=f"{min(map(of, self.before)):,.0f}",
            after=f"{min(map(of, self.last)):,.0f}",
            growth=slope([(one.at, of(one)) for one in lowest]) * (self.last[-1].at - self.last[0].at),
            tolerance=tolerance,
            unit=unit,
        )

    def _line(self, what: str, of: Callable[[Sample], float], *, tolerance: float, unit: str) -> Verdict:
        return Verdict(
            what=what,
            before=f"{statistics.median(map(of, self.before)):,.1f}",
            after=f"{statistics.median(map(of, self.last)):,.1f}",
            growth=self._grown(of),
            tolerance=tolerance,
            unit=unit,
        )

    def _grown(self, of: Callable[[Sample], float]) -> float:
        return slope([(one.at, of(one)) for one in self.last]) * (self.last[-1].at - self.last[0].at)
