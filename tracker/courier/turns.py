"""Whose attempt is made now: at most so many at a time in all, and at most so many of them to one endpoint."""

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Endpoint(Generic[T]):
    taken: int = 0
    """Turns at it: of those who are called, and of those who have only to wait for a place."""
    called: int = 0
    called_since: float = 0.0
    """Since when there is always somebody called, without a moment in between."""
    waiting: deque[tuple[float, T]] = field(default_factory=deque)
    """Since when, and who."""


class Turns(Generic[T]):
    """Calls those who wait in their order; who waits for its endpoint takes no place of anybody else.

    All times are of one clock, in seconds.
    """

    def __init__(self, most: int, most_each: int) -> None:
        self._free = most
        self._most_each = most_each
        self._each: dict[str, _Endpoint[T]] = {}
        """Of the endpoints that somebody is called at, or waits for."""
        self._ready: deque[tuple[_Endpoint[T], T]] = deque()
        """Those who wait for nothing but a place."""
        self.waiting = 0
        """How many wait for others at their endpoint."""

    def wait(self, endpoint: str, who: T, now: float) -> None:
        """Have somebody wait for a turn; `next` tells when it has come."""
        one = self._each.get(endpoint)
        if one is None:
            one = self._each[endpoint] = _Endpoint()
        if one.taken < self._most_each:
            one.taken += 1
            self._ready.append((one, who))
        else:
            one.waiting.append((now, who))
            self.waiting += 1

    def next(self, now: float) -> T | None:
        """Who is called now, until `give_back`; None where nobody waits, or no place is free."""
        if not self._free or not self._ready:
            return None
        self._free -= 1
        one, who = self._ready.popleft()
        if not one.called:
            one.called_since = now
        one.called += 1
        return who

    def give_back(self, endpoint: str) -> None:
        """Somebody who was called at this endpoint is done."""
        one = self._each[endpoint]
        self._free += 1
        one.called -= 1
        if one.waiting:
            self._ready.append((one, one.waiting.popleft()[1]))
            self.waiting -= 1
        else:
            one.taken -= 1
            if not one.taken:
                del self._each[endpoint]

    def take_late(self, since: float) -> list[T]:
        """Send away those who have waited since then for others at their endpoint that were called all the time.

        Where those before them waited for a place themselves, all were busy: that says nothing of the endpoint.
        """
        late: list[T] = []
        for one in self._each.values():
            if one.called and one.called_since <= since:
                while one.waiting and one.waiting[0][0] <= since:
                    late.append(one.waiting.popleft()[1])
        self.waiting -= len(late)
        return late
