"""What happened in the last hour, or in the last ninety days: cheap at any range, since it was added up before.

What nobody has added up yet is counted row by row, as far as that goes while somebody waits.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection

from tracker.store import overview_recent as recent
from tracker.store import overview_sums as sums
from tracker.store.overview_lengths import Lengths
from tracker.store.overview_recent import Recent
from tracker.store.rollups import DAY, HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A time up to now, in steps."""

    name: str
    span: timedelta
    step: timedelta
    """Of what is counted."""
    length_step: timedelta
    """Of how long things took: there are more rows of that."""

    def starts(self, now: datetime, step: timedelta) -> list[datetime]:
        """When each step begins; the last one is not over."""
        last = floor(now, step)
        return [last - step * number for number in reversed(range(self.span // step))]


def floor(moment: datetime, step: timedelta) -> datetime:
    """When the step began that a moment is in; days are those of UTC."""
    return moment - (moment - _EPOCH) % step


_MINUTES = timedelta(minutes=5)
RANGES = {
    one.name: one
    for one in (
        Range(name="1h", span=HOUR, step=_MINUTES, length_step=_MINUTES),
        Range(name="6h", span=6 * HOUR, step=HOUR, length_step=HOUR),
        Range(name="24h", span=DAY, step=HOUR, length_step=HOUR),
        Range(name="7d", span=7 * DAY, step=6 * HOUR, length_step=DAY),
        Range(name="30d", span=30 * DAY, step=DAY, length_step=DAY),
        Range(name="90d", span=90 * DAY, step=DAY, length_step=DAY),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What happened in one step of a range."""

    starts_at: datetime
    ended: Counter[str] = field(default_factory=Counter)
    """Tasks by the status that they ended in."""
    settled: Counter[str] = field(default_factory=Counter)
    """Messages that were `delivered`, and that are `dead`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthStep:
    """How long it took, in one step of a range."""

    starts_at: datetime
    detect: Lengths = field(default_factory=Lengths)
    """From the end at the upstream to the moment we saw it."""
    deliver: Lengths = field(default_factory=Lengths)
    """From the end at the upstream to the receiver's 2xx."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What happened, step by step."""

    steps: Sequence[Step]
    lengths: Sequence[LengthStep]
    is_whole: bool = True
    """Whether nothing is left out; where it is not, there is more than that."""
    back_to: datetime | None = None
    """Where not None, what was registered before this moment was not looked at."""

    @property
    def ended(self) -> Counter[str]:
        """Tasks by status, of the whole range."""
        return sum((step.ended for step in self.steps), Counter())

    @property
    def settled(self) -> Counter[str]:
        """Messages by status, of the whole range."""
        return sum((step.settled for step in self.steps), Counter())

    @property
    def detect(self) -> Lengths:
        """Of the whole range."""
        return together(step.detect for step in self.lengths)

    @property
    def deliver(self) -> Lengths:
        """Of the whole range."""
        return together(step.deliver for step in self.lengths)


def together(parts: Iterable[Lengths]) -> Lengths:
    """All of them."""
    found = Lengths()
    for part in parts:
        found.add_all(part)
    return found


class Chart:
    """A course that is being filled in; what is outside of its range is left out."""

    def __init__(self, range_: Range, now: datetime) -> None:
        self.range = range_
        self.is_whole = True
        self._steps = {start: Step(starts_at=start) for start in range_.starts(now, range_.step)}
        self._lengths = {start: LengthStep(starts_at=start) for start in range_.starts(now, range_.length_step)}

    @property
    def since(self) -> datetime:
        """Where what is counted begins."""
        return next(iter(self._steps))

    @property
    def lengths_since(self) -> datetime:
        """Where the lengths begin."""
        return next(iter(self._lengths))

    def step(self, at: datetime) -> Step:
        """The one that a moment is in; outside of the range, one that nobody will see."""
        return self._steps.get(floor(at, self.range.step)) or Step(starts_at=at)

    def length_step(self, at: datetime) -> LengthStep:
        """The same of lengths."""
        return self._lengths.get(floor(at, self.range.length_step)) or LengthStep(starts_at=at)

    def course(self, back_to: datetime | None = None) -> Course:
        """What was filled in."""
        steps, lengths = list(self._steps.values()), list(self._lengths.values())
        return Course(steps=steps, lengths=lengths, is_whole=self.is_whole, back_to=back_to)


def course(connection: Connection, range_: Range, *, now: datetime) -> Course:
    """What happened to the tasks and messages of all owners."""
    chart = Chart(range_, now)
    last = sums.last_hour(connection) if range_.step >= HOUR else None
    for kind in KINDS:
        begins = chart.lengths_since if kind.is_length else chart.since
        rows, until = _rest(partial(kind.read, connection), begins, last)
        step = range_.length_step if kind.is_length else range_.step
        for at, key, times in kind.added_up(connection, begins, until, by_day=step >= DAY):
            kind.add(chart, at, key, times)
        for row in rows.found:
            kind.add(chart, row.at, row.key, row.times)
        chart.is_whole = chart.is_whole and rows.is_all
    return chart.course()


def _rest(read: Callable[..., Recent], begins: datetime, last: datetime | None) -> tuple[Recent, datetime]:
    """The rows that nobody has added up yet, and the moment since when they tell it all."""
    if last is None or last < begins:
        return read(since=begins), begins
    rows = read(since=last)
    if rows.is_all:
        return rows, last
    # Too many to be counted here: what was added up of that hour some minutes ago has to do.
    return read(since=last + HOUR), last + HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Something that is shown step by step."""

    read: Callable[..., Recent]
    added_up: Callable[..., Iterable[sums.Sum]]
    add: Callable[[Chart, datetime, Any, int], None]
    is_length: bool = False


def _add_ended(chart: Chart, at: datetime, status: str, times: int) -> None:
    chart.step(at).ended[status] += times


def _add_settled(chart: Chart, at: datetime, status: str, times: int) -> None:
    chart.step(at).settled[status] += times


def _add_detected(chart: Chart, at: datetime, bound: float, times: int) -> None:
    chart.length_step(at).detect.add(bound, times)


def _add_delivered(chart: Chart, at: datetime, bound: float, times: int) -> None:
    chart.length_step(at).deliver.add(bound, times)


KINDS = (
    Kind(read=recent.ends, added_up=sums.ended, add=_add_ended),
    Kind(read=recent.settled, added_up=sums.settled, add=_add_settled),
    Kind(read=recent.detected, added_up=sums.detected, add=_add_detected, is_length=True),
    Kind(read=recent.arrived, added_up=sums.delivered, add=_add_delivered, is_length=True),
)
