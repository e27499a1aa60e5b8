"""Telling a page that there is something new; what it is, the page asks for itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial

from starlette.responses import PlainTextResponse, Response

from tracker.desk.listening import KEEP_ALIVE_SECONDS, Listening
from tracker.errors import UnavailableError
from tracker.store import feed
from tracker.store.feed import Position
from tracker.web.sessions import caller_of, presented_by
from tracker.web.visit import Visit

_PACE_SECONDS = 0.5
"""So often at most a page is told: it reads itself anew each time."""
_HEADERS = {"X-Accel-Buffering": "no"}
_CHANGED = "event: changed\ndata:\n\n"
_STILL_HERE = ": still here\n\n"


async def stream(visit: Visit) -> Response:
    """Says whenever something changed that its reader may see, until they leave or sign out, or the daemon stops."""
    if visit.request.method == "HEAD":
        return Response(media_type=Listening.media_type)
    position = await visit.desk.news.end()
    # The page asks now and then instead.
    full = PlainTextResponse("too many pages are open", status_code=503, headers={"Retry-After": "30"})
    return Listening(_told(visit, position), visit.desk.news, full=full, headers=_HEADERS)


async def _told(visit: Visit, position: Position) -> AsyncIterator[str]:
    news, timer = visit.desk.news, visit.ports.timer
    # Who comes back after a break may have missed something.
    yield _CHANGED
    told_at = timer()
    while not visit.ports.stopping.is_set():
        bell = news.bell
        has_changed = False
        with suppress(UnavailableError):
            if not await _is_welcome(visit):
                return
            has_changed, position = await _look(visit, position)
        if has_changed:
            yield _CHANGED
            told_at = timer()
            await _rest(visit)
        elif timer() - told_at >= KEEP_ALIVE_SECONDS:
            yield _STILL_HERE
            told_at = timer()
        await news.wait(bell)


async def _look(visit: Visit, position: Position) -> tuple[bool, Position]:
    end = await visit.desk.news.end()
    if end <= position:
        return False, position
    if visit.caller.sees_all:
        return True, end
    look = partial(feed.page, position=position, owner=visit.caller.only_owner, limit=1)
    lines, _ = await visit.ask(look)
    return bool(lines), end


async def _is_welcome(visit: Visit) -> bool:
    presented = presented_by(visit.request)
    return presented is not None and await caller_of(visit.ports, presented) == visit.signed_in


async def _rest(visit: Visit) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_PACE_SECONDS):
            await visit.ports.stopping.wait()
