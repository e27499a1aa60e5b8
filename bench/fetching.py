"""Exchanges without a tracker: the ceiling of our own transport, and httpx's pool in its place."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self

import httpx

from tracker.http import Client, Fixed, Request, Response

HEADERS = Fixed({"accept": "application/json", "user-agent": "bench", "accept-encoding": "identity"})


async def fetched(client: Client, method: str, url: str, content: bytes = b"") -> bytes:
    """The body of an answer by the shortest way, and nothing that guards anybody: no deadline, no bounds."""
    response = await client.open(Request(method=method, url=url, headers=HEADERS, content=content))
    if (body := response.rest()) is None:
        chunks = []
        while chunk := await response.read():
            chunks.append(chunk)
        body = b"".join(chunks)
    response.release()
    return body


async def at_once(slots: int, times: int, step: Callable[[int], Awaitable[object]]) -> None:
    """Take this many steps, so many of them at any moment."""
    numbers = iter(range(times))

    async def work() -> None:
        for number in numbers:
            await step(number)

    await asyncio.gather(*(work() for _ in range(slots)))


class HttpxClient:
    """httpx's own pool behind our interface."""

    def __init__(self, connections: int) -> None:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._transport = httpx.AsyncHTTPTransport(limits=limits, trust_env=False)

    async def open(self, request: Request) -> Response:
        """Send a request and wait for all of its answer's headers."""
        asked = httpx.Request(request.method, request.url, headers=request.headers, content=request.content or None)
        return _Whole(await self._transport.handle_async_request(asked))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class _Whole:
    """An answer that is read in one go, and lets go of its connection by that."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = dict(response.headers)
        self._response = response
        self._is_read = False

    def rest(self) -> None:
        """Nothing: all of it is still to be read."""

    async def read(self) -> bytes:
        if self._is_read:
            return b""
        self._is_read = True
        body = await self._response.aread()
        await self._response.aclose()
        return body

    def release(self) -> None:
        """Done by reading."""

    def close(self) -> None:
        """Left to the pool."""
