"""Connections that take one answer for each request, and a pool that keeps only a few times as many as may be in use.

The client's own take whatever a server says while they are idle, hold any amount of it, and count it as the answer
to the next request; and any number of them may be idle.
"""

import asyncio
import functools
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader

MOST_EARLY_WORDS = 16
"""Answers like 103 that may come before the one that counts; each costs time, and nothing else bounds them."""
IDLE_FOR_EACH = 4
"""Idle connections that are kept for each that may be in use: those of other endpoints, whose turn comes soon."""
GOODBYE_SECONDS = 1.0
"""For the end of a connection: unsent bytes would keep it for ever, TLS for half a minute."""

_SWITCHING = 101
_FIRST_FINAL = 200


class Connection(ResponseHandler):
    """Hangs up on a server that says anything beyond the one answer it was asked for."""

    _early_words = 0
    _is_answered = False
    _goodbye: asyncio.TimerHandle | None = None

    def set_response_params(self, **parameters: Any) -> None:  # noqa: ANN401 - the client's own, passed on
        """Begin to wait for the answer to a request."""
        self._early_words = 0
        self._is_answered = False
        super().set_response_params(**parameters)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Take a status line with its headers."""
        message, _ = data
        self._is_answered |= message.code == _SWITCHING or message.code >= _FIRST_FINAL
        self._early_words += not self._is_answered
        if self._early_words <= MOST_EARLY_WORDS:
            super().feed_data(data, size)
        else:
            self._hang_up()
            self.set_exception(HttpProcessingError(message="too many answers before the one that counts"))

    def data_received(self, data: bytes) -> None:
        """Take bytes, unless the answer is complete already."""
        is_idle = self._is_answered and (self._payload is None or self._payload.is_eof())
        if data and is_idle:
            self._hang_up()
        else:
            super().data_received(data)

    def close(self) -> None:
        """End it, whether or not the server takes part."""
        transport = self.transport
        super().close()
        if transport is not None:
            self._goodbye = self._loop.call_later(GOODBYE_SECONDS, transport.abort)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note that it has ended: a transport that has must not be ended again."""
        if self._goodbye is not None:
            self._goodbye.cancel()
        super().connection_lost(exc)

    def _hang_up(self) -> None:
        self.force_close()
        self.close()


class Connector(aiohttp.TCPConnector):
    """A pool of such connections."""

    def __init__(self, **parameters: Any) -> None:  # noqa: ANN401 - the client's own, passed on
        super().__init__(**parameters)
        # A partial of a subclass is no partial of its base to the type checker.
        self._factory = functools.partial(Connection, loop=self._loop)  # type: ignore[assignment]
        self._most_idle = IDLE_FOR_EACH * self.limit
        self._idle = 0
        """At most so many are idle: those that are taken are not counted until it matters, for there are many hosts."""

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        if self._idle >= self._most_idle:
            self._idle = sum(map(len, self._conns.values()))
        is_full = self._idle >= self._most_idle
        self._idle += not is_full
        super()._release(key, protocol, should_close=should_close or is_full)
