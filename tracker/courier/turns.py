"""Whose attempt is made now: at most so many at a time in all, and at most so many of them to one endpoint."""

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class _Endpoint(Generic[T]):
    __slots__ = ("called", "taken", "waiting")

    def __init__(self) -> None:
        self.taken = 0
        """Turns at it: of those who are called, and of those who have only to wait for a place."""
        self.called = 0
        self.waiting: deque[tuple[float, T]] = deque()
        """Since when, and who."""


class Turns(Generic[T]):
    """Calls those who wait in their order; who waits for its endpoint takes no place of anybody else."""

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

    def next(self) -> T | None:
        """Who is called now, until `give_back`; None where nobody waits, or no place is free."""
        if not self._free or not self._ready:
            return None
        self._free -= 1
        one, who = self._ready.popleft()
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
        """Send away those who have waited for others at their endpoint since then.

        Where those before them wait for a place themselves, all are busy: that says nothing of the endpoint.
        """
        late: list[T] = []
        for one in self._each.values():
            while one.called and one.waiting and one.waiting[0][0] <= since:
                late.append(one.waiting.popleft()[1])
        self.waiting -= len(late)
        return late

    def take_all(self) -> list[T]:
        """Send away everybody who is not called."""
        left = [who for _, who in self._ready]
        for one, _ in self._ready:
            one.taken -= 1
        self._ready.clear()
        for endpoint, one in [*self._each.items()]:
            left += (who for _, who in one.waiting)
            one.waiting.clear()
            if not one.taken:
                del self._each[endpoint]
        self.waiting = 0
        return left
