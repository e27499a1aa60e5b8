"""Answers that go on for as long as somebody listens: so many at once, and none for who takes nothing of it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress

from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tracker.desk.news import News

MOST_STREAMS = 100
KEEP_ALIVE_SECONDS = 15.0
TAKEN_WITHIN_SECONDS = 30.0


class Listening(StreamingResponse):
    """Server-sent events, until there are no more or the reader leaves; `full` is answered where no room is left."""

    media_type = "text/event-stream"

    def __init__(self, told: AsyncIterator[str], news: News, *, full: ASGIApp, headers: Mapping[str, str]) -> None:
        super().__init__(told, headers=headers)
        self._news = news
        self._full = full

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream, where there is room for one more."""
        if self._news.streams >= MOST_STREAMS:
            await self._full(scope, receive, send)
            return

        async def send_in_time(message: Message) -> None:
            # Who takes nothing of what is told does not hold a place for ever.
            async with asyncio.timeout(TAKEN_WITHIN_SECONDS):
                await send(message)

        self._news.streams += 1
        try:
            with suppress(TimeoutError):
                await super().__call__(scope, receive, send_in_time)
        finally:
            self._news.streams -= 1
