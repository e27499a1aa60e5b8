"""What the cheap servers of benchmarks have in common: cutting what arrives into requests."""

import asyncio
import re
from typing import NamedTuple

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Found(NamedTuple):
    """A request that is complete: where its head ends, and how long it is in all."""

    head: int
    length: int


def first_of(received: bytes) -> Found | None:
    """The first request in what has been received, if it is complete; one with a body tells its content-length."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    length = _LENGTH.search(received, 0, end)
    whole = end + 4 + (int(length[1]) if length else 0)
    return None if len(received) < whole else Found(end, whole)


class Answering(asyncio.Protocol):
    """One connection; requests come one after another."""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment] # TCP gives this kind

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete by now."""
        self._received += data
        while found := first_of(self._received):
            head, body = self._received[: found.head], self._received[found.head + 4 : found.length]
            self._received = self._received[found.length :]
            self._transport.write(self.answer(head, body))

    def answer(self, head: bytes, body: bytes) -> bytes:
        """The whole answer to a request."""
        raise NotImplementedError
