"""One request on one pooled connection: what is asked of aiohttp, and nothing else.

httpx's own pool costs twenty times the CPU at a hundred connections. What stands above the connections in both
libraries, requests and responses, redirects, cookies, authentication and traces, would all have to be turned off and
costs more than the exchange: here a request is bytes that are written, and an answer is what the parser makes of it.
"""

import functools
import re
from asyncio import WriteTransport
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, cast

import aiohttp
import httpx
import msgspec
from aiohttp.client_exceptions import ClientConnectionResetError
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader
from yarl import URL

from tracker.http import phases
from tracker.http.answer_headers import AnswerHeaders
from tracker.http.connections import Connector
from tracker.http.targets import target_of
from tracker.model import Phase

_NO_TIMEOUTS = aiohttp.ClientTimeout(total=None)
_SWITCHING, _FIRST_FINAL = 101, 200
_MOST_BUFFERED = 64 * 1024
"""Bytes of an answer that wait for us on each connection before its sender has to; there may be twice as many."""
_USUAL = re.compile(r"(https?://[^/?#@\\\s]+)(/[\w/.~%:@!$&'()*+,;=-]*)", re.ASCII)
"""A URL of which httpx has to judge but the origin, and nothing needs to be escaped."""
_LONGEST_USUAL = 2000
_WITH_BODY = ("POST", "PUT", "PATCH")
_OURS = frozenset({"content-length", "transfer-encoding"})
_IS_OURS = "how long a request is, is written by the client alone"
_NO_FIELDS: Mapping[str, str] = {}
_ANY_BYTES = {"content-type": "application/octet-stream"}


class Fixed(dict[str, str]):
    """Headers of many requests, never to be changed again: how they are written is worked out once."""

    __hash__ = object.__hash__  # type: ignore[assignment] # they are known by who they are


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask; its URL is text as it was registered, and its headers are by name in lower case."""

    method: str
    url: str
    headers: Mapping[str, str]
    own: Mapping[str, str] = {}
    """More of them, which no other request has; none of those again."""
    content: bytes = b""


class Response(Protocol):
    """An answer up to its headers; to be released, or closed."""

    status: int
    headers: Mapping[str, str]
    """By name in lower case; of equal names the values are joined by commas."""

    def rest(self) -> bytes | None:
        """All that is left of the body, once it has arrived; None where it has to be waited for."""
        ...

    async def read(self) -> bytes:
        """What has come of the body since, once there is any; empty at its end."""
        ...

    def release(self) -> None:
        """Be done with it: its connection is kept for others where that may be."""
        ...

    def close(self) -> None:
        """End its connection."""
        ...


class Client(Protocol):
    """An open client, to be closed with `aclose()` or by `async with`."""

    async def open(self, request: Request) -> Response:
        """Send a request and wait for the headers of its answer; timeouts are the caller's.

        Raises ValueError for what cannot be a request, and else one of `FAULTS`.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class _Origin:
    """Scheme, host and port as httpx reads them, which is also what the guard judges."""

    url: URL
    netloc: str


class PooledClient:
    """Sends requests through a pool of connections, which it owns."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._way = functools.lru_cache(maxsize=1024)(functools.partial(ClientRequest, "GET"))
        """Of a request the pool wants to know but its origin."""
        self._fixed_fields = functools.lru_cache(maxsize=1024)(_fields)
        """Ends with the client, since there are tokens in it."""

    async def open(self, request: Request) -> Response:
        """One request; its answer's body is still to be read."""
        if self._connector.closed:
            raise RuntimeError("the client is closed")
        origin, target = _parsed(request.url)
        head = self._head(request, origin, target)
        connection = await self._connector.connect(self._way(origin.url), _TRACES, _NO_TIMEOUTS)
        try:
            protocol = _written(connection, request, head)
            while True:
                message, payload = await protocol.read()
                if message.code >= _FIRST_FINAL or message.code == _SWITCHING:
                    return _Pooled(connection, message, payload)
        except BaseException:
            connection.close()
            raise

    def _head(self, request: Request, origin: _Origin, target: str) -> bytes:
        """The request line and the headers; raises ValueError for what would break them."""
        line = f"{request.method} {target} HTTP/1.1"
        own, is_last = request.own, self._connector.force_close
        if not _OURS.isdisjoint(own):
            raise ValueError(_IS_OURS)
        if request.content or request.method in _WITH_BODY:
            kind = _NO_FIELDS if "content-type" in request.headers else _ANY_BYTES
            own = {**kind, **own, "content-length": str(len(request.content))}
        if isinstance(request.headers, Fixed):
            fields = self._fixed_fields(request.headers, origin.netloc, is_last=is_last)
        else:
            fields = _fields(request.headers, origin.netloc, is_last=is_last)
        if own:
            fields = f"{fields}\r\n{_lines(own)}"
        if "\n" in line or "\r" in line or "\0" in line:
            raise ValueError("a request line holds what would end it")
        return f"{line}\r\n{fields}\r\n\r\n".encode("ascii")

    async def aclose(self) -> None:
        """Close every connection."""
        await self._connector.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _written(connection: Connection, request: Request, head: bytes) -> ResponseHandler:
    """Write the request; returns what its answer is to be read from."""
    protocol = connection.protocol
    if protocol is None or protocol.transport is None or protocol.transport.is_closing():
        raise ClientConnectionResetError("the connection has just ended")
    protocol.set_response_params(
        skip_payload=request.method == "HEAD",
        read_until_eof=True,
        auto_decompress=False,
        read_bufsize=_MOST_BUFFERED,
    )
    protocol.transport.write(head + request.content)
    phases.note_request(protocol.transport)
    return protocol


