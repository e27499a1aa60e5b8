"""Who shows which token: looked up by hash, and remembered for a moment."""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from tracker.clock import Clock
from tracker.errors import UnavailableError
from tracker.intake import Caller
from tracker.store import access
from tracker.store.database import Database

REMEMBERED_SECONDS = 0.5
"""Short enough that a revocation is noticed within a second."""
NOTED_EVERY_SECONDS = 60.0
LARGEST_BOOK = 1024
_LONGEST_TOKEN = 128


@dataclass(slots=True)
class _Entry:
    line: access.TokenLine | None = None
    caller: Caller | None = None
    good_until: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class TokenBook:
    """Remembers what the database said about tokens, good and bad, and notes when they are used."""

    def __init__(self, database: Database, clock: Clock, timer: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._timer = timer
        self._entries: dict[str, _Entry] = {}
        self._noted: dict[str, float] = {}

    def at_hand(self, presented: str) -> Caller | None:
        """Whose token this is, where the book knows it just now; for those who call all the time."""
        entry = self._entries.get(presented)
        now = self._timer()
        if entry is None or entry.caller is None or entry.line is None or entry.good_until <= now:
            return None
        return entry.caller if now - self._noted.get(entry.line.id, -math.inf) < NOTED_EVERY_SECONDS else None

    async def caller(self, presented: str) -> Caller | None:
        """Whose token this is; None for one that is unknown or revoked."""
        if len(presented) > _LONGEST_TOKEN or not presented.isascii() or not presented.startswith("trk_"):
            return None
        entry = await self._look_up(presented)
        if entry.line is None:
            return None
        await self._note_use(entry.line.id)
        return entry.caller

    async def _look_up(self, presented: str) -> _Entry:
        entry = self._entry(presented)
        if entry.good_until <= self._timer():
            # One question at a time: a burst of requests with one token is one read.
            async with entry.lock:
                asked_at = self._timer()
                if entry.good_until <= asked_at:
                    entry.line = await self._database.read(partial(access.check_token, presented=presented))
                    entry.caller = Caller(owner=entry.line.owner, scope=entry.line.scope) if entry.line else None
                    entry.good_until = asked_at + REMEMBERED_SECONDS
        return entry

    def _entry(self, presented: str) -> _Entry:
        entry = self._entries.get(presented)
        if entry is None:
            if len(self._entries) >= LARGEST_BOOK:
                del self._entries[next(iter(self._entries))]
            entry = self._entries[presented] = _Entry()
        return entry

    async def _note_use(self, id_: str) -> None:
        now = self._timer()
        noted_at = self._noted.get(id_)
        if noted_at is not None and now - noted_at < NOTED_EVERY_SECONDS:
            return
        self._noted[id_] = now
        # Nobody is refused an answer because a note could not be taken.
        with suppress(UnavailableError):
            await self._database.write(partial(access.touch_tokens, ids=[id_], now=self._clock()))
