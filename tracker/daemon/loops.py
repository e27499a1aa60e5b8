"""Loops that we own, and the ticks that wake them. APScheduler ticks and does not work: its shutdown cancels."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, timedelta
from typing import Any

import structlog
from apscheduler.executors.base import BaseExecutor
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from tracker.errors import UnavailableError
from tracker.pulse import Pulse

log = structlog.get_logger()


class Loop:
    """Runs a step each time it is woken, whatever the step does, until stopped."""

    def __init__(self, name: str, step: Callable[[], Awaitable[object]], pulse: Pulse) -> None:
        self.name = name
        self._step = step
        self._pulse = pulse
        self._wake = asyncio.Event()
        self._stopping = False
        self._trouble: str | None = None

    def wake(self) -> None:
        """Run the step, now or as soon as it is done with the last time."""
        self._wake.set()

    def stop(self) -> None:
        """Let `run` return after the step in hand."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Repeat the step."""
        while not self._stopping:
            self._wake.clear()
            await self._once()
            self._pulse.beat(self.name)
            await self._wake.wait()

    async def _once(self) -> None:
        try:
            await self._step()
        except UnavailableError as error:
            if self._trouble is None:
                log.warning("loop_waits", loop=self.name, reason=str(error))
            self._trouble = str(error)
        except Exception:
            log.exception("step_failed", loop=self.name)
        else:
            if self._trouble is not None:
                log.info("loop_goes_on", loop=self.name)
            self._trouble = None


class Seldom:
    """A step that rests for long after it took long: what grows with the tables must not take more of the time."""

    REST = 500
    """How many times as long as it took."""

    def __init__(self, step: Callable[[], Awaitable[object]], timer: Callable[[], float]) -> None:
        self._step = step
        self._timer = timer
        self._rested_at = timer()

    async def __call__(self) -> None:
        """Take the step, if it has rested."""
        started = self._timer()
        if started >= self._rested_at:
            await self._step()
            self._rested_at = self._timer() + self.REST * (self._timer() - started)


class _AtOnce(BaseExecutor):  # type: ignore[misc] # APScheduler has no types
    """Calls what is due where it stands: a task and a report for setting an event would cost ten times as much."""

    def submit_job(self, job: Any, _run_times: object) -> None:  # noqa: ANN401 - APScheduler has no types
        """Call it, once for all that it missed."""
        job.func()

    def _do_submit_job(self, *_: object) -> None:
        raise AssertionError("nothing is left to be done")


class _Scheduler(AsyncIOScheduler):  # type: ignore[misc] # APScheduler has no types
    """One whose timer does not take a second turn of the event loop: nobody calls it from another thread."""

    def wakeup(self) -> None:
        """See to what is due."""
        self._stop_timer()
        self._start_timer(self._process_jobs())


class Ticks:
    """Wakes loops at intervals, in the running event loop."""

    def __init__(self) -> None:
        # One late tick is worth as much as three: never skip it for being late, never queue a second one.
        defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        self._scheduler = _Scheduler(job_defaults=defaults, timezone=UTC, executors={"default": _AtOnce()})

    def every(self, interval: timedelta, wake: Callable[[], None]) -> None:
        """Call `wake`, which only sets an event, at this interval."""
        self._scheduler.add_job(wake, "interval", seconds=interval.total_seconds())

    def start(self) -> None:
        """Start ticking, in the running event loop."""
        self._scheduler.start()

    def stop(self) -> None:
        """Tick no more."""
        self._scheduler.shutdown(wait=False)
