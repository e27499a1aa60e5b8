"""What the cadence saves: requests against a fixed interval that finds ends as soon; and how soon ends arrive."""

import random
import statistics
import sys
from collections.abc import Callable, Iterator

from bench import arriving
from bench.lives import Course, as_late_as, by_habit, dishonest, heavy, honest, silent, uneven
from bench.table import Row

TASKS = 2_500
LEARNING = 300
INTERVALS = (2.0, 5.0, 10.0)
_ASKED = 0.5


def run() -> Iterator[Row]:
    """Rows in simulated time, then the daemon itself."""
    yield _requests("honest progress", honest, at_most=_ASKED)
    yield _requests("uneven progress", uneven)
    yield _requests("progress that stops early", dishonest)
    yield _requests("no progress", silent)
    yield _requests("no progress, long tail", heavy)
    yield from arriving.run()


def _requests(what: str, draw: Callable[[random.Random], Course], *, at_most: float | None = None) -> Row:
    """Requests for each task against a fixed interval that is as late on average, at several paces."""
    ratios, ours, theirs = [], [], []
    for number, interval in enumerate(INTERVALS):
        dice = random.Random(number)  # noqa: S311, a simulation
        courses = [draw(dice) for _ in range(TASKS)]
        one = by_habit(courses, interval=interval, learning=LEARNING)
        other = as_late_as(one.late, courses, learning=LEARNING)
        ratios.append(one.looks / other.looks)
        ours.append(f"{one.looks:.1f} (p99 {one.late_p99:.1f} s)")
        theirs.append(f"{other.looks:.1f} (p99 {other.late_p99:.1f} s)")
        print(
            f"{what}, interval {interval:g} s: late {one.late:.2f} s on average, p99 {one.late_p99:.1f}, at most"
            f" {one.latest:.1f}; fixed {other.late:.2f}, {other.late_p99:.1f}, {other.latest:.1f}",
            file=sys.stderr,
        )
    return Row(
        what=f"requests per task, {what}",
        ours=", ".join(ours),
        against="as late at a fixed interval: " + ", ".join(theirs),
        ratio=max(ratios) if at_most is not None else statistics.median(ratios),
        spread=f"{min(ratios):.2f} to {max(ratios):.2f}",
        at_most=at_most,
    )
