"""Servers below HTTP: what each does is a script; and the calls that most tests of the HTTP client make."""

import asyncio
import ipaddress
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohappyeyeballs import AddrInfoType

from tracker.guard import Guard
from tracker.http import Answer, Client, ExchangeError, Lookup, exchange, tls_context
from tracker.http.dialing import guarded_socket

CERTIFICATES = Path(__file__).parent / "data" / "tls"
LOOPBACK_OPEN = Guard(allow_networks=(ipaddress.ip_network("127.0.0.0/8"),))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Server:
    """A raw server: what it does is a script, what it was sent is kept."""

    port: int = 0
    connections: int = 0
    ended: int = 0
    requests: list[bytes] = field(default_factory=list)

    @property
    def open(self) -> int:
        """How many connections there are just now."""
        return self.connections - self.ended

    def url(self, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}/hook"


class Requests:
    """What the client sends on one connection."""

    def __init__(self, reader: asyncio.StreamReader, server: Server) -> None:
        self._reader = reader
        self._server = server

    async def more(self) -> bytes:
        """Whatever comes next, below HTTP; empty at the end."""
        return await self._reader.read(65_536)

    async def request(self) -> bytes:
        """One whole request: headers and as much body as they promise."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        whole = head + await self._reader.readexactly(length)
        self._server.requests.append(whole)
        return whole


Script = Callable[[Requests, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(
    script: Script,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Server]:
    server = Server()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        server.connections += 1
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            if tls:
                await writer.start_tls(tls)
            await script(Requests(reader, server), writer)
        server.ended += 1
        writer.close()

    listener = await asyncio.start_server(serve, host, port)
    server.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield server
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


def answering(*answers: bytes) -> Script:
    """Each request of a connection gets the next answer; after the last one the connection is closed."""

    async def script(reader: Requests, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.request()
            writer.write(answer)
            await writer.drain()

    return script


def dripping(start: bytes, drop: bytes, every: float = 0.02) -> Script:
    async def script(reader: Requests, writer: asyncio.StreamWriter) -> None:
        await reader.request()
        writer.write(start)
        while True:
            await writer.drain()
            await asyncio.sleep(every)
            writer.write(drop)

    return script


def flooding(start: bytes, flood: bytes) -> Script:
    async def script(reader: Requests, writer: asyncio.StreamWriter) -> None:
        await reader.request()
        writer.write(start)
        while True:
            writer.write(flood)
            await writer.drain()

    return script


async def silent(reader: Requests, _writer: asyncio.StreamWriter) -> None:
    while True:
        await reader.request()


async def resetting(reader: Requests, writer: asyncio.StreamWriter) -> None:
    await reader.request()
    linger_zero = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_zero)


def server_tls(certificate: str = "certificate") -> ssl.SSLContext:
    """For a server that shows one of our certificates: `certificate`, `expired`, `early`; all are for a.test."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{certificate}.pem", CERTIFICATES / "key.pem")
    return context


def trusting(certificate: str = "certificate") -> ssl.SSLContext:
    """For a client that trusts one of our certificates."""
    return tls_context(str(CERTIFICATES / f"{certificate}.pem"))


def to(*addresses: str) -> Lookup:
    return lambda _host: addresses


async def ask(client: Client, url: str, **changes: object) -> Answer:
    arguments: dict[str, Any] = {
        "method": "POST",
        "headers": {},
        "content": b"{}",
        "deadline": timedelta(seconds=5),
        "max_bytes": 1000,
    }
    return await exchange(client, url=url, **(arguments | changes))


async def fault_of(client: Client, url: str, **changes: object) -> ExchangeError:
    with pytest.raises(ExchangeError) as caught:
        await ask(client, url, **changes)
    return caught.value


SHORT = timedelta(milliseconds=300)


@contextmanager
def recorded_dials(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The addresses that callback clients, opened from here on, make sockets for."""
    dials: list[str] = []

    def recorded(guard: Guard, target: AddrInfoType) -> socket.socket:
        made = guarded_socket(guard, target)
        dials.append(str(target[4][0]))
        return made

    with monkeypatch.context() as patching:
        patching.setattr("tracker.http.clients.guarded_socket", recorded)
        yield dials


def replace_sockets(patch: pytest.MonkeyPatch, made: Callable[..., socket.socket]) -> None:
    """Let callback clients make their sockets by this; everybody else goes on making real ones."""
    patch.setattr("tracker.http.dialing.socket", SimpleNamespace(**{**vars(socket), "socket": made}))
