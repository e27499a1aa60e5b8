"""What a daemon remembers of a task's life in order to expect its end."""

from dataclasses import dataclass, field

BUCKETS = 5
"""Progress teaches apart what it means early and late: a fifth each."""


@dataclass(slots=True, kw_only=True)
class Life:
    """When it began, how far it was when; moments are seconds since 1970 on our clock, gaps are seconds."""

    began: float
    action: str = ""
    started: float | None = None
    progress: int = 0
    seen: dict[int, float] = field(default_factory=dict)
    """By fifth of the way: the seconds that one percent took until the newest progress in it was seen."""
    news: float = 0.0
    """When it last changed."""
    gap: float = 0.0
    """What the newest look was told to be the wait for the next."""
    looked: float = 0.0
    """When the gap began."""

    @property
    def running(self) -> float:
        """Since when it is being worked on, as far as is known."""
        return self.began if self.started is None else self.started

    def advance(self, progress: int, now: float) -> None:
        """Note new progress in percent."""
        if self.progress < progress < 100:  # noqa: PLR2004 - all of it says nothing of when
            self.progress = progress
            self.seen[bucket(progress)] = max(now - self.running, 0.05) / progress


def bucket(progress: int) -> int:
    """The fifth of the way that a progress in percent is in."""
    return min(progress * BUCKETS // 100, BUCKETS - 1)
