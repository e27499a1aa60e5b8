"""Making the parts of a daemon out of what they all need."""

import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import tracker
from tracker import courier
from tracker.clock import Clock, utc_now
from tracker.config import Settings, UpstreamSettings
from tracker.courier import Announcer, Courier
from tracker.guard import Guard
from tracker.http import Client, open_callback_client, open_upstream_client
from tracker.metrics import Metrics
from tracker.poller import Lane
from tracker.poller.ports import Ports
from tracker.providers.registry import build
from tracker.pulse import Pulse
from tracker.store.database import Database
from tracker.store.outbox import Compose
from tracker.systemd import journal_listens
from tracker.webhooks.processes import Equipment, SendingProcesses
from tracker.webhooks.sender import Sender
from tracker.webhooks.signing import new_secret

_MOST_TRIALS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """One client for each kind of place, so that none waits for another's connections."""

    callback: Client
    trial: Client
    operator: Client

    async def aclose(self) -> None:
        """Close them all."""
        for client in (self.callback, self.trial, self.operator):
            await client.aclose()


def open_clients(settings: Settings, guard: Guard) -> Clients:
    """Call it in a running loop."""
    return Clients(
        callback=open_callback_client(
            guard,
            max_connections=settings.callbacks.max_in_flight,
            max_per_endpoint=settings.callbacks.max_in_flight_per_endpoint,
        ),
        # Tests have connections of their own: they must find out everything, and hold up no delivery.
        trial=open_callback_client(guard, max_connections=_MOST_TRIALS, reuse=False),
        # Without the guard: the operator named the URL, as it named the upstreams.
        operator=open_upstream_client(max_connections=1),
    )


def make_processes(settings: Settings) -> SendingProcesses | None:
    """The processes that make attempts for this daemon, to be started; None where it makes them itself."""
    callbacks, count = settings.callbacks, settings.callbacks.sending_processes
    if not count:
        return None
    equipment = Equipment(
        version=tracker.__version__,
        timeout=callbacks.timeout,
        max_connections=callbacks.max_in_flight,
        max_per_endpoint=callbacks.max_in_flight_per_endpoint,
        allow_networks=tuple(str(network) for network in callbacks.allow_networks),
        require_https=callbacks.require_https,
        log_format=settings.log.format,
        log_level=settings.log.level,
        journal=journal_listens(os.environ, sys.stderr.fileno()),
    )
    return SendingProcesses(count, equipment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """Makes the parts that work; each gets the same database, metrics and clocks."""

    settings: Settings
    database: Database
    metrics: Metrics
    pulse: Pulse
    clients: Clients
    processes: SendingProcesses | None
    clock: Clock
    """By which everything in the database is done; the same for all who share it."""

    def make_sender(self, client: Client) -> Sender:
        """Sends messages through this client; receivers compare their time with ours, not with the database's."""
        return Sender(client, version=tracker.__version__, timeout=self.settings.callbacks.timeout, clock=utc_now)

    def make_courier(self) -> Courier:
        """Delivers messages to callbacks."""
        return Courier(self.settings.callbacks, self._courier_ports())

    def make_announcer(self) -> Announcer | None:
        """Tells the operator; None where there is no URL to tell it to."""
        url = self.settings.operator_callback_url
        if url is None:
            return None
        ports = replace(self._courier_ports(), sender=self.make_sender(self.clients.operator))
        return Announcer(url, self.settings.callbacks, ports)

    def _courier_ports(self) -> courier.Ports:
        return courier.Ports(
            database=self.database,
            sender=self.processes or self.make_sender(self.clients.callback),
            metrics=self.metrics,
            new_secret=new_secret,
            clock=self.clock,
            timer=time.monotonic,
            dice=random.random,
            beat=partial(self.pulse.beat, "deliver"),
        )

    def make_lane(
        self,
        name: str,
        upstream: UpstreamSettings,
        *,
        compose: Compose,
        watcher: Callable[[], str],
        wake_courier: Callable[[], None],
    ) -> tuple[Lane, Client]:
        """Watches the tasks of one upstream, through a client that is its own."""
        client = open_upstream_client(max_connections=upstream.max_in_flight, max_per_endpoint=0)
        ports = Ports(
            database=self.database,
            compose=compose,
            metrics=self.metrics,
            clock=self.clock,
            timer=time.monotonic,
            dice=random.random,
            watcher=watcher,
            wake_courier=wake_courier,
            beat=partial(self.pulse.beat, f"poll {name}"),
        )
        return Lane(name, upstream, build(name, upstream, client, utc_now), ports), client
