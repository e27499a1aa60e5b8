"""What systemd is told while the daemon lives: that it is alive, and how it is.

Alive is a daemon whose loops come round. That an upstream, a receiver or the database is out of reach is no reason to
be ended: a start would make none of them come back, and everything slower when they do. So a loop that is late counts
only when the database has answered all the while.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import structlog

from tracker.pulse import Pulse
from tracker.store.access import has_tokens
from tracker.store.database import Connection, Database
from tracker.systemd import Notifier

log = structlog.get_logger()

SETTLES_WITHIN = 60.0
"""Seconds for which the database has to answer before a late loop is a stuck one: who waited for it gets as long."""
_PATIENCE = 5.0
"""Seconds after which a database that has not answered is out of reach."""
_OFTEN = 4
"""Signs of life in the time after which we are taken for dead: each may come late by more than a whole one."""
_SELDOM = 5.0
"""Seconds between two looks at how we are, at most."""
_MORE = timedelta(seconds=30)


class Vigil:
    """Watches over a daemon's loops on behalf of systemd."""

    def __init__(
        self,
        notifier: Notifier,
        limit: timedelta | None,
        *,
        pulse: Pulse,
        database: Database,
        tell: Callable[[], str],
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._notifier = notifier
        self._every = _SELDOM if limit is None else min(limit.total_seconds() / _OFTEN, _SELDOM)
        self._pulse = pulse
        self._database = database
        self._tell = tell
        self._timer = timer
        self._told = ""
        self._was_stuck = False
        self._asked_at: float | None = None
        """When the question that is open was asked."""
        self._answers_since: float | None = None
        self._has_failed = False

    @property
    def database_answers(self) -> bool:
        """Whether the database is within reach, as far as is known."""
        is_waiting = self._asked_at is not None and self._timer() - self._asked_at > _PATIENCE
        return not (self._has_failed or is_waiting)

    async def run(self) -> None:
        """Watch until cancelled; where nobody listens there is nothing to do."""
        if not self._notifier.is_heard:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_asking())
            while True:
                self.look()
                await asyncio.sleep(self._every)

    def look(self) -> None:
        """Give one sign of life, or none."""
        stuck = self.stuck()
        if not stuck:
            self._notifier.watchdog()
        elif not self._was_stuck:
            log.critical("loops_are_stuck", loops=sorted(stuck))
        self._was_stuck = bool(stuck)
        if (status := self._tell()) != self._told:
            self._told = status
            self._notifier.status(status)

    def stuck(self) -> list[str]:
        """The loops that do not come round, though nothing keeps them."""
        if not self.database_answers or self._answers_since is None:
            return []
        settled = self._timer() - self._answers_since >= SETTLES_WITHIN
        return list(self._pulse.late()) if settled else []

    async def _keep_asking(self) -> None:
        while True:
            self._asked_at = self._timer()
            await self._ask()
            self._asked_at = None
            await asyncio.sleep(self._every)

    async def _ask(self) -> None:
        """Ask the database what the loops ask it: to read, and to write, behind whatever else waits for that."""
        asked_at = self._timer()
        try:
            await self._database.read(has_tokens)
            await self._database.write(_nothing)
        except Exception as error:  # noqa: BLE001 - whatever it is, the loops have the same trouble, and tell it
            log.debug("database_not_asked", reason=str(error) or type(error).__name__)
            self._has_failed = True
            self._answers_since = None
            return
        self._has_failed = False
        if self._answers_since is None or self._timer() - asked_at > _PATIENCE:
            self._answers_since = self._timer()


def _nothing(_connection: Connection) -> None:
    return None


@asynccontextmanager
async def extending(notifier: Notifier, status: str) -> AsyncIterator[None]:
    """While this lasts, however long that is, systemd does not run out of patience."""
    task = asyncio.create_task(_extend(notifier, status))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _extend(notifier: Notifier, status: str) -> None:
    while notifier.is_heard:
        notifier.extend(_MORE, status)
        await asyncio.sleep(_MORE.total_seconds() / 3)
