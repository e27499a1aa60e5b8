"""The daemon's side: starts sending processes, gives them orders, replaces those that end."""

import asyncio
import os
import socket
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import timedelta
from typing import cast

import msgspec
import structlog

from tracker.model import Outcome
from tracker.webhooks.processes.wire import Equipment, Frames, Order, Report, framed
from tracker.webhooks.sender import Message

log = structlog.get_logger()

_encoder = msgspec.msgpack.Encoder()
_reports = msgspec.msgpack.Decoder(list[Report])

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
"""Seconds until a process that has ended is replaced: doubled each time, unless it has worked for a while."""
_WORKED_FOR = 60.0
_LOOK_EVERY = 1.0
_GRACE = 5.0
"""Seconds beyond the longest attempt after which a process that has not reported is taken to be stuck."""
_START_WITHIN = 60.0
_GOODBYE = 2.0
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "RES_OPTIONS", "LOCALDOMAIN")
_KEPT_PREFIXES = ("PYTHON", "COVERAGE")
_LOST = "the attempt could not be made, or was lost; this is the tracker's fault"


class SendingProcesses:
    """A sender whose attempts are made elsewhere; each endpoint has its process, and so its connections."""

    def __init__(self, count: int, equipment: Equipment) -> None:
        self._processes = [_Process(number, equipment) for number in range(1, count + 1)]

    async def start(self) -> None:
        """Start them; an attempt that is ordered before one is there waits for it."""
        for process in self._processes:
            process.start()

    async def stop(self) -> None:
        """End them; what is still out comes to nothing."""
        await asyncio.gather(*(process.stop() for process in self._processes))

    async def send(self, message: Message, secrets: Sequence[str]) -> Outcome:
        """Have one attempt made; that a process ended over it is an outcome too, and costs the receiver nothing."""
        endpoint = message.url[: message.url.find("/", len("https://"))]
        process = self._processes[zlib.crc32(endpoint.encode()) % len(self._processes)]
        return await process.send(message, secrets)


class _Process:
    """One of them, and whoever replaces it."""

    def __init__(self, number: int, equipment: Equipment) -> None:
        self._number = number
        self._equipment = equipment
        self._longest = equipment.timeout.total_seconds() + _GRACE
        self._line: _Line | None = None
        self._is_there = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def stop(self) -> None:
        if self._keeper:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._keeper

    async def send(self, message: Message, secrets: Sequence[str]) -> Outcome:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(None if self._line else self._equipment.timeout.total_seconds()):
                while (line := self._line) is None:
                    await self._is_there.wait()
            return await line.order(message, secrets)
        except (ConnectionError, TimeoutError):
            lasted = timedelta(seconds=loop.time() - started)
            return Outcome(delivered=False, duration=lasted, error="internal", detail=_LOST, spent=False)

    async def _keep(self) -> None:
        wait, loop = _FIRST_WAIT, asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                reason = await self._run_one()
            except Exception as error:  # noqa: BLE001 - too few threads, say: it is tried again, whatever it was
                reason = str(error) or type(error).__name__
            if loop.time() - began > _WORKED_FOR:
                wait = _FIRST_WAIT
            log.error("sending_process_ended", number=self._number, reason=reason, next_in_seconds=wait)
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    async def _run_one(self) -> str:
        """Start a process and feed it until it ends; returns why it did."""
        ours, theirs = socket.socketpair()
        with ExitStack() as on_failure:
            on_failure.enter_context(ours)
            with theirs:
                process = _spawn(theirs)
            on_failure.pop_all()
        line = _Line(_encoder.encode(self._equipment), on_ready=self._remember, on_end=self._forget)
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: line, sock=ours)
            while not await line.ended_within(_LOOK_EVERY):
                if line.waiting_for() > (self._longest if line.is_ready else _START_WITHIN):
                    process.kill()
        finally:
            line.hang_up()
            code = await asyncio.to_thread(_reap, process)
        return f"it ended with {code}"

    def _remember(self, line: "_Line") -> None:
        self._line = line
        self._is_there.set()

    def _forget(self) -> None:
        """Nobody is on the line any more: who comes now waits for the next process."""
        self._line = None
        self._is_there.clear()


class _Line(asyncio.Protocol):
    """The connection to one process: orders go out, those of one turn of the loop together, and reports come back."""

    def __init__(self, greeting: bytes, *, on_ready: Callable[["_Line"], None], on_end: Callable[[], None]) -> None:
        self.is_ready = False
        self._greeting = greeting
        self._transport: asyncio.WriteTransport | None = None
        self._on_ready = on_ready
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._ended = self._loop.create_future()
        self._frames = Frames()
        self._number = 0
        self._orders: list[Order] = []
        self._out: dict[int, tuple[float, asyncio.Future[Outcome]]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._write(self._greeting)

    def connection_lost(self, exc: Exception | None) -> None:
        for _, promise in self._out.values():
            if not promise.done():
                promise.set_exception(ConnectionError(exc))
        self._out.clear()
        self._ended.set_result(None)
        self._on_end()

    def data_received(self, data: bytes) -> None:
        for content in self._frames.feed(data):
            if not self.is_ready:
                # Its first words, with no report in them.
                self.is_ready = True
                self._on_ready(self)
            for report in _reports.decode(content):
                _, promise = self._out.pop(report.number)
                if not promise.done():
                    promise.set_result(report.outcome)

    def order(self, message: Message, secrets: Sequence[str]) -> asyncio.Future[Outcome]:
        self._number += 1
        promise: asyncio.Future[Outcome] = self._loop.create_future()
        self._out[self._number] = self._loop.time(), promise
        if not self._orders:
            self._loop.call_soon(self._give)
        self._orders.append(Order(self._number, message.id, message.url, message.body, tuple(secrets)))
        return promise

    def waiting_for(self) -> float:
        """Seconds since the order was given that has been out longest; before the first words, since it was started."""
        first = next(iter(self._out.values()), None)
        if not self.is_ready:
            return self._loop.time() - self._began
        return self._loop.time() - first[0] if first else 0.0

    async def ended_within(self, seconds: float) -> bool:
        await asyncio.wait([self._ended], timeout=seconds)
        return self._ended.done()

    def hang_up(self) -> None:
        if self._transport:
            self._transport.close()

    def _give(self) -> None:
        orders, self._orders = self._orders, []
        self._write(_encoder.encode(orders))

    def _write(self, content: bytes) -> None:
        if self._transport:
            self._transport.write(framed(content))


def _spawn(theirs: socket.socket) -> subprocess.Popen[bytes]:
    program = (sys.executable, "-P", "-m", "tracker.webhooks.processes.child", str(theirs.fileno()))
    # Nothing of what the daemon was told in its environment: it may hold tokens.
    environment = {
        name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)
    }
    return subprocess.Popen(  # noqa: S603 - our own program
        program, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment
    )


def _reap(process: subprocess.Popen[bytes]) -> int:
    """See it end, and how; it does by itself once nobody is on the line."""
    try:
        return process.wait(_GOODBYE)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
