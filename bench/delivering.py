"""Deliveries per second on warm connections: the courier against a bare loop, and against httpx's own pool."""

import asyncio
import random
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_network
from typing import Any

from sqlalchemy import exists, select, update

import tracker
from bench.byhand import HEADERS, by_hand, signed, unsent
from bench.fetching import HttpxClient
from bench.garbage import keep_what_is_there
from bench.outbox import empty_database, fill
from bench.sink import sinks
from bench.table import Row, compared
from tracker.clock import utc_now
from tracker.config import CallbackSettings, Settings
from tracker.courier import Courier, Ports
from tracker.courier.ports import Sender
from tracker.daemon.parts import make_processes
from tracker.guard import Guard
from tracker.http import Client, Request, open_callback_client
from tracker.metrics import Metrics
from tracker.model import Outcome
from tracker.store.database import Connection, Database
from tracker.store.schema import delivery
from tracker.webhooks.sender import Message
from tracker.webhooks.sender import Sender as WebhookSender
from tracker.webhooks.signing import new_secret, sign

ENDPOINTS = 32
DELIVERIES = 6_000
WARM_UP = 400
ON_HTTPX = 1_000
ROUNDS = 3
_NOT_YET = timedelta(hours=1)
_LOOK_EVERY = 0.005
SETTINGS = CallbackSettings(allow_networks=(ip_network("127.0.0.0/8"),))

Measured = Coroutine[Any, Any, float]
"""Deliveries in a second."""
OpenSender = Callable[[], AbstractAsyncContextManager[Sender]]


def run() -> Iterator[Row]:
    """Rows for each database."""
    keep_what_is_there()
    with sinks(ENDPOINTS) as origins:
        for kind in ("sqlite", "postgres"):
            with empty_database(kind) as url:
                yield from _measure(kind, url, [f"{origin}/hook" for origin in origins])


def _measure(kind: str, url: str, urls: Sequence[str]) -> Iterator[Row]:
    database = Database(url)
    speeds: defaultdict[str, list[float]] = defaultdict(list)
    try:
        for number in range(ROUNDS):
            for name, one in _round(database, urls, number).items():
                speeds[name].append(asyncio.run(one()))
            told = (f"{name} {speed[-1]:.0f}/s" for name, speed in speeds.items())
            print(f"{kind}: {', '.join(told)}", file=sys.stderr)
    finally:
        database.close()
    bare, ours, plain, apart = (speeds[name] for name in ("bare", "ours", "httpx", "apart"))
    yield compared(f"deliveries, {kind}", ours, bare, "bare loop, same transport", at_least=0.6)
    yield compared(f"deliveries, {kind}", ours, speeds["by hand"], "the same rows without a courier")
    yield compared(f"deliveries, {kind}", ours, plain, "the courier on httpx's pool", at_least=10)
    yield compared(f"the rows of deliveries, nothing sent, {kind}", speeds["rows"], bare, "bare loop, same transport")
    yield compared(f"deliveries, one sending process, {kind}", apart, ours, "the courier's own process")
    yield compared(f"deliveries, one sending process, {kind}", apart, plain, "the courier on httpx's pool")


def _round(database: Database, urls: Sequence[str], number: int) -> dict[str, Callable[[], Measured]]:
    """What is to be measured, one after the other."""
    return {
        "bare": partial(_bare, urls),
        "ours": partial(_courier, database, urls, _here, DELIVERIES, f"ours-{number}"),
        "by hand": partial(_by_hand, database, urls, f"hand-{number}"),
        "rows": partial(_rows_alone, database, urls, f"rows-{number}"),
        "apart": partial(_courier, database, urls, _elsewhere, DELIVERIES, f"apart-{number}"),
        "httpx": partial(_courier, database, urls, _on_httpx, ON_HTTPX, f"httpx-{number}"),
    }


def _guarded() -> Client:
    return open_callback_client(
        Guard(allow_networks=SETTINGS.allow_networks),
        max_connections=SETTINGS.max_in_flight,
        max_per_endpoint=SETTINGS.max_in_flight_per_endpoint,
    )


@asynccontextmanager
async def _here() -> AsyncIterator[Sender]:
    async with _guarded() as client:
        yield WebhookSender(client, version=tracker.__version__, timeout=SETTINGS.timeout, clock=utc_now)


@asynccontextmanager
async def _on_httpx() -> AsyncIterator[Sender]:
    async with HttpxClient(SETTINGS.max_in_flight) as client:
        yield WebhookSender(client, version=tracker.__version__, timeout=SETTINGS.timeout, clock=utc_now)


