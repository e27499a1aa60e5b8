"""A reader of server-sent events that talks to the app itself: every block as it is sent, without a server between."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI

WITHIN = 10.0


@dataclass
class Stream:
    """One request that is being answered."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    blocks: asyncio.Queue[dict[str, str] | None] = field(default_factory=asyncio.Queue)
    """Each by field; a comment under the empty name; None at the end."""
    body: bytes = b""
    _started: asyncio.Event = field(default_factory=asyncio.Event)
    _left: asyncio.Event = field(default_factory=asyncio.Event)
    _has_asked: bool = False

    async def receive(self) -> dict[str, Any]:
        if not self._has_asked:
            self._has_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:  # noqa: ANN401 - ASGI's own
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            self._started.set()
            return
        self.body += message.get("body", b"")
        *whole, rest = self.body.decode().split("\n\n")
        if self.headers["content-type"].startswith("text/event-stream"):
            self.body = rest.encode()
            for block in whole:
                self.blocks.put_nowait(dict(line.split(": ", 1) for line in _named(block)))
        if not message.get("more_body"):
            self.blocks.put_nowait(None)

    async def started(self) -> None:
        async with asyncio.timeout(WITHIN):
            await self._started.wait()

    async def next(self) -> dict[str, str] | None:
        """The next block; None at the end."""
        async with asyncio.timeout(WITHIN):
            return await self.blocks.get()

    def leave(self) -> None:
        self._left.set()


def _named(block: str) -> list[str]:
    return [line if not line.startswith(":") else f": {line[1:].strip()}" for line in block.splitlines()]


@asynccontextmanager
async def listening(app: FastAPI, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    """A stream of events that has begun; whoever leaves the block leaves it."""
    stream = Stream()
    named = {"accept": "text/event-stream", **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/v1/events",
        "raw_path": b"/v1/events",
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in named.items()],
        "client": ("127.0.0.1", 1),
        "server": ("tracker.test", 80),
    }
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(app(scope, stream.receive, stream.send))
        await stream.started()
        try:
            yield stream
        finally:
            stream.leave()
