"""Who calls: bearer tokens, looked up by hash and remembered for a moment."""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, cast

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param

from tracker.clock import Clock
from tracker.errors import RefusedError, UnavailableError
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


_bearer = HTTPBearer(
    scheme_name="token",
    bearerFormat="trk_…",
    description="Made by `tracker token create`; has an owner and a scope: read, write or admin.",
    auto_error=False,
)


async def caller_of(
    request: Request, shown: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> Caller:
    """Who makes a request; raises RefusedError without a good token."""
    if shown is None:
        raise RefusedError("a token is needed: send the header Authorization: Bearer trk_…", http_status=401)
    book = cast("TokenBook", request.app.state.tokens)  # the framework's state has no types
    found = await book.caller(shown.credentials)
    if found is None:
        raise RefusedError("this token is unknown or revoked", http_status=401)
    return found


async def must_be(request: Request, scope: str) -> None:
    """Raise RefusedError unless the request's token allows this, for calls that need one only where configured."""
    (await caller_of(request, await _bearer(request))).must_be(scope)


async def is_still(request: Request, caller: Caller) -> bool:
    """Whether the token that a request came with still says the same of its caller."""
    book = cast("TokenBook", request.app.state.tokens)  # the framework's state has no types
    _, shown = get_authorization_scheme_param(request.headers.get("authorization"))
    return await book.caller(shown) == caller


_AnyCaller = Annotated[Caller, Depends(caller_of)]


async def _reader(caller: _AnyCaller) -> Caller:
    caller.must_be("read")
    return caller


async def _writer(caller: _AnyCaller) -> Caller:
    caller.must_be("write")
    return caller


async def _admin(caller: _AnyCaller) -> Caller:
    caller.must_be("admin")
    return caller


Reader = Annotated[Caller, Depends(_reader)]
"""A caller who may look."""
Writer = Annotated[Caller, Depends(_writer)]
"""A caller who may change things."""
Admin = Annotated[Caller, Depends(_admin)]
"""A caller who may change what concerns everybody."""
