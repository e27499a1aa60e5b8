"""How an upstream stands with us: paused or not and why, its last error, when it last answered; kept for people."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from tracker.clock import Clock
from tracker.metrics import Metrics
from tracker.model import Miss, MissKind
from tracker.poller.pause import Pause
from tracker.poller.rate import Rate
from tracker.store import upstreams
from tracker.store.database import Database

log = structlog.get_logger()

_SAY_OK_EVERY = timedelta(seconds=60)


class Standing:
    """One upstream's pause and rate, and the row that tells people how it is doing; written when that changes."""

    def __init__(
        self,
        name: str,
        database: Database,
        metrics: Metrics,
        *,
        clock: Clock,
        timer: Callable[[], float],
        most_per_second: float | None = None,
    ) -> None:
        self.pause = Pause()
        self.rate = Rate(most=most_per_second)
        self._name = name
        self._database = database
        self._metrics = metrics
        self._clock = clock
        self._timer = timer
        self._health = upstreams.Health(name=name)
        self._is_written = False

    def is_told(self, now: datetime, *, look_size: int) -> bool:
        """Whether that it answers would be no news, and `answered` need not be told."""
        return not self.pause.times and self._health.look_size == look_size and self._was_said(now)

    async def answered(self, now: datetime, *, look_size: int) -> None:
        """It answered as it should; this ends a pause."""
        if self.pause.over(self._timer()) or self._health.look_size != look_size:
            log.info("upstream_answers", upstream=self._name, look_size=look_size)
            self._is_written = False
        if not self._was_said(now):
            await self._write(replace(self._health, last_ok_at=now, look_size=look_size))

    async def failed(self, trouble: Miss, *, look_size: int) -> None:
        """It is in trouble as a whole; sooner or later this pauses it."""
        self._metrics.upstream_errors.labels(self._name, str(trouble.kind)).inc()
        if trouble.kind is MissKind.THROTTLED and not self.pause.is_on:
            log.info("upstream_slowed", upstream=self._name, per_second=round(self.rate.throttled(self._timer()), 2))
        if self.pause.trouble(trouble, self._timer()):
            log.warning("upstream_paused", upstream=self._name, reason=self.pause.reason)
        if self.pause.is_on or self._health.last_error != trouble.detail or not self._is_written:
            now = self._clock()
            told = replace(self._health, last_error=trouble.detail, last_error_at=now, look_size=look_size)
            await self._write(told)

    def _was_said(self, now: datetime) -> bool:
        last = self._health.last_ok_at
        return self._is_written and last is not None and now - last < _SAY_OK_EVERY

    async def _write(self, health: upstreams.Health) -> None:
        is_on = self.pause.is_on
        left = timedelta(seconds=max(self.pause.until - self._timer(), 0.0))
        self._health = replace(
            health,
            state="paused" if is_on else "ok",
            reason=self.pause.reason,
            paused_until=self._clock() + left if is_on else None,
        )
        self._is_written = False
        self._metrics.upstream_paused.labels(self._name).set(int(is_on))
        await self._database.write(partial(upstreams.write, health=self._health))
        self._is_written = True
