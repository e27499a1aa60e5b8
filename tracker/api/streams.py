"""The feed as a live stream of server-sent events."""

from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial

from fastapi import Request

from tracker.api.answer import Answer
from tracker.api.auth import is_still
from tracker.api.ports import Ports
from tracker.api.problems import problem
from tracker.desk.listening import KEEP_ALIVE_SECONDS, MOST_STREAMS, Listening
from tracker.desk.news import News
from tracker.desk.queries import feed_cursor
from tracker.errors import UnavailableError
from tracker.intake import Caller
from tracker.store import feed
from tracker.store.feed import FeedLine, Position
from tracker.telling import tell_line

PAGE = 100
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventStream(Listening):
    """Tells what changes until the reader leaves, its token ends, or the daemon stops."""

    def __init__(self, request: Request, ports: Ports, news: News, caller: Caller, position: Position) -> None:
        detail = f"{MOST_STREAMS} streams are open, which is the most; ask for pages, or try again later"
        super().__init__(self._told(), news, full=problem(503, detail, headers={"Retry-After": "5"}), headers=_HEADERS)
        self._ports = ports
        self._caller = caller
        self._is_welcome = partial(is_still, request, caller)
        self._position = position
        self._told_at = ports.timer()

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
