"""All parts of one daemon: what there is, who wakes whom, in which order it stops."""

import asyncio
import socket
import time
from datetime import timedelta
from typing import Protocol

import structlog

import tracker
from tracker.api import create_app
from tracker.clock import SharedClock
from tracker.config import Reloaded, Settings, UpstreamSettings, shown_database
from tracker.daemon.entrance import Entrance
from tracker.daemon.finding import Finding
from tracker.daemon.lanes import LATE, Lanes
from tracker.daemon.loops import Loop, Seldom, Ticks
from tracker.daemon.parts import Workshop, make_processes, open_clients
from tracker.daemon.server import address_of, make_server
from tracker.daemon.status import Numbers, numbers_of
from tracker.desk import Desk, Ports
from tracker.guard import Guard
from tracker.http import Client
from tracker.intake import Intake
from tracker.janitor import Janitor
from tracker.metrics import Metrics
from tracker.origins import origin_of
from tracker.poller import Adoption, Lane
from tracker.poller.presence import HEARTBEAT_EVERY
from tracker.pulse import Pulse
from tracker.store import hints
from tracker.store.database import Database
from tracker.store.hints import Listener
from tracker.web import create_pages
from tracker.webhooks.composer import Composer

log = structlog.get_logger()

DRAIN = timedelta(seconds=5)
"""How long what is in hand may take to finish once we are told to stop; the rest is given back."""
_LOOK_EVERY = timedelta(seconds=0.85)
"""What another process wrote is found within a second; what this one writes wakes whom it concerns at once."""
_WAKE_EVERY = timedelta(seconds=15)
"""Who has nothing to do shows that it could."""
_COUNT_EVERY = timedelta(seconds=15)
_TIDY_EVERY = timedelta(seconds=15)
"""That often the janitor sees whether it has rested long enough."""


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
        self.pulse = Pulse(time.monotonic, metrics)
        self.is_ready = asyncio.Event()
        """Set when tasks are watched and connections are accepted."""
        self._settings = settings
        self._database = database
        callbacks = settings.callbacks
        self._guard = Guard(allow_networks=callbacks.allow_networks, require_https=callbacks.require_https)
        self._composer = Composer(first_wait=callbacks.retry_schedule[0])
        self._clients = open_clients(settings, self._guard)
        self._say = Loop("hint", self._say_hint, self.pulse)
        self._processes = make_processes(settings)
        self._workshop = Workshop(
            settings=settings,
            database=database,
            metrics=metrics,
            pulse=self.pulse,
            clients=self._clients,
            processes=self._processes,
            clock=SharedClock(),
        )
        self._courier = self._workshop.make_courier()
        self._lanes = Lanes(settings.upstreams, self._make_lane, pulse=self.pulse, metrics=metrics)
        self._announcer = self._workshop.make_announcer()
        self._adoption = Adoption(
            self._lanes.by_name,
            database,
            self._workshop.clock,
            tells_operator=self._announcer is not None,
            hint=self._say.wake,
            wake_heart=self._wake_heart,
            wake_courier=self._courier.wake,
        )
        self._finding = Finding(self._adoption, self._lanes.by_name, database, self.pulse)
        self._janitor = self._make_janitor()
        self._find = Loop("adopt", self._finding.find, self.pulse)
        self._beat = Loop("heartbeat", self._finding.show_life, self.pulse)
        self._count = Loop("count", Seldom(self._janitor.count, time.monotonic), self.pulse)
        self._tidy = Loop("tidy", self._tidy_up, self.pulse)
        self._announce = Loop("announce", self._announce_all, self.pulse)
        self._listener = self._make_listener()
        self._stopping = asyncio.Event()
        self._desk: Desk | None = None
        self._server = make_server(self._make_doors())

    def _make_lane(self, name: str, upstream: UpstreamSettings) -> tuple[Lane, Client]:
        return self._workshop.make_lane(
            name,
            upstream,
            compose=self._composer,
            watcher=lambda: self._adoption.me,
            wake_courier=self._courier.wake,
        )

    def _make_janitor(self) -> Janitor:
        return Janitor(self._database, self._settings.retention, self._workshop.clock, self._workshop.metrics)

    def _make_listener(self) -> Listener | None:
        if not hints.can_be_heard(self._database.url):
            return None
        return Listener(self._database.url, me=lambda: self._adoption.me, heard=self._find.wake)

    def _make_doors(self) -> Entrance:
        ports = self._make_ports()
        self._desk = self._desk.under(ports) if self._desk else Desk.of(ports)
        return Entrance(api=create_app(ports, self._desk), pages=create_pages(ports, self._desk))

    def _make_ports(self) -> Ports:
        return Ports(
            database=self._database,
            intake=Intake(self._settings, self._guard, self._composer, self._workshop.clock),
            settings=self._settings,
            metrics=self._workshop.metrics,
            pulse=self.pulse,
            sender=self._workshop.make_sender(self._clients.trial),
            clock=self._workshop.clock,
            wake=self._wake_everywhere,
            wake_courier=self._courier.wake,
            watching=self._adoption.newcomers,
            stopping=self._stopping,
        )

    async def run(self, listening: list[socket.socket], stop: asyncio.Event) -> None:
        """Serve on these sockets until told to stop; what is in hand then is finished, or given back in time."""
        await self._finding.enter()
        if self._processes:
            await self._processes.start()
        ticks = self._make_ticks()
        workers: tuple[Worker, ...] = (
            self._courier,
            self._find,
            self._beat,
            self._count,
            self._tidy,
            *((self._announce,) if self._announcer else ()),
            *((self._say,) if not self._database.is_sqlite else ()),
            *((self._listener,) if self._listener else ()),
        )
        try:
            async with asyncio.timeout(None) as deadline, asyncio.TaskGroup() as group:
                for worker in workers:
                    group.create_task(worker.run())
                self._lanes.start(group)
                group.create_task(self._open(listening))
                ticks.start()
                await stop.wait()
                log.info("stopping")
                deadline.reschedule(asyncio.get_running_loop().time() + DRAIN.total_seconds())
                ticks.stop()
                self._stopping.set()
                self._server.stop()
                self._finding.stop()
                self._lanes.stop()
                for worker in workers:
                    worker.stop()
        except TimeoutError:
            log.warning("stopped_with_work_in_hand")
        finally:
            await self._leave()

    async def _open(self, listening: list[socket.socket]) -> None:
        """Accept connections as soon as there was a look for work; until then they wait in line."""
        await self._finding.has_looked.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._server.serve(sockets=listening))
            await self._server.is_serving.wait()
            if not self._stopping.is_set():
                self._say_ready(listening)
                self.is_ready.set()

    async def _leave(self) -> None:
        await self._finding.leave()
        if self._processes:
            await self._processes.stop()
        await self._lanes.aclose()
        await self._clients.aclose()

    async def apply(self, reloaded: Reloaded) -> None:
        """Put other settings in force while everything goes on."""
        async with self._finding.resting():
            self._settings = reloaded.settings
            unwatched = await self._lanes.exchange(reloaded.settings.upstreams)
        self._janitor = self._make_janitor()
        self._server.serve_with(self._make_doors())
        for name, keys in unwatched.items():
            self._finding.let_go(name, keys)
        self._find.wake()

    def numbers(self) -> Numbers:
        """How much there is to do, and what is in the way."""
        return numbers_of(self._lanes.by_name, self._workshop.metrics, silent=self.pulse.late())

    def _make_ticks(self) -> Ticks:
        ticks = Ticks()
        ticks.every(_LOOK_EVERY, self._look)
        ticks.every(_WAKE_EVERY, self._wake_all)
        ticks.every(HEARTBEAT_EVERY, self._beat.wake)
        ticks.every(_COUNT_EVERY, self._count.wake)
        ticks.every(_TIDY_EVERY, self._tidy.wake)
        for name in ("adopt", "heartbeat", "deliver"):
            self.pulse.expect(name, LATE)
        return ticks

    def _wake_everywhere(self) -> None:
        self._find.wake()
        if self._adoption.has_company:
            self._say.wake()

    def _wake_heart(self) -> None:
        self._beat.wake()

    async def _say_hint(self) -> None:
        await self._finding.say_hint()

    def _look(self) -> None:
        """One question finds whatever another process wrote, and wakes whom it concerns."""
        self._find.wake()
        self._announce.wake()

    def _wake_all(self) -> None:
        self._courier.wake()
        self._lanes.wake()

    async def _tidy_up(self) -> None:
        await self._janitor.run_when_due()

    async def _announce_all(self) -> None:
        while self._announcer and not self._stopping.is_set() and await self._announcer.run_once():
            pass

    def _say_ready(self, listening: list[socket.socket]) -> None:
        allowed = [str(network) for network in self._settings.callbacks.allow_networks]
        operator = self._settings.operator_callback_url
        log.info(
            "ready",
            version=tracker.__version__,
            listen=", ".join(map(address_of, listening)),
            database=shown_database(self._database.url),
            upstreams=list(self._lanes.by_name),
            **({"callbacks_allowed_to": allowed} if allowed else {}),
            **({"operator_messages_to": origin_of(operator)} if operator else {}),
        )
