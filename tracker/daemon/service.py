"""A daemon as systemd's service: it says when it is ready, how it is, that it lives, and when it goes."""

import asyncio
import os
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from socket import socket

import structlog

from tracker import systemd
from tracker.config import Settings
from tracker.daemon.daemon import Daemon
from tracker.daemon.reloading import Reloading
from tracker.daemon.server import bind
from tracker.daemon.status import tell
from tracker.daemon.vigil import Vigil, extending
from tracker.errors import ConfigError
from tracker.store.database import Database
from tracker.systemd import Notifier

log = structlog.get_logger()

_API = "api"
"""What the sockets of the API are called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the service manager gave us at the start; nothing, where there is none."""

    notifier: Notifier
    watchdog_limit: timedelta | None
    sockets: tuple[socket, ...]

    @classmethod
    def of(cls, environ: MutableMapping[str, str]) -> "Surroundings":
        """Take it from the environment."""
        passed = systemd.passed_sockets(environ, os.getpid())
        named = [one for one in passed if one.name == _API]
        return cls(
            notifier=Notifier.of(environ),
            watchdog_limit=systemd.watchdog_limit(environ, os.getpid()),
            sockets=tuple(one.socket for one in named or passed),
        )

    def listen(self, host: str, port: int) -> list[socket]:
        """The sockets to accept connections on: those that were passed, or else one of our own."""
        if not self.sockets:
            return [bind(host, port)]
        for listening in self.sockets:
            if not systemd.accepts_connections(listening):
                raise ConfigError("listen", "systemd passed a socket that is none to listen on", "see tracker.socket")
            listening.setblocking(False)
        return list(self.sockets)


class Service:
    """Speaks for one daemon."""

    def __init__(
        self,
        daemon: Daemon,
        settings: Settings,
        database: Database,
        surroundings: Surroundings,
        read_settings: Callable[[], Settings],
    ) -> None:
        self._daemon = daemon
        self._notifier = surroundings.notifier
        self._vigil = Vigil(
            self._notifier, surroundings.watchdog_limit, pulse=daemon.pulse, database=database, tell=self.status
        )
        self._reloading = Reloading(
            settings, read=read_settings, apply=daemon.apply, notifier=self._notifier, tell=self.status
        )

    async def run(self, listening: list[socket], stop: asyncio.Event, reload: asyncio.Event) -> None:
        """Run the daemon until told to stop; read the configuration again each time that `reload` is set."""
        speaking = asyncio.create_task(self._speak(stop, reload))
        try:
            await self._daemon.run(listening, stop)
        finally:
            speaking.cancel()
            with suppress(asyncio.CancelledError):
                await speaking

    def status(self) -> str:
        """How the daemon is, in one line."""
        numbers = self._daemon.numbers()
        return tell(replace(numbers, database_answers=self._vigil.database_answers, refused=self._reloading.refused))

    async def _speak(self, stop: asyncio.Event, reload: asyncio.Event) -> None:
        try:
            await self._say_everything(stop, reload)
        except Exception:
            # Silence is heard too: without signs of life we are started anew.
            log.exception("service_fell_silent")

    async def _say_everything(self, stop: asyncio.Event, reload: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._vigil.run())
            group.create_task(self._say_goodbye(stop))
            async with extending(self._notifier, "starting: looking for work"):
                await self._daemon.is_ready.wait()
            self._notifier.ready(self.status())
            reloading = group.create_task(self._reloading.run(reload))
            await stop.wait()
            reloading.cancel()
            watching.cancel()

    async def _say_goodbye(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._notifier.stopping("stopping: finishing what is in hand")
