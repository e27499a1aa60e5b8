"""The feed as a live stream of server-sent events."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial

from fastapi import Request
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from tracker.api.answer import Answer
from tracker.api.auth import is_still
from tracker.api.ports import Ports
from tracker.api.problems import problem
from tracker.desk.news import News
from tracker.desk.queries import feed_cursor
from tracker.errors import UnavailableError
from tracker.intake import Caller
from tracker.store import feed
from tracker.store.feed import FeedLine, Position
from tracker.telling import tell_line

MOST_STREAMS = 100
KEEP_ALIVE_SECONDS = 15.0
PAGE = 100
_TAKEN_WITHIN_SECONDS = 30
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventStream(StreamingResponse):
    """Tells what changes until the reader leaves, its token ends, or the daemon stops."""

    media_type = "text/event-stream"

    def __init__(self, request: Request, ports: Ports, news: News, caller: Caller, position: Position) -> None:
        super().__init__(self._told(), headers=_HEADERS)
        self._ports = ports
        self._news = news
        self._caller = caller
        self._is_welcome = partial(is_still, request, caller)
        self._position = position
        self._told_at = ports.timer()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream, where there is room for one more."""
        if self._news.streams >= MOST_STREAMS:
            detail = f"{MOST_STREAMS} streams are open, which is the most; ask for pages, or try again later"
            await problem(503, detail, headers={"Retry-After": "5"})(scope, receive, send)
            return

        async def send_in_time(message: Message) -> None:
            # Who takes nothing of what is told does not hold a place for ever.
            async with asyncio.timeout(_TAKEN_WITHIN_SECONDS):
                await send(message)

        self._news.streams += 1
        try:
            with suppress(TimeoutError):
                await super().__call__(scope, receive, send_in_time)
        finally:
            self._news.streams -= 1

    async def _told(self) -> AsyncIterator[str]:
        yield self._comment("everything that changes from here on")
        while not self._ports.stopping.is_set():
            bell = self._news.bell
            lines: list[FeedLine] = []
            # A database that is out of reach is no reason to leave: what is missed meanwhile is told later.
            with suppress(UnavailableError):
                if not await self._is_welcome():
                    return
                lines = await self._look()
            if lines:
                yield self._note("".join(map(_block, lines)))
            elif self._ports.timer() - self._told_at >= KEEP_ALIVE_SECONDS:
                yield self._comment("still here")
            if len(lines) < PAGE:
                await self._news.wait(bell)

    async def _look(self) -> list[FeedLine]:
        if await self._news.end() <= self._position:
            return []
        look = partial(feed.page, position=self._position, owner=self._caller.only_owner, limit=PAGE)
        lines, self._position = await self._ports.database.ask(look)
        return lines

    def _comment(self, text: str) -> str:
        """Nothing new, and from where to go on: a reader that is cut off now misses nothing."""
        return self._note(f": {text}\nid: {feed_cursor(self._position)}\n\n")

    def _note(self, told: str) -> str:
        self._told_at = self._ports.timer()
        return told


def _block(line: FeedLine) -> str:
    cursor = feed_cursor(line.position)
    told = bytes(Answer(tell_line(line, cursor)).body).decode()
    return f"id: {cursor}\nevent: {line.event}\ndata: {told}\n\n"
