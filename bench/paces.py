"""What a daemon's polls cost over a span of time, how late they were, and what its upstream was asked meanwhile."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.exposition import Exposition
from bench.upstream import Asked

_LATENESS = "tracker_poll_lateness_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """A span of steady polling."""

    seconds: float
    polls: float
    requests: float
    cpu: float
    lateness: float
    """The 99th percentile, in seconds."""
    asked: Asked

    @property
    def cost(self) -> float:
        """Microseconds of a core for one poll."""
        return 1e6 * self.cpu / max(self.polls, 1)

    def __str__(self) -> str:
        return (
            f"{self.polls / self.seconds:,.0f} polls/s, {self.polls / max(self.requests, 1):.0f} in a request, "
            f"{self.cost:.1f} µs of CPU each, {100 * self.cpu / self.seconds:.0f} % of a core, "
            f"lateness p99 {self.lateness:.2f} s"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Few:
    """What a few tasks cost."""

    start: float
    """Seconds of CPU until an empty daemon serves."""
    adopting: float
    """Microseconds of CPU for one task."""
    pace: Pace


@dataclass(frozen=True, slots=True, kw_only=True)
class Many:
    """What many tasks cost."""

    fresh: float
    """Seconds from the start of the process until all were watched, which nobody had adopted."""
    again: float
    """The same after an orderly end of the last daemon, as which this one goes on."""
    after_kill: float
    """The same after a SIGKILL of the last daemon, from its successor's start."""
    stopping: float
    """From SIGTERM until the process is gone, in seconds."""
    adopting: float
    """Microseconds of CPU for one task."""
    peak: float
    """Megabytes."""
    first: Pace
    """The first look at each task, of which nothing is remembered but what its row says."""
    steady: Pace


def paced(seconds: float, cpu: float, grown: Exposition, asked: Asked) -> Pace:
    """From what was spent and counted in so many seconds."""
    return Pace(
        seconds=seconds,
        polls=grown.total("tracker_polls_total"),
        requests=grown.total("tracker_upstream_requests_total"),
        cpu=cpu,
        lateness=grown.quantile(0.99, _LATENESS),
        asked=asked,
    )


def described(asked: Asked) -> str:
    """How often tasks were asked for, in words."""
    if not asked.gaps:
        return "no task was asked for twice"
    return (
        f"between two looks p50 {median_gap(asked.gaps):.1f}, p99 {asked.gaps[int(0.99 * len(asked.gaps))]:.1f}, "
        f"most {asked.gaps[-1]:.1f} s; longest not asked for {asked.silences[-1]:.1f} s"
    )


def median_gap(gaps: Sequence[float]) -> float:
    """Seconds; infinite where no task was asked for twice."""
    return statistics.median(gaps) if gaps else float("inf")
