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
    """httpx's client as it comes, with so many connections, behind our interface."""

    def __init__(self, connections: int) -> None:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._client = httpx.AsyncClient(limits=limits, timeout=None, trust_env=False)  # noqa: S113 - callers have one

    async def open(self, request: Request) -> Response:
        """Send a request and wait for all of its answer."""
        headers, content = {**request.headers, **request.own}, request.content or None
        return _Whole(await self._client.request(request.method, request.url, headers=headers, content=content))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class _Whole:
    """An answer that has been read, and has let go of its connection by that."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response

    def rest(self) -> bytes:
        return self._response.content

    async def read(self) -> bytes:
        return b""

    def release(self) -> None:
        """Done by reading."""

    def close(self) -> None:
        """Left to the pool."""
