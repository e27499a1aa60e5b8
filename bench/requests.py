"""What the cheap servers of benchmarks have in common: cutting what arrives into requests."""

import asyncio
import re

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Answering(asyncio.Protocol):
    """One connection; requests come one after another, with a content-length where they have a body."""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment] # TCP gives this kind

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete by now."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._received, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < whole:
                return
            head, body = self._received[:end], self._received[end + 4 : whole]
            self._received = self._received[whole:]
            self._transport.write(self.answer(head, body))

    def answer(self, head: bytes, body: bytes) -> bytes:
        """The whole answer to a request."""
        raise NotImplementedError
