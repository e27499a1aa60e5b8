"""Tidying: forgets what is old enough in small steps, reminds of what is disabled, and counts what there is."""

from collections.abc import Callable
from datetime import datetime
from functools import partial

import structlog

from tracker.clock import Clock
from tracker.config import RetentionSettings
from tracker.metrics import Metrics
from tracker.model import DeliveryStatus, EndpointState, Status
from tracker.store import deliveries, endpoints, notices, retention, tasks
from tracker.store.database import Database

log = structlog.get_logger()

_STEP = 500
"""Rows deleted in one transaction: milliseconds, so that nobody waits behind it."""


class Janitor:
    """Keeps the database as small as the settings say."""

    def __init__(self, database: Database, settings: RetentionSettings, clock: Clock, metrics: Metrics) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._metrics = metrics

    async def run_once(self) -> int:
        """Forget everything that is old enough; returns how many rows that were."""
        now = self._clock()
        forgotten = 0
        for forget, age in (
            (retention.forget_bodies, self._settings.bodies),
            (retention.forget_attempts, self._settings.attempts),
            (retention.forget_notices, self._settings.attempts),
            (retention.forget_tasks, self._settings.tasks),
        ):
            forgotten += await self._all(partial(forget, ended_before=now - age, limit=_STEP))
        await self._all(partial(endpoints.hold_again, now=now, limit=_STEP))
        await self._mind_notices(now)
        await self._all(partial(retention.shrink, pages=_STEP))
        if forgotten:
            log.info("forgotten", rows=forgotten)
        return forgotten

    async def _mind_notices(self, now: datetime) -> None:
        await self._all(partial(notices.remind, now=now, limit=_STEP))
        stale = await self._all(partial(notices.give_up, now=now, limit=_STEP))
        if stale:
            self._metrics.operator_messages.labels("dead").inc(stale)
            log.error("operator_messages_given_up", messages=stale)

    async def _all(self, step: Callable[..., int]) -> int:
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
