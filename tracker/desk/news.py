"""Whether there is anything new in the feed: one question for all who listen, and never many a second."""

import asyncio
from dataclasses import dataclass, field

from tracker.store import feed
from tracker.store.database import Database
from tracker.store.feed import BEGINNING, Position

LOOK_EVERY_SECONDS = 0.75
"""What another process wrote is found within a second; what this one writes is known at once."""
_FRESH_SECONDS = 0.25
_PACE_SECONDS = 0.2


@dataclass(slots=True)
class _Known:
    end: Position = BEGINNING
    at: float = float("-inf")
    rung: int = -1
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class News:
    """Rings when this process wrote something, and knows where the feed ends."""

    def __init__(self, database: Database, stopping: asyncio.Event) -> None:
        self._database = database
        self._stopping = stopping
        self._bell = asyncio.Event()
        self._rung = 0
        self._known = _Known()
        self.streams = 0
        """How many listen."""
        database.listen(self._ring)

    def _ring(self) -> None:
        self._rung += 1
        self._bell.set()
        # Who waits has the old one; who comes later waits for the next time.
        self._bell = asyncio.Event()

    @property
    def bell(self) -> asyncio.Event:
        """Set at the next ring. Taken before a look, it lets nothing pass unheard."""
        return self._bell

    async def wait(self, bell: asyncio.Event) -> None:
        """Return when the bell has rung, when the daemon stops, or when it is time to look anyway."""
        waits = [asyncio.ensure_future(one.wait()) for one in (bell, self._stopping)]
        try:
            await asyncio.wait(waits, timeout=LOOK_EVERY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    async def end(self) -> Position:
        """Where the feed ends, after everything that has rung so far."""
        rung = self._rung
        async with self._known.lock:
            if not self._is_known(rung):
                await self._ask()
        return self._known.end

    def _is_known(self, rung: int) -> bool:
        is_fresh = asyncio.get_running_loop().time() - self._known.at < _FRESH_SECONDS
        return is_fresh and self._known.rung >= rung

    async def _ask(self) -> None:
        wait = self._known.at + _PACE_SECONDS - asyncio.get_running_loop().time()
        if wait > 0 and not self._stopping.is_set():
            await asyncio.sleep(wait)
        rung = self._rung
        self._known.end = await self._database.ask(feed.end)
        self._known.rung, self._known.at = rung, asyncio.get_running_loop().time()
