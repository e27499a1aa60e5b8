"""All parts of one daemon: what there is, who wakes whom, in which order it stops."""

import asyncio
import socket
import time
from datetime import timedelta
from functools import partial
from typing import Protocol

import structlog

import tracker
from tracker.api import ApiPorts, create_app
from tracker.clock import SharedClock
from tracker.config import Settings
from tracker.daemon.loops import Loop, Seldom, Ticks
from tracker.daemon.parts import Workshop, make_processes, open_clients
from tracker.daemon.server import make_server
from tracker.guard import Guard
from tracker.intake import Intake
from tracker.janitor import Janitor
from tracker.metrics import Metrics
from tracker.origins import origin_of
from tracker.poller import Adoption
from tracker.poller.adoption import HEARTBEAT_EVERY
from tracker.pulse import Pulse
from tracker.store import daemons, hints, tasks
from tracker.store.database import Database
from tracker.store.hints import Listener
from tracker.webhooks.composer import Composer

log = structlog.get_logger()

DRAIN = timedelta(seconds=5)
"""How long what is in hand may take to finish once we are told to stop; the rest is given back."""
_LOOK_EVERY = timedelta(seconds=0.75)
"""What another process wrote is found within a second; what this one writes wakes whom it concerns at once."""
_WAKE_EVERY = timedelta(seconds=15)
"""Who has nothing to do shows that it could."""
_COUNT_EVERY = timedelta(seconds=15)
_TIDY_EVERY = timedelta(minutes=10)
_LATE = timedelta(seconds=60)
_HINT_EVERY = 0.05
"""Seconds: a hint for each registration would cost more than it saves."""


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
        self._clients = open_clients(settings, guard)
        self._say = Loop("hint", self._say_hint, self._pulse)
        clock = SharedClock()
        self._processes = make_processes(settings)
        workshop = Workshop(
            settings=settings,
            database=database,
            metrics=metrics,
            pulse=self._pulse,
            clients=self._clients,
            processes=self._processes,
            clock=clock,
        )
        self._courier = workshop.make_courier()
        self._lanes = workshop.make_lanes(composer, watcher=lambda: self._adoption.me, wake_courier=self._courier.wake)
        self._announcer = workshop.make_announcer()
        self._adoption = Adoption(
            self._lanes,
            database,
            clock,
            tells_operator=self._announcer is not None,
            hint=self._say.wake,
            wake_courier=self._courier.wake,
        )
        janitor = Janitor(database, settings.retention, clock, metrics)
        self._find = Loop("adopt", self._adopt_all, self._pulse)
        self._beat = Loop("heartbeat", self._adoption.beat, self._pulse)
        self._count = Loop("count", Seldom(janitor.count, time.monotonic), self._pulse)
        self._tidy = Loop("tidy", janitor.run_once, self._pulse)
        self._announce = Loop("announce", self._announce_all, self._pulse)
        self._listener = self._make_listener()
        self._stopping = asyncio.Event()
        self._has_warned = False
        ports = self._make_ports(Intake(settings, guard, composer, clock), workshop)
        self._server = make_server(create_app(ports))

    def _make_ports(self, intake: Intake, workshop: Workshop) -> ApiPorts:
        return ApiPorts(
            database=self._database,
            intake=intake,
            settings=self._settings,
            metrics=workshop.metrics,
            pulse=self._pulse,
            sender=workshop.make_sender(self._clients.trial),
            clock=workshop.clock,
            wake=self._wake_everywhere,
            wake_courier=self._courier.wake,
            watching=self._adoption.newcomers,
            stopping=self._stopping,
        )

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
            *((self._announce,) if self._announcer else ()),
            *((self._say,) if not self._database.is_sqlite else ()),
            *((self._listener,) if self._listener else ()),
        )
        try:
            async with asyncio.timeout(None) as deadline, asyncio.TaskGroup() as group:
                for worker in workers:
                    group.create_task(worker.run())
                group.create_task(self._server.serve(sockets=[listening]))
                ticks.start()
                self._say_ready(listening)
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
        if strays := await self._database.write(partial(daemons.find_strays, now=self._database.now())):
            log.warning("watchers_unknown", daemons=strays)
        if self._database.is_sqlite:
            # The lock on the file is ours: whoever is in the table died, or left.
            await self._adoption.resume()
        else:
            await self._adoption.join()
        if self._processes:
            await self._processes.start()

    async def _warn_of_orphans(self) -> None:
        """Say once which tasks nobody looks at; after the first round, when what was left behind has been sorted."""
        self._has_warned = True
        orphans = await self._database.read(partial(tasks.orphans, upstreams=list(self._lanes)))
        for name, count in orphans.items():
            log.warning("upstream_is_not_configured", upstream=name, tasks=count)

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(1.5):
                await self._adoption.leave()
        except Exception as error:  # noqa: BLE001 - others notice our silence and adopt what was ours
            log.warning("left_without_goodbye", reason=str(error) or type(error).__name__)
        if self._processes:
            await self._processes.stop()
        await self._clients.aclose()

    def _make_ticks(self) -> Ticks:
        ticks = Ticks()
        ticks.every(_LOOK_EVERY, self._look)
        ticks.every(_WAKE_EVERY, self._wake_all)
        ticks.every(HEARTBEAT_EVERY, self._beat.wake)
        ticks.every(_COUNT_EVERY, self._count.wake)
        ticks.every(_TIDY_EVERY, self._tidy.wake)
        for name in ("adopt", "heartbeat", "deliver", *(f"poll {name}" for name in self._lanes)):
            self._pulse.expect(name, _LATE)
        return ticks

    def _make_listener(self) -> Listener | None:
        if not hints.can_be_heard(self._database.url):
            return None
        return Listener(self._database.url, me=lambda: self._adoption.me, heard=self._find.wake)

    def _wake_everywhere(self) -> None:
        self._find.wake()
        if self._adoption.has_company:
            self._say.wake()

    async def _say_hint(self) -> None:
        """Tell the others that there is something to find, and whatever comes within a moment with it."""
        if self._adoption.has_company:
            await asyncio.sleep(_HINT_EVERY)
            await self._database.write_apart(partial(hints.say, me=self._adoption.me))

    def _look(self) -> None:
        """One question finds whatever another process wrote, and wakes whom it concerns."""
        self._find.wake()
        self._announce.wake()

    def _wake_all(self) -> None:
        self._courier.wake()
        for lane in self._lanes.values():
            lane.wake()

    async def _adopt_all(self) -> None:
        while not self._stopping.is_set() and await self._adoption.run_once():
            pass
        if not self._has_warned:
            await self._warn_of_orphans()

    async def _announce_all(self) -> None:
        while self._announcer and not self._stopping.is_set() and await self._announcer.run_once():
            pass

    def _say_ready(self, listening: socket.socket) -> None:
        host, port = listening.getsockname()[:2]
        allowed = [str(network) for network in self._settings.callbacks.allow_networks]
        operator = self._settings.operator_callback_url
        log.info(
            "ready",
            version=tracker.__version__,
            listen=f"{host}:{port}",
            database="sqlite" if self._database.is_sqlite else "postgresql",
            upstreams=list(self._lanes),
            **({"callbacks_allowed_to": allowed} if allowed else {}),
            **({"operator_messages_to": origin_of(operator)} if operator else {}),
        )
