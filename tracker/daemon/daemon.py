"""All parts of one daemon: what there is, who wakes whom, in which order it stops."""

import asyncio
import random
import socket
import time
from datetime import timedelta
from functools import partial
from typing import Protocol

import structlog

import tracker
from tracker import courier
from tracker.api import ApiPorts, create_app
from tracker.clock import utc_now
from tracker.config import Settings
from tracker.courier import Courier
from tracker.daemon.loops import Loop, Ticks
from tracker.daemon.server import make_server
from tracker.guard import Guard
from tracker.http import Client, open_callback_client, open_upstream_client
from tracker.intake import Intake
from tracker.janitor import Janitor
from tracker.metrics import Metrics
from tracker.poller import Adoption, Lane
from tracker.poller.adoption import HEARTBEAT_EVERY
from tracker.poller.lane import Ports
from tracker.providers.registry import build
from tracker.pulse import Pulse
from tracker.store import tasks, watching
from tracker.store.database import Database
from tracker.webhooks.composer import Composer
from tracker.webhooks.sender import Sender
from tracker.webhooks.signing import new_secret

log = structlog.get_logger()

DRAIN = timedelta(seconds=5)
"""How long what is in hand may take to finish once we are told to stop; the rest is given back."""
_WAKE_EVERY = timedelta(seconds=0.75)
"""What another process wrote is found within a second; what this one writes wakes whom it concerns at once."""
_COUNT_EVERY = timedelta(seconds=15)
_TIDY_EVERY = timedelta(minutes=10)
_LATE = timedelta(seconds=60)
_MOST_TRIALS = 16


class Worker(Protocol):
    """Something that runs until it is stopped."""

    async def run(self) -> None:
        """Run."""
        ...

    def stop(self) -> None:
        """Finish what is in hand and return from `run`."""
        ...


