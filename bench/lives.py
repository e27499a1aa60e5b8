"""Looking at tasks in simulated time: what they do is drawn in advance, when they are looked at is up to a rule."""

import heapq
import random
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tracker.cadence import jittered
from tracker.model import Status, Task
from tracker.poller.habits import Habits
from tracker.poller.life import Life

_START = datetime(2026, 11, 22, tzinfo=UTC)
_ANSWER = 0.05
"""Seconds from a request to its answer."""
_BETWEEN = 0.7
"""Seconds from one submission to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a task is going to do, in seconds since its submission."""

    starts: float
    ends: float
    steps: Sequence[tuple[float, int]]
    """When it shows which progress in percent."""
    action: str = "IMAGINE"

    def task(self, key: int, submitted: datetime, age: float) -> Task:
        """What is known of it at an age."""
        shown = [progress for at, progress in self.steps if at <= age]
        ended = submitted + timedelta(seconds=self.ends) if age >= self.ends else None
        return Task(
            key=key,
            id="",
            upstream="default",
            task_id=str(key),
            registered_at=submitted,
            submitted_at=submitted,
            started_at=submitted + timedelta(seconds=self.starts) if age >= self.starts else None,
            finished_at=ended,
            status=Status.SUCCEEDED if ended else Status.RUNNING,
            action=self.action,
            progress=shown[-1] if shown else 0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What looking at many tasks cost and brought."""

    looks: float
    """For each task."""
    late: float
    """Seconds from an end to the look that found it, on average."""
    late_p99: float
    latest: float

    @classmethod
    def of(cls, looks: Sequence[int], late: Sequence[float]) -> "Outcome":
        """From what each task took."""
        ordered = sorted(late)
        return cls(
            looks=statistics.mean(looks),
            late=statistics.mean(late),
            late_p99=ordered[int(len(ordered) * 0.99)],
            latest=ordered[-1],
        )


def honest(dice: random.Random) -> Course:
    """15 to 90 s, three to twelve steps, each when its share of the work is done."""
    return _course(dice, dice.uniform(15, 90), lambda share: share)


def uneven(dice: random.Random) -> Course:
    """The same, but steps come when they like."""
    return _course(dice, dice.uniform(15, 90), lambda _: dice.random())


def dishonest(dice: random.Random) -> Course:
    """The same, but all steps come in the first third."""
    return _course(dice, dice.uniform(15, 90), lambda _: dice.random() / 3)


def silent(dice: random.Random) -> Course:
    """The same without any progress."""
    ends = dice.uniform(15, 90)
    return Course(starts=dice.uniform(1, 4), ends=ends, steps=())


def heavy(dice: random.Random) -> Course:
    """Half a minute mostly, now and then an hour; no progress."""
    return Course(starts=dice.uniform(1, 4), ends=min(20 * dice.paretovariate(1.2), 3600), steps=())


def _course(dice: random.Random, ends: float, when: Callable[[float], float]) -> Course:
    starts, count = dice.uniform(1, 4), dice.randint(3, 12)
    shares = [step / count for step in range(1, count)]
    at = sorted(starts + (ends - starts) * when(share) for share in shares)
    steps = [(moment, int(100 * share)) for moment, share in zip(at, shares, strict=True)]
    return Course(starts=starts, ends=ends, steps=steps)


def by_habit(courses: Sequence[Course], *, interval: float, learning: int) -> Outcome:
    """As a lane looks at the tasks of an upstream without lists; the first `learning` do not count."""
    return _Watching(courses, Habits(interval)).outcome(learning)


class _Watching:
    """All tasks of an upstream, in the order of their due times."""

    def __init__(self, courses: Sequence[Course], habits: Habits) -> None:
        self._courses = courses
        self._habits = habits
        self._dice = random.Random(2)  # noqa: S311, a simulation
        self._looks = [0] * len(courses)
        self._late = [0.0] * len(courses)

    def outcome(self, learning: int) -> Outcome:
        lives: dict[int, Life] = {}
        heap = [(number * _BETWEEN + _ANSWER, number) for number in range(len(self._courses))]
        while heap:
            at, number = heapq.heappop(heap)
            gap = self._look(number, at, lives)
            if gap is not None:
                heapq.heappush(heap, (at + jittered(gap, self._dice.random()), number))
        return Outcome.of(self._looks[learning:], self._late[learning:])

    def _look(self, number: int, at: float, lives: dict[int, Life]) -> float | None:
        """What one look brings; seconds until the next, None after an end."""
        submitted, now = _START + timedelta(seconds=number * _BETWEEN), _START + timedelta(seconds=at)
        seen = self._courses[number].task(number, submitted, at - number * _BETWEEN)
        self._looks[number] += 1
        if seen.finished_at is not None:
            self._late[number] = (now - seen.finished_at).total_seconds()
            if life := lives.pop(number, None):
                self._habits.end(life, seen.finished_at, now)
            return None
        life = lives.get(number)
        if life is None:
            life = lives[number] = self._habits.begin(seen, now)
        elif (seen.progress or 0) > life.progress or (seen.started_at is not None and life.started is None):
            self._habits.follow(life, seen, now)
        return self._habits.gap(life, now.timestamp())


def by_interval(courses: Iterable[Course], *, interval: float, learning: int) -> Outcome:
    """At once, and then at every interval."""
    dice = random.Random(3)  # noqa: S311, a simulation
    looks, late = [], []
    for course in list(courses)[learning:]:
        at, count = _ANSWER, 1
        while at < course.ends:
            at, count = at + jittered(interval, dice.random()), count + 1
        looks.append(count)
        late.append(at - course.ends)
    return Outcome.of(looks, late)


def as_late_as(wanted: float, courses: Sequence[Course], *, learning: int) -> Outcome:
    """The fixed interval that finds ends as late, on average, as `wanted` seconds."""
    low, high = wanted / 2, wanted * 8
    found = by_interval(courses, interval=high, learning=learning)
    for _ in range(30):
        middle = (low + high) / 2
        found = by_interval(courses, interval=middle, learning=learning)
        if found.late < wanted:
            low = middle
        else:
            high = middle
    return found
