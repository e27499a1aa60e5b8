"""What the retry schedules of others would make of an outage. Pure: times are seconds, the dice are an argument."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long a message waits after each failure; after the last of them it is dead."""

    name: str
    waits: Sequence[float]
    jitter: float = 0.0
    """The share of a wait that is more or less by chance."""


SVIX = Schedule(name="Svix", waits=(5, 300, 1800, 7200, 18_000, 36_000, 36_000), jitter=0.2)
CONVOY = Schedule(name="Convoy", waits=(100,) * 10)
OUTPOST = Schedule(name="Outpost", waits=tuple(30 * 2**times for times in range(10)))
THEIRS = (SVIX, CONVOY, OUTPOST)
"""Their defaults: each message on its own, whatever became of the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """How a backlog went away after the receiver had come back."""

    dead: int
    """Messages that had run out of attempts before: somebody has to send them again."""
    last_after: float
    """Seconds from the recovery until the last of the others was delivered."""
    requests: int
    """How many the receiver got while it was down."""

    @property
    def empty_after(self) -> float:
        """Seconds from the recovery until nothing waited; infinite where that takes a person."""
        return math.inf if self.dead else self.last_after


def recover(schedule: Schedule, arrivals: Iterable[float], *, up_at: float, dice: Callable[[], float]) -> Recovery:
    """Send messages that arrive at these times to a receiver that fails before `up_at` and never afterwards."""
    dead = requests = 0
    last = up_at
    for arrived_at in arrivals:
        tried_at, failures = arrived_at, 0
        while tried_at < up_at:
            requests += 1
            failures += 1
            if failures > len(schedule.waits):
                dead += 1
                break
            tried_at += schedule.waits[failures - 1] * (1 + schedule.jitter * (2 * dice() - 1))
        else:
            last = max(last, tried_at)
    return Recovery(dead=dead, last_after=last - up_at, requests=requests)
