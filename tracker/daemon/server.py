"""The HTTP server inside our loop: our signals, our socket."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tracker.errors import UnavailableError

LARGEST_HEAD = 64 * 1024
"""Bytes of a request that are not its body."""
_FRAME = 8
"""Bytes that say how long a part of a body is, at most; a part has at least one byte."""
_LAST_REQUESTS = 1.0
"""Seconds at most for what clients send on connections that we have taken, when nothing more is accepted.

A client on a busy machine may take a moment between connecting and asking: whoever is cut off then does not know
whether it was heard.
"""
_STEP = 0.02


class Door:
    """Leads to the app in force; connections outlive it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self.app(scope, receive, send)


class _State(ServerState):
    is_stopping = False


class Server(uvicorn.Server):
    """uvicorn, without its signal handlers and its ten wake-ups a second: the daemon decides when it stops."""

    def __init__(self, config: uvicorn.Config, door: Door) -> None:
        super().__init__(config)
        self.server_state: _State = _State()
        self.is_serving = asyncio.Event()
        """Set when it accepts connections."""
        self._door = door
        self._stop = asyncio.Event()

    def serve_with(self, app: ASGIApp) -> None:
        """Answer requests that come from now on with this app."""
        self._door.app = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        await super().startup(sockets)
        self.is_serving.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing more, answer what comes on connections that are there, close them.

        Who holds the sockets with us takes the next connections: a client of ours must not be sent away for having
        been quick. Each answer now says that it is the last on its connection.
        """
        loop = asyncio.get_running_loop()
        self.server_state.is_stopping = True
        for server in self.servers:
            for listening in server.sockets:
                loop.remove_reader(listening)
        # What was accepted just now is asyncio's for two turns more; a server that is closed by then would drop it.
        await asyncio.sleep(_STEP)
        for server in self.servers:
            server.close()
        until = loop.time() + _LAST_REQUESTS
        while self.server_state.connections and loop.time() < until:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(_STEP)
        await super().shutdown(sockets)

    def stop(self) -> None:
        """Accept nothing more; `serve` returns when what is in hand is answered."""
        self.should_exit = True
        self._stop.set()

    async def main_loop(self) -> None:
        """Wait; there are no limits to watch and no headers to refresh."""
        await self._stop.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class _Protocol(HttpToolsProtocol):
    """Reads requests, with bounds; and sends an answer's head and body as one."""

    server_state: _State
    _beside = 0
    """Bytes of this request that were not its body."""

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - the library's own signature
        super().connection_made(_Together(transport, self.loop))  # type: ignore[arg-type] # it has what one has

    def data_received(self, data: bytes) -> None:
        """The parser has no bounds of its own: heads, trailers and the frames of parts could go on for ever."""
        self._beside += len(data)
        super().data_received(data)
        if self._beside <= LARGEST_HEAD or self.transport.is_closing():
            return
        if getattr(self.cycle, "response_complete", True):
            self.send_400_response("Too much beside the body.")
        else:
            self.transport.close()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.server_state.is_stopping:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._beside = 0
        super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        self._beside -= len(body) + _FRAME
        super().on_body(body)


class _Together:
    """A transport that sends what is written within one turn of the loop at the end of it, by a single call."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the transport has
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)
        self._size += len(data)
        if self._size > LARGEST_HEAD:
            # Or the transport could not say that it has enough.
            self._flush()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._parts:
            data = b"".join(self._parts)
            self._parts.clear()
            self._size = 0
            self._transport.write(data)


def make_server(app: ASGIApp) -> Server:
    """A server for the app, quiet and quick to stop."""
    door = Door(app)
    config = uvicorn.Config(
        door,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=3,
        timeout_keep_alive=30,
        http=_Protocol,
        ws="none",
        # Nobody asks who is at the other end, or under which scheme.
        proxy_headers=False,
    )
    return Server(config, door)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; raises UnavailableError when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(2048)
    except OSError as error:
        listening.close()
        reason = f"listen: {host}:{port} cannot be had ({error.strerror}); take another with --listen HOST:PORT"
        raise UnavailableError(reason) from error
    listening.setblocking(False)
    return listening


def address_of(listening: socket.socket) -> str:
    """Where a socket listens, as people write it."""
    name = listening.getsockname()
    if not isinstance(name, tuple):
        return str(name)
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
