"""What is this daemon's due of the free tasks, and what it has too many of, by what the table of daemons says."""

from collections.abc import Callable, Collection, Iterable, Sequence

from tracker.shares import share, surplus
from tracker.store.daemons import Member

_PATIENCE = 2.0
"""Seconds for which free tasks are left to those who have fewer; then whoever has the fewest takes them all."""


class Shares:
    """One daemon's view of how the tasks are shared out."""

    def __init__(self, timer: Callable[[], float]) -> None:
        self._timer = timer
        self._left_at: float | None = None
        self._giving: set[str] = set()

    def room(self, upstream: str, me: str, mine: int, members: Iterable[Member], *, most: int, free: int = 0) -> int:
        """How many of `free` tasks that nobody watches, and of what those who are gone left, are ours to take."""
        members = list(members)
        others = _others(upstream, me, members)
        if not others:
            return most
        waited = self._left_at is not None and self._timer() - self._left_at > _PATIENCE
        if waited and (mine, me) <= min(others):
            return most
        waiting = free + sum(member.watching.get(upstream, 0) for member in members if member.is_gone)
        return min(max(share([mine, *(number for number, _ in others)], waiting) - mine, 0), most)

    def left(self, some: bool) -> None:  # noqa: FBT001 - what happened
        """Whether free tasks were left to others."""
        self._left_at = None if not some else self._left_at or self._timer()

    def surplus(self, upstream: str, me: str, mine: int, members: Iterable[Member]) -> int:
        """How many we have to give back."""
        others = [number for number, _ in _others(upstream, me, members)]
        over = surplus(mine, [mine, *others], is_giving_back=upstream in self._giving)
        (self._giving.add if over else self._giving.discard)(upstream)
        return over

    @property
    def is_giving_back(self) -> bool:
        """Whether there was more to give back at the last look."""
        return bool(self._giving)


def has_company(me: str, members: Iterable[Member]) -> bool:
    """Whether others live too."""
    return any(not member.is_gone and member.id != me for member in members)


def most_left(upstreams: Collection[str], me: str, members: Iterable[Member]) -> int:
    """How many tasks of these the one left behind that left the most, if we are alone and could go on as that one."""
    members = list(members)
    if has_company(me, members):
        return 0
    gone = (member for member in members if member.is_gone and member.can_be_followed)
    return max((member.watches(upstreams) for member in gone), default=0)


def _others(upstream: str, me: str, members: Iterable[Member]) -> Sequence[tuple[int, str]]:
    """Those who watch an upstream beside us: how many tasks, and who."""
    return [
        (member.watching[upstream], member.id)
        for member in members
        if not member.is_gone and member.id != me and upstream in member.watching
    ]