class _Pooled:
    """An answer on a connection of the pool."""

    __slots__ = ("_connection", "_payload", "headers", "status")

    def __init__(self, connection: Connection, message: RawResponseMessage, payload: StreamReader) -> None:
        self._connection = connection
        self._payload = payload
        self.status = message.code
        self.headers: Mapping[str, str] = AnswerHeaders(message)

    def rest(self) -> bytes | None:
        return self._payload.read_nowait() if self._payload.is_eof() else None

    def read(self) -> Coroutine[Any, Any, bytes]:
        return self._payload.readany()

    def release(self) -> None:
        transport = self._connection.transport
        if transport is not None and phases.unsent(cast(WriteTransport, transport)):
            # It answered before it had heard everything, and the rest must not be taken for the next request.
            self._connection.close()
        else:
            self._connection.release()

    def close(self) -> None:
        self._connection.close()


class _Marks(aiohttp.tracing.Trace):
    """What a connection tells while it is made, as phases of the exchange in hand."""

    def __init__(self) -> None:
        """Without a session, of which there is none."""

    async def send_connection_queued_start(self) -> None: ...

    async def send_connection_queued_end(self) -> None: ...

    async def send_connection_create_start(self) -> None:
        phases.reach(Phase.CONNECT)

    async def send_connection_create_end(self) -> None:
        phases.reach(Phase.SEND)

    async def send_connection_reuseconn(self) -> None:
        phases.note_reuse()

    async def send_dns_resolvehost_start(self, host: str) -> None:  # noqa: ARG002 - the base's
        phases.reach(Phase.DNS)

    async def send_dns_resolvehost_end(self, host: str) -> None:  # noqa: ARG002 - the base's
        phases.reach(Phase.CONNECT)

    async def send_dns_cache_hit(self, host: str) -> None: ...

    async def send_dns_cache_miss(self, host: str) -> None: ...


_TRACES: list[aiohttp.tracing.Trace] = [_Marks()]


def _parsed(url: str) -> tuple[_Origin, str]:
    """Where to call, and the path and query as they are to stand on the request line; raises httpx.InvalidURL."""
    if len(url) <= _LONGEST_USUAL and (usual := _USUAL.fullmatch(url)):
        return _origin(usual[1]), usual[2]
    return _read(url)


@functools.lru_cache(maxsize=1024)
def _read(url: str) -> tuple[_Origin, str]:
    return _origin(url), target_of(url)


@functools.lru_cache(maxsize=1024)
def _origin(url: str) -> _Origin:
    read = httpx.URL(url)
    if read.scheme not in ("http", "https") or not read.host:
        raise httpx.UnsupportedProtocol("not an address of HTTP")
    netloc = read.netloc.decode("ascii")
    return _Origin(URL(f"{read.scheme}://{netloc}"), netloc)


def _fields(headers: Mapping[str, str], netloc: str, *, is_last: bool) -> str:
    if not _OURS.isdisjoint(headers):
        raise ValueError(_IS_OURS)
    every = {"host": netloc, "accept": "*/*", **headers}
    if is_last:
        every["connection"] = "close"
    return _lines(every)


def _lines(headers: Mapping[str, str]) -> str:
    text = "\n".join([f"{name}: {value}" for name, value in headers.items()])
    if text.count("\n") >= len(headers) or "\r" in text or "\0" in text:
        raise ValueError("a header holds what would end it")
    return text.replace("\n", "\r\n")
