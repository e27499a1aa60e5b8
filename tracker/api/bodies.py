"""Reading what was sent: bounded while it arrives, and parsed only then."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from pydantic_core import from_json
from starlette.exceptions import HTTPException
from starlette.requests import Request

from tracker.errors import InputError

LARGEST_BODY = 4_000_000
MOST_DRAINED = 64_000_000
DRAIN_SECONDS = 10.0


async def read_json(request: Request) -> object:
    """The JSON of a request's body, whatever content type it claims."""
    body = await _read(request)
    try:
        return from_json(body)
    except ValueError as error:
        if "recursion limit" in str(error):
            raise InputError("body", "is nested too deep", "send fewer levels") from None
        fix = "send one JSON document in UTF-8"
        raise InputError("body", f"is not JSON: {error}", fix) from None


async def _read(request: Request) -> bytes:
    body = bytearray()
    parts = request.stream()
    async for part in parts:
        body += part
        if len(body) > LARGEST_BODY:
            await _drain(parts, len(body))
            # Some of it may still be unread, so the connection can carry nothing else.
            raise HTTPException(
                413, f"a body has at most {LARGEST_BODY} bytes; send it in parts", {"Connection": "close"}
            )
    return bytes(body)


async def _drain(parts: AsyncIterator[bytes], size: int) -> None:
    """Let go by what a client that is still sending would else not see the answer for; within bounds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for part in parts:
                size += len(part)
                if size > MOST_DRAINED:
                    return
