"""The HTTP server inside our loop: our signals, our socket."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from tracker.errors import UnavailableError


class Server(uvicorn.Server):
    """uvicorn, without its signal handlers and its ten wake-ups a second: the daemon decides when it stops."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stop = asyncio.Event()

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


def make_server(app: FastAPI) -> Server:
    """A server for the app, quiet and quick to stop."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=3,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=64 * 1024,
    )
    return Server(config)


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
        raise UnavailableError(f"listen: {host}:{port} cannot be had ({error.strerror}); set another one") from error
    listening.setblocking(False)
    return listening
