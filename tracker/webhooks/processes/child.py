"""A process that only sends: `python -m tracker.webhooks.processes.child FD`, FD a socket that leads to its daemon.

It knows no upstream, no token and no database, and whatever a receiver makes of the reading of its answer holds up
nobody but other receivers. It ends with the socket.
"""

import asyncio
import signal
import socket
import sys
from ipaddress import ip_network

import msgspec

from tracker import log
from tracker.clock import utc_now
from tracker.guard import Guard
from tracker.http import Client, open_callback_client
from tracker.webhooks.processes.wire import Equipment, Frames, Order, Report, framed
from tracker.webhooks.sender import Sender

_equipment = msgspec.msgpack.Decoder(Equipment)
_orders = msgspec.msgpack.Decoder(list[Order])
_encoder = msgspec.msgpack.Encoder()


class Desk(asyncio.Protocol):
    """Takes orders from the socket, and hands back the reports of one turn of the loop together."""

    def __init__(self) -> None:
        self._is_left = asyncio.Event()
        self._frames = Frames()
        self._client: Client | None = None
        self._sender: Sender | None = None
        self._attempts: set[asyncio.Task[None]] = set()
        self._done: list[Report] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where reports go."""
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment] # what a socket gives

    def connection_lost(self, exc: Exception | None) -> None:
        """The daemon has gone, and with it all who wait for an outcome."""
        del exc
        self._is_left.set()

    def data_received(self, data: bytes) -> None:
        """Make the attempts that are ordered."""
        for content in self._frames.feed(data):
            if self._sender is None:
                self._sender = self._equip(_equipment.decode(content))
                # No reports: that there is somebody to take orders.
                self._report()
                continue
            for order in _orders.decode(content):
                attempt = asyncio.get_running_loop().create_task(self._attempt(self._sender, order))
                self._attempts.add(attempt)
                attempt.add_done_callback(self._attempts.discard)

    async def close(self) -> None:
        """Wait until the daemon has gone, and leave nothing open."""
        await self._is_left.wait()
        for attempt in self._attempts:
            attempt.cancel()
        await asyncio.gather(*self._attempts, return_exceptions=True)
        if self._client:
            await self._client.aclose()

    def _equip(self, equipment: Equipment) -> Sender:
        log.configure(format=equipment.log_format, level=equipment.log_level, journal=equipment.journal)
        guard = Guard(
            allow_networks=tuple(ip_network(network) for network in equipment.allow_networks),
            require_https=equipment.require_https,
        )
        self._client = open_callback_client(
            guard, max_connections=equipment.max_connections, max_per_endpoint=equipment.max_per_endpoint
        )
        return Sender(self._client, version=equipment.version, timeout=equipment.timeout, clock=utc_now)

    async def _attempt(self, sender: Sender, order: Order) -> None:
        outcome = await sender.send(order, order.secrets)
        if not self._done:
            asyncio.get_running_loop().call_soon(self._report)
        self._done.append(Report(order.number, outcome))

    def _report(self) -> None:
        done, self._done = self._done, []
        self._transport.write(framed(_encoder.encode(done)))


async def _work(to_daemon: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    # Whoever stops a service or a terminal's program signals all of its processes; the daemon still needs this one.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, lambda: None)
    _, desk = await loop.create_unix_connection(Desk, sock=to_daemon)
    await desk.close()


if __name__ == "__main__":
    asyncio.run(_work(socket.socket(fileno=int(sys.argv[1]))))