class Daemon:
    """One process that watches, tells, accepts and tidies."""

    def __init__(self, settings: Settings, database: Database, metrics: Metrics) -> None:
        self._settings = settings
        self._database = database
        self._pulse = Pulse(time.monotonic, metrics)
        guard = Guard(allow_networks=settings.callbacks.allow_networks, require_https=settings.callbacks.require_https)
        composer = Composer(first_wait=settings.callbacks.retry_schedule[0])
        self._upstream_client = open_upstream_client(
            max_connections=sum(upstream.max_in_flight for upstream in settings.upstreams.values()) or 1,
            max_per_endpoint=0,
        )
        self._callback_client = open_callback_client(
            guard,
            max_connections=settings.callbacks.max_in_flight,
            max_per_endpoint=settings.callbacks.max_in_flight_per_endpoint,
        )
        # Tests have connections of their own: they must find out everything, and hold up no delivery.
        self._trial_client = open_callback_client(guard, max_connections=_MOST_TRIALS, reuse=False)
        self._courier = self._make_courier(metrics)
        self._lanes = self._make_lanes(composer, metrics)
        self._adoption = Adoption(self._lanes, database, utc_now)
        janitor = Janitor(database, settings.retention, utc_now, metrics)
        self._find = Loop("adopt", self._adopt_all, self._pulse)
        self._beat = Loop("heartbeat", self._adoption.beat, self._pulse)
        self._count = Loop("count", janitor.count, self._pulse)
        self._tidy = Loop("tidy", janitor.run_once, self._pulse)
        self._stopping = asyncio.Event()
        self._server = make_server(
            create_app(
                ApiPorts(
                    database=database,
                    intake=Intake(settings, guard, composer, utc_now),
                    settings=settings,
                    metrics=metrics,
                    pulse=self._pulse,
                    sender=self._make_sender(self._trial_client),
                    clock=utc_now,
                    wake=self._find.wake,
                    wake_courier=self._courier.wake,
                    stopping=self._stopping,
                )
            )
        )

    def _make_courier(self, metrics: Metrics) -> Courier:
        ports = courier.Ports(
            database=self._database,
            sender=self._make_sender(self._callback_client),
            metrics=metrics,
            new_secret=new_secret,
            clock=utc_now,
            timer=time.monotonic,
            dice=random.random,
            beat=partial(self._pulse.beat, "deliver"),
        )
        return Courier(self._settings.callbacks, ports)

    def _make_sender(self, client: Client) -> Sender:
        return Sender(client, version=tracker.__version__, timeout=self._settings.callbacks.timeout, clock=utc_now)

    def _make_lanes(self, composer: Composer, metrics: Metrics) -> dict[str, Lane]:
        lanes = {}
        for name, upstream in self._settings.upstreams.items():
            ports = Ports(
                database=self._database,
                compose=composer,
                metrics=metrics,
                clock=utc_now,
                timer=time.monotonic,
                dice=random.random,
                watcher=lambda: self._adoption.me,
                wake_courier=self._courier.wake,
                beat=partial(self._pulse.beat, f"poll {name}"),
            )
            lanes[name] = Lane(name, upstream, build(name, upstream, self._upstream_client, utc_now), ports)
        return lanes

    async def run(self, listening: socket.socket, stop: asyncio.Event) -> None:
        """Serve on this socket until told to stop; what is in hand then is finished, or given back in time."""
        await self._enter()
        ticks = self._make_ticks()
        workers: tuple[Worker, ...] = (
            *self._lanes.values(),
            self._courier,
            self._find,
            self._beat,
            self._count,
            self._tidy,
        )
        try:
            async with asyncio.timeout(None) as deadline, asyncio.TaskGroup() as group:
                for worker in workers:
                    group.create_task(worker.run())
                group.create_task(self._server.serve(sockets=[listening]))
                ticks.start()
                self._announce(listening)
                await stop.wait()
                log.info("stopping")
                deadline.reschedule(asyncio.get_running_loop().time() + DRAIN.total_seconds())
                ticks.stop()
                self._stopping.set()
                self._server.stop()
                for worker in workers:
                    worker.stop()
        except TimeoutError:
            log.warning("stopped_with_work_in_hand")
        finally:
            await self._leave()

    async def _enter(self) -> None:
        if self._database.is_sqlite:
            # The lock on the file is ours: whoever is in the table died without leaving.
            await self._database.write(watching.leave_all)
        await self._adoption.join()
        orphans = await self._database.read(partial(tasks.orphans, upstreams=list(self._lanes)))
        for name, count in orphans.items():
            log.warning("upstream_is_not_configured", upstream=name, tasks=count)

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(1.5):
                await self._adoption.leave()
        except Exception as error:  # noqa: BLE001 - others notice our silence and adopt what was ours
            log.warning("left_without_goodbye", reason=str(error) or type(error).__name__)
        await self._upstream_client.aclose()
        await self._callback_client.aclose()
        await self._trial_client.aclose()

    def _make_ticks(self) -> Ticks:
        ticks = Ticks()
        ticks.every(_WAKE_EVERY, self._wake_all)
        ticks.every(HEARTBEAT_EVERY, self._beat.wake)
        ticks.every(_COUNT_EVERY, self._count.wake)
        ticks.every(_TIDY_EVERY, self._tidy.wake)
        for name in ("adopt", "heartbeat", "deliver", *(f"poll {name}" for name in self._lanes)):
            self._pulse.expect(name, _LATE)
        return ticks

    def _wake_all(self) -> None:
        self._find.wake()
        self._courier.wake()
        for lane in self._lanes.values():
            lane.wake()

    async def _adopt_all(self) -> None:
        while await self._adoption.run_once():
            pass

    def _announce(self, listening: socket.socket) -> None:
        host, port = listening.getsockname()[:2]
        allowed = [str(network) for network in self._settings.callbacks.allow_networks]
        log.info(
            "ready",
            version=tracker.__version__,
            listen=f"{host}:{port}",
            database="sqlite" if self._database.is_sqlite else "postgresql",
            upstreams=list(self._lanes),
            **({"callbacks_allowed_to": allowed} if allowed else {}),
        )
