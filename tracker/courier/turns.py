"""Whose attempt is made now: at most so many at a time in all, and at most so many of them to one endpoint."""

import asyncio
from weakref import WeakValueDictionary


class _Endpoint(asyncio.Semaphore):
    """Whose turn it is at one endpoint, and how many of those have a place as well."""

    called = 0


class Turns:
    """Who waits for its endpoint takes no place of anybody else."""

    def __init__(self, most: int, most_each: int) -> None:
        self._any = asyncio.Semaphore(most)
        self._most_each = most_each
        self._each: WeakValueDictionary[str, _Endpoint] = WeakValueDictionary()
        """Of the endpoints that somebody is called at, or waits for."""

    async def take(self, endpoint: str, *, within: float) -> "Turn | None":
        """Wait for a turn, to be given back; None where its endpoint had none within so many seconds."""
        one = self._each.get(endpoint)
        if one is None:
            one = self._each[endpoint] = _Endpoint(self._most_each)
        if not await _acquire(one, within):
            return None
        try:
            await self._any.acquire()
        except BaseException:
            one.release()
            raise
        return Turn(one, self._any)


async def _acquire(one: _Endpoint, within: float) -> bool:
    if not one.locked():
        return await one.acquire()
    while True:
        try:
            async with asyncio.timeout(within):
                return await one.acquire()
        except TimeoutError:
            # Where those before us wait for a place themselves, all are busy: that says nothing of this endpoint.
            if one.called:
                return False


class Turn:
    """The right to make one attempt."""

    __slots__ = ("_any", "_one")

    def __init__(self, one: _Endpoint, any_: asyncio.Semaphore) -> None:
        self._one = one
        self._any = any_
        one.called += 1

    def give_back(self) -> None:
        """The attempt is over."""
        self._one.called -= 1
        self._any.release()
        self._one.release()
