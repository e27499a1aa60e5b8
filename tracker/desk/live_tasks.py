"""How many live tasks each owner has: read from the database now and then, and counted on in between.

Tasks that end are noticed with the next reading, as is what other daemons have accepted since the last one. This
daemon's own are counted when they are promised, so that requests of the same moment cannot share the last place.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial

from tracker.desk.owner_book import OwnerBook
from tracker.errors import InputError, ThrottledError
from tracker.store.database import Database
from tracker.store.owners import adding_nothing, count_live

FRESH_SECONDS = 10.0
"""How long a reading is trusted while there is room."""
REST = 10
"""Where there is no room it is read again, but after a rest of so many times what reading it took."""
RETRY_AFTER_SECONDS = 60
SETTING = "limits.live_tasks_per_owner"

Names = Collection[tuple[str, str]]
"""Upstream and task id of what is to be registered, each once."""


@dataclass(slots=True)
class Promise:
    """Places that a write was promised; whoever writes says how many it took."""

    taken: int


@dataclass(slots=True)
class _Account:
    count: int = 0
    """As read, and what was written since."""
    read_at: float = float("-inf")
    rests_until: float = float("-inf")
    promised: int = 0
    none_promised: asyncio.Event = field(default_factory=asyncio.Event)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    requests: int = 0

    def __post_init__(self) -> None:
        self.none_promised.set()


class LiveTasks:
    """Gives out the places that each owner has for live tasks."""

    def __init__(self, most: int, database: Database, timer: Callable[[], float]) -> None:
        self._most = most
        self._database = database
        self._timer = timer
        self._accounts = OwnerBook(make=_Account, is_idle=self._is_idle)

    @asynccontextmanager
    async def promised(self, owner: str, names: Names) -> AsyncIterator[Promise]:
        """Places for these tasks while they are written; raises ThrottledError where there are not enough."""
        account = self._accounts[owner]
        account.requests += 1
        try:
            async with account.lock:
                places = await self._places(account, owner, names)
                account.promised += places
                if places:
                    account.none_promised.clear()
            with _settling(account, places) as promise:
                yield promise
        finally:
            account.requests -= 1

    async def _places(self, account: _Account, owner: str, names: Names) -> int:
        """How many places these need: all of them where that is known to fit, else what the database says."""
        is_fresh = self._timer() - account.read_at < FRESH_SECONDS
        if is_fresh and account.count + account.promised + len(names) <= self._most:
            return len(names)
        # What is being written just now is in the database then, and is counted once.
        await account.none_promised.wait()
        if self._timer() >= account.rests_until:
            await self._read(account, owner)
        if account.count + len(names) <= self._most:
            return len(names)
        known = await self._database.ask(partial(adding_nothing, owner=owner, names=names))
        places = len(names) - len(known)
        self._must_fit(account.count, places)
        return places

    async def _read(self, account: _Account, owner: str) -> None:
        started = self._timer()
        account.count = await self._database.ask(partial(count_live, owner=owner, most=self._most + 1))
        account.read_at = started
        ended = self._timer()
        account.rests_until = ended + min(REST * (ended - started), FRESH_SECONDS)

    def _must_fit(self, count: int, places: int) -> None:
        rule = f"an owner's live tasks are limited to {self._most} ({SETTING})"
        if places > self._most:
            raise InputError("body", f"has {places} new tasks, and {rule}", f"send at most {self._most} at a time")
        if places and count + places > self._most:
            room = max(self._most - count, 0)
            way_out = "wait until some end, or drop some (DELETE /v1/tasks/{id}), and try again"
            raise ThrottledError(f"{rule}: there is room for {room}; {way_out}", retry_after=RETRY_AFTER_SECONDS)

    def _is_idle(self, account: _Account) -> bool:
        return not account.requests and self._timer() - account.read_at >= FRESH_SECONDS


@contextmanager
def _settling(account: _Account, places: int) -> Iterator[Promise]:
    """A promise; should nobody say what became of it, the worst is taken for true until the next reading."""
    promise = Promise(places)
    try:
        yield promise
    except InputError:
        promise.taken = 0
        raise
    finally:
        account.count += promise.taken
        account.promised -= places
        if not account.promised:
            account.none_promised.set()
