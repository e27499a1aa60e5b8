"""How far an attempt came when its time was up: one real socket for each phase."""

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest
from aiohappyeyeballs import AddrInfoType
from clocks import until
from raw_servers import (
    LOOPBACK_OPEN,
    SHORT,
    Requests,
    ask,
    dripping,
    fault_of,
    serving,
    silent,
)
from test_sender import SECRET, delivery, sender

from tracker.guard import Guard
from tracker.http import open_callback_client
from tracker.http.dialing import guarded_socket
from tracker.model import Phase

pytestmark = pytest.mark.anyio

LINES = {
    Phase.DNS: "the host name was not resolved in time",
    Phase.CONNECT: "the connection was not accepted in time",
    Phase.TLS: "the TLS handshake did not end in time",
    Phase.SEND: "the request was not taken in time",
    Phase.HEADERS: "no answer came in time",
    Phase.BODY: "the answer did not end in time",
}


async def attempted(url: str, phase: Phase, body: str = "{}") -> None:
    """Make an attempt that has to end in this phase, at its deadline."""
    async with open_callback_client(LOOPBACK_OPEN) as client:
        outcome = await sender(client, SHORT).send(delivery(url, body), [SECRET])

    assert (outcome.delivered, outcome.error, outcome.phase, outcome.spent) == (False, "timeout", phase, True)
    assert outcome.detail == LINES[phase]
    assert timedelta(seconds=0.25) < outcome.duration < timedelta(seconds=2)


async def test_dns() -> None:
    """The look-up is a thread that hangs, as the system's does when no name server answers."""
    release = threading.Event()

    def hanging(_host: str) -> Sequence[str]:
        release.wait(10)
        return []

    async with open_callback_client(LOOPBACK_OPEN, lookup=hanging) as client:
        outcome = await sender(client, SHORT).send(delivery("http://a.test/"), [SECRET])
        release.set()

    assert (outcome.error, outcome.phase, outcome.detail) == ("timeout", Phase.DNS, LINES[Phase.DNS])


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose queue of connections is full, so that the system lets the next ones wait."""
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port: int = listening.getsockname()[1]
        for waiting in (first, second):
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(("127.0.0.1", port))
        yield port


async def test_connect() -> None:
    with deaf_port() as port:
        await attempted(f"http://127.0.0.1:{port}/", Phase.CONNECT)


async def mute(_reader: Requests, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def test_tls() -> None:
    async with serving(mute) as server:
        await attempted(server.url(scheme="https"), Phase.TLS)


class Deaf:
    """A receiver that takes nothing until it is told to."""

    def __init__(self) -> None:
        self.taken = 0
        self.hears = asyncio.Event()

    async def __call__(self, reader: Requests, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await self.hears.wait()
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        while chunk := await reader.more():
            self.taken += len(chunk)


@pytest.fixture
def small_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the system would take all of a request, and nobody could say that the receiver has not."""

    def small(guard: Guard, target: AddrInfoType) -> socket.socket:
        made = guarded_socket(guard, target)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return made

    monkeypatch.setattr("tracker.http.clients.guarded_socket", small)


@pytest.mark.usefixtures("small_buffers")
async def test_send(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing more is sent once the time is up."""
    monkeypatch.setattr("tracker.http.connections.GOODBYE_SECONDS", 0)
    deaf = Deaf()
    async with serving(deaf) as server:
        await attempted(server.url(), Phase.SEND, body="x" * 900_000)
        deaf.hears.set()
        await until(lambda: server.ended == 1, within=2)

    assert deaf.taken < 900_000


@pytest.mark.usefixtures("small_buffers")
async def test_a_receiver_that_hears_at_last_may_have_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """What then ends by itself is not ended once more, which would be an error in the loop."""
    monkeypatch.setattr("tracker.http.connections.GOODBYE_SECONDS", 1.0)
    deaf = Deaf()
    async with serving(deaf) as server:
        await attempted(server.url(), Phase.SEND, body="x" * 900_000)
        deaf.hears.set()
        await until(lambda: server.ended == 1, within=5)
        await asyncio.sleep(1.05)

    assert deaf.taken > 900_000


async def test_headers() -> None:
    async with serving(silent) as server:
        await attempted(server.url(), Phase.HEADERS, body="x" * 900_000)

    assert len(server.requests) == 1


async def test_body() -> None:
    """Only where the body is wanted: a callback's answer counts when its headers are there."""
    slow = dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"x")
    async with serving(slow) as server, open_callback_client(LOOPBACK_OPEN) as client:
        fault = await fault_of(client, server.url(), deadline=SHORT)
        noted = await ask(client, server.url(), deadline=SHORT, body_grace=SHORT)

    assert (fault.error, fault.phase, fault.detail) == ("timeout", Phase.BODY, LINES[Phase.BODY])
    assert (noted.status, noted.body_error) == (200, "timeout")
