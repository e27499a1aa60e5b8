"""SIGHUP: the configuration is read again, and what can change while the daemon runs is put in force."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

import structlog

from tracker import log as events
from tracker.config import Reloaded, Settings, reload
from tracker.errors import TrackerError
from tracker.systemd import Notifier, journal_listens

log = structlog.get_logger()


def configure_log(settings: Settings) -> None:
    """Log as these settings say, with what the journal wants where it listens."""
    is_heard = journal_listens(os.environ, sys.stderr.fileno())
    events.configure(format=settings.log.format, level=settings.log.level, journal=is_heard)


class Reloading:
    """Reads the configuration each time somebody asks; a bad one changes nothing."""

    def __init__(
        self,
        settings: Settings,
        *,
        read: Callable[[], Settings],
        apply: Callable[[Reloaded], Awaitable[None]],
        notifier: Notifier,
        tell: Callable[[], str],
    ) -> None:
        self.refused: str | None = None
        """What was wrong with what was read last."""
        self._settings = settings
        self._read = read
        self._apply = apply
        self._notifier = notifier
        self._tell = tell

    async def run(self, asked: asyncio.Event) -> None:
        """Wait to be asked, until cancelled."""
        while True:
            await asked.wait()
            asked.clear()
            self._notifier.reloading("reading the configuration")
            await self._once()
            self._notifier.ready(self._tell())

    async def _once(self) -> None:
        try:
            read = await asyncio.to_thread(self._read)
            read.must_have_upstreams()
            reloaded = reload(self._settings, read)
            await self._apply(reloaded)
        except (TrackerError, OSError) as error:
            self.refused = str(error)
            log.error("configuration_not_reloaded", reason=str(error))  # noqa: TRY400 - the line says it all
            return
        except Exception as error:
            self.refused = type(error).__name__
            log.exception("configuration_not_reloaded")
            return
        self.refused, self._settings = None, reloaded.settings
        configure_log(reloaded.settings)
        log.info("configuration_reloaded", changed=list(reloaded.changed))
        if reloaded.waiting:
            log.warning("settings_need_a_restart", keys=list(reloaded.waiting))