@asynccontextmanager
async def _elsewhere() -> AsyncIterator[Sender]:
    processes = make_processes(Settings(callbacks=SETTINGS.model_copy(update={"sending_processes": 1})))
    if processes is None:
        raise AssertionError("one was asked for")
    await processes.start()
    try:
        yield processes
    finally:
        await processes.stop()


async def _bare(urls: Sequence[str]) -> float:
    """The same requests from as many tasks as there are slots, and nothing else: the ceiling of the transport."""
    secret, body = new_secret(), b'{"type":"task.succeeded","data":{"prompt":"' + b"a lighthouse " * 130 + b'"}}'
    own = {
        "webhook-id": "msg_0123456789abcdefghijklmn",
        "webhook-timestamp": "1730621855",
        "webhook-signature": sign([secret], "msg_0123456789abcdefghijklmn", 1730621855, body),
    }
    async with _guarded() as client:

        async def post(url: str, times: int) -> None:
            for _ in range(times):
                response = await client.open(Request(method="POST", url=url, headers=HEADERS, own=own, content=body))
                assert response.status == 204  # noqa: PLR2004, S101
                response.release()

        async def post_all(times: int) -> None:
            slots = SETTINGS.max_in_flight
            await asyncio.gather(*(post(urls[slot % len(urls)], times // slots) for slot in range(slots)))

        await post_all(WARM_UP)
        started = time.perf_counter()
        await post_all(DELIVERIES)
        return DELIVERIES / (time.perf_counter() - started)


async def _by_hand(database: Database, urls: Sequence[str], name: str) -> float:
    await asyncio.to_thread(fill, database, urls, DELIVERIES, name=name)
    async with _guarded() as client:
        return await by_hand(database, signed(client, new_secret()))


async def _rows_alone(database: Database, urls: Sequence[str], name: str) -> float:
    await asyncio.to_thread(fill, database, urls, DELIVERIES, name=name)
    return await by_hand(database, unsent)


async def _courier(database: Database, urls: Sequence[str], open_sender: OpenSender, count: int, name: str) -> float:
    """The courier with everything it does: claims, signatures, attempts, outcomes, histories."""
    await asyncio.to_thread(fill, database, urls, WARM_UP, name=f"{name}-warm")
    await asyncio.to_thread(fill, database, urls, count, name=name, due_in=_NOT_YET)
    async with open_sender() as one:
        sender = _Counting(one)
        async with _running(database, sender) as courier:
            await sender.has_sent(WARM_UP)
            await _until_told(database)
            await database.write(_make_due)
            started = time.perf_counter()
            courier.wake()
            await sender.has_sent(WARM_UP + count)
            await _until_told(database)
            return count / (time.perf_counter() - started)


class _Counting:
    """A sender that tells how many it has sent, so that nobody has to ask the database all the time."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self.sent = self._wanted = 0

    async def send(self, message: Message, secrets: Sequence[str]) -> Outcome:
        outcome = await self._sender.send(message, secrets)
        self.sent += 1
        if self.sent == self._wanted:
            self._there.set()
        return outcome

    async def has_sent(self, count: int) -> None:
        self._wanted, self._there = count, asyncio.Event()
        if self.sent < count:
            await self._there.wait()


@asynccontextmanager
async def _running(database: Database, sender: Sender) -> AsyncIterator[Courier]:
    ports = Ports(
        database=database,
        sender=sender,
        metrics=Metrics(version=tracker.__version__),
        new_secret=new_secret,
        clock=utc_now,
        timer=time.monotonic,
        dice=random.random,
        beat=lambda: None,
    )
    courier = Courier(SETTINGS, ports)
    async with asyncio.TaskGroup() as group:
        group.create_task(courier.run())
        yield courier
        courier.stop()


def _make_due(connection: Connection) -> None:
    now = datetime.now(UTC)
    connection.execute(update(delivery).where(delivery.c.status == "pending").values(next_attempt_at=now))


async def _until_told(database: Database) -> None:
    """Until nothing that is due is pending, whether it is out or not."""
    soon = datetime.now(UTC) + _NOT_YET / 2
    waits = select(exists().where(delivery.c.status == "pending", delivery.c.next_attempt_at < soon))
    while await database.read(lambda connection: connection.scalar(waits)):  # noqa: ASYNC110 - a row has no event
        await asyncio.sleep(_LOOK_EVERY)
