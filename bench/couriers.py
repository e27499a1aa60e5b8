"""The real courier, put together as the daemon does it."""

import asyncio
import ipaddress
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import tracker
from tracker.clock import Clock, utc_now
from tracker.config import CallbackSettings
from tracker.courier import Courier, Ports
from tracker.guard import Guard
from tracker.http import open_callback_client
from tracker.metrics import Metrics
from tracker.store.database import Database
from tracker.webhooks.sender import Sender
from tracker.webhooks.signing import new_secret

LOOPBACK = Guard(allow_networks=(ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")))
_WAKE_EVERY = 0.75
"""As often as the daemon."""


@asynccontextmanager
async def delivering(
    database: Database,
    settings: CallbackSettings,
    *,
    clock: Clock = utc_now,
    timer: Callable[[], float] = time.monotonic,
    dice: Callable[[], float] = random.random,
) -> AsyncIterator[Courier]:
    """A courier that delivers over HTTP to this machine; whoever is given it runs it."""
    client = open_callback_client(
        LOOPBACK,
        max_connections=settings.max_in_flight,
        max_per_endpoint=settings.max_in_flight_per_endpoint,
    )
    async with client:
        yield Courier(
            settings,
            Ports(
                database=database,
                sender=Sender(client, version=tracker.__version__, timeout=settings.timeout, clock=clock),
                metrics=Metrics(version=tracker.__version__),
                new_secret=new_secret,
                clock=clock,
                timer=timer,
                dice=dice,
                beat=lambda: None,
            ),
        )


@asynccontextmanager
async def running(courier: Courier) -> AsyncIterator[None]:
    """The courier runs meanwhile, woken as the daemon wakes it."""
    async with asyncio.TaskGroup() as group:
        group.create_task(courier.run())
        ticking = group.create_task(_tick(courier))
        try:
            yield
        finally:
            courier.stop()
            ticking.cancel()


async def _tick(courier: Courier) -> None:
    while True:
        await asyncio.sleep(_WAKE_EVERY)
        courier.wake()
