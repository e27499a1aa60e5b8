"""Tidying: forgets what is old enough in small steps, reminds of what is disabled, and counts what there is."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import structlog

from tracker.clock import Clock
from tracker.config import RetentionSettings
from tracker.janitor.adding import HOURS_KEPT_AT_LEAST, KEPT_AT_LEAST, Adder
from tracker.janitor.stride import Stride
from tracker.janitor.sweeping import Broom, strode
from tracker.metrics import Metrics
from tracker.model import DeliveryStatus, EndpointState, Status
from tracker.store import deliveries, endpoints, notices, partitions, retention, rollups, tasks
from tracker.store.database import Connection, Database

log = structlog.get_logger()

_STEP = 500
"""Rows of the small tables that are changed in one transaction."""
_LONGEST_REST = timedelta(minutes=10)
_REST_SHARE = 8
"""What is to be forgotten after two minutes is not kept for ten more, but for an eighth."""
_EARLY = 5.0
"""Seconds by which a rest may be cut short: whoever asks whether it is over does so at ticks that are not exact."""


class Janitor:
    """Keeps the database as small as the settings say, and what happened added up."""

    def __init__(
        self,
        database: Database,
        settings: RetentionSettings,
        clock: Clock,
        metrics: Metrics,
        *,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._clock = clock
        self._timer = timer
        self._metrics = metrics
        self._kept = max(settings.tasks, KEPT_AT_LEAST)
        self._attempts_kept = settings.attempts
        self._adder = Adder(database)
        self._brooms = [
            (Broom(database, sweep), age)
            for sweep, age in (
                (retention.BODIES, settings.bodies),
                (retention.OBJECTS, settings.bodies),
                (retention.ATTEMPTS, settings.attempts),
                (retention.TASKS, self._kept),
            )
        ]
        self._shrinking = Stride()
        shortest = min(settings.bodies, settings.attempts, self._kept)
        self._rest = min(_LONGEST_REST, shortest / _REST_SHARE).total_seconds()
        self._forgets_at = self._runs_at = timer()

    async def run_when_due(self) -> None:
        """Run every ten minutes; forget more often where things are kept for so short a time that it matters."""
        now = self._timer()
        if now >= self._runs_at:
            self._runs_at = now + _LONGEST_REST.total_seconds() - _EARLY
            self._forgets_at = now + self._rest - _EARLY
            await self.run_once()
        elif now >= self._forgets_at:
            self._forgets_at = now + self._rest - _EARLY
            await self._forget(self._clock())
            await self._shrink()

    async def run_once(self) -> int:
        """Add up what happened, then forget everything that is old enough; returns how many rows were forgotten."""
        now = self._clock()
        await self._adder.run_once(now=now, kept_since=now - self._kept)
        await self._mind_months(now)
        forgotten = await self._forget(now)
        await self._all(partial(endpoints.hold_again, now=now, limit=_STEP))
        await self._mind_notices(now)
        await self._shrink()
        return forgotten

    async def _mind_months(self, now: datetime) -> None:
        """On PostgreSQL: tables for the months to come, none for those of which nothing is kept."""
        for month in await self._database.read(partial(partitions.missing, now=now)):
            await self._database.write(partial(partitions.make, month=month))
        old = now - self._kept
        for name in await self._database.read(partial(partitions.outlived, ended_before=old)):
            if await self._database.write(partial(partitions.drop, name=name, ended_before=old)):
                log.info("month_dropped", table=name)

    async def _forget(self, now: datetime) -> int:
        forgotten = 0
        for broom, age in self._brooms:
            forgotten += await broom.sweep(ended_before=now - age, now=now)
        notices_before = now - self._attempts_kept
        forgotten += await self._all(partial(retention.forget_notices, ended_before=notices_before, limit=_STEP))
        await self._forget_hours(rollups.day_of(now - max(self._kept, HOURS_KEPT_AT_LEAST)))
        if forgotten:
            log.info("forgotten", rows=forgotten)
        return forgotten

    async def _forget_hours(self, before: datetime) -> None:
        if await self._database.read(partial(rollups.has_hours, before=before)):
            await self._database.write(partial(rollups.forget_hours, before=before))

    async def _mind_notices(self, now: datetime) -> None:
        await self._all(partial(notices.remind, now=now, limit=_STEP))
        stale = await self._all(partial(notices.give_up, now=now, limit=_STEP))
        if stale:
            self._metrics.operator_messages.labels("dead").inc(stale)
            log.error("operator_messages_given_up", messages=stale)

    async def _shrink(self) -> None:
        while await strode(self._database, self._shrinking, partial(retention.shrink, limit=self._shrinking.rows)):
            pass

    async def _all(self, step: Callable[[Connection], int]) -> int:
        total = 0
        while count := await self._database.write(step):
            total += count
        return total

    async def count(self) -> None:
        """Bring the gauges up to date."""
        by_status = await self._database.read(tasks.count_by_status)
        for status in Status:
            self._metrics.tasks.labels(str(status)).set(by_status.get(str(status), 0))
        of_deliveries = await self._database.read(tasks.count_deliveries)
        for settled in DeliveryStatus:
            self._metrics.deliveries.labels(str(settled)).set(of_deliveries.get(str(settled), 0))
        of_endpoints = await self._database.read(endpoints.count_by_state)
        for state in EndpointState:
            self._metrics.endpoints.labels(str(state)).set(of_endpoints.get(str(state), 0))
        oldest = await self._database.read(partial(deliveries.oldest_due_seconds, now=self._clock()))
        self._metrics.oldest_due_delivery.set(oldest)
