"""One upstream's lane: takes what is due, asks in batches, records what changed, decides when to look again."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog

from tracker.clock import Clock
from tracker.config import UpstreamSettings
from tracker.errors import UnavailableError
from tracker.metrics import Metrics
from tracker.model import NO_STREAK, Miss, MissKind, Rules, Seen
from tracker.observe import MISSES_BEFORE_AN_END, observe, tally
from tracker.poller.pace import Pace
from tracker.poller.recording import count_events, tell_end, write_all
from tracker.poller.schedule import Schedule, Watched
from tracker.poller.standing import Standing
from tracker.poller.taking import take_in
from tracker.poller.turns import Turns
from tracker.providers.protocol import Look, Provider
from tracker.store import changes
from tracker.store.changes import Decide, Recorded
from tracker.store.database import Database
from tracker.store.outbox import Compose
from tracker.store.watching import Adopted

log = structlog.get_logger()

_RETRY_AFTER_DATABASE_TROUBLE = 1.0
_LONGEST_LOOK = 2
"""Times the timeout of a request, with another that begins just before the first one's end."""
_COUNTED = (MissKind.UNKNOWN, MissKind.TRANSIENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a lane needs of the world; tests hand in their own."""

    database: Database
    compose: Compose
    metrics: Metrics
    clock: Clock
    timer: Callable[[], float]
    """Seconds on a clock that never jumps."""
    dice: Callable[[], float]
    """A number from 0 up to 1."""
    watcher: Callable[[], str]
    """The id under which this daemon watches just now."""
    wake_courier: Callable[[], None]
    beat: Callable[[], None]
    """Told each time the lane comes round."""


class Lane:
    """Watches the tasks of one upstream."""

    def __init__(self, name: str, settings: UpstreamSettings, provider: Provider, ports: Ports) -> None:
        self.name = name
        self.schedule = Schedule()
        self._settings = settings
        self._provider = provider
        self._ports = ports
        self._rules = Rules(expire_after=settings.expire_after, lost_after=settings.lost_after)
        self._standing = Standing(
            name,
            ports.database,
            ports.metrics,
            clock=ports.clock,
            timer=ports.timer,
            most_per_second=settings.max_requests_per_second,
        )
        self._pace = Pace(name, settings, now=ports.clock(), dice=ports.dice)
        self._turns = Turns(self.schedule, settings.poll_interval.total_seconds())
        ports.metrics.watched.labels(name).set_function(self.schedule.__len__)
        self._polls = ports.metrics.polls.labels(name)
        self._requests = ports.metrics.upstream_requests.labels(name)
        self._lateness = ports.metrics.lateness.labels(name)
        self._longest_look = _LONGEST_LOOK * settings.timeout.total_seconds()
        self._out = 0
        self._wake = asyncio.Event()
        self._stopping = False

    def watch(self, *tasks: Adopted, is_new: bool) -> None:
        """Take tasks in; they are looked at at once, or within one interval where many come together."""
        now, dice = self._ports.timer(), None if is_new else self._ports.dice
        take_in(self.schedule, tasks, self._settings, now=now, dice=dice, look_size=self._provider.look_size)

    def hear(self, noted: Adopted) -> None:
        """Somebody asked to look at a task now, or has ended it meanwhile."""
        if noted.is_let_go:
            self.schedule.remove(noted.key)
        elif self.schedule.hurry(noted.key, self._ports.timer()):
            self._turns.hurry(noted.key)
        else:
            self.watch(noted, is_new=True)

    def wake(self) -> None:
        """Look whether there is something to do."""
        self._wake.set()

    def stop(self) -> None:
        """Take nothing more; `run` returns when what is out has come back."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Watch until stopped."""
        async with asyncio.TaskGroup() as group:
            while not self._stopping:
                self._ports.beat()
                if (wait := self._wait()) == 0 and (batch := self._take()):
                    group.create_task(self._work(batch))
                else:
                    await self._sleep(wait)

    async def _work(self, batch: list[Watched]) -> None:
        """Look at a batch, and then at what is due by then: the room for a request is handed on without a detour."""
        now = self._ports.clock()
        while batch:
            now = await self._look(batch, now)
            self._ports.beat()
            batch = self._take() if self._wait() == 0 and not self._stopping else []
            if not batch or self._wait() == 0:
                # There is room for more than this one, or something to wait for.
                self._wake.set()

    async def run_once(self) -> int:
        """Look once at everything that is due and may be asked for; returns how many tasks that was."""
        looked_at = 0
        while self._wait() == 0 and (batch := self._take()):
            await self._look(batch, self._ports.clock())
            looked_at += len(batch)
        return looked_at

    def _wait(self) -> float | None:
        """Seconds until a request may be sent: 0 now, None until something wakes us."""
        if self._out >= (1 if self._standing.pause.is_on else self._settings.max_in_flight):
            return None
        due = self._turns.next_due()
        if due is None:
            return None
        return max(max(due, self._standing.pause.until, self._standing.rate.next_at) - self._ports.timer(), 0.0)

    async def _sleep(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    def _take(self) -> list[Watched]:
        now = self._ports.timer()
        most = 1 if self._standing.pause.is_on else self._provider.look_size
        batch = self._turns.take(now, most, is_scarce=self._pace.is_scarce)
        if batch:
            self._out += 1
            self._lateness.observe(max(now - batch[0].due, 0.0))
            self._standing.rate.spend(1, now)
        return batch

    async def _look(self, batch: list[Watched], now: datetime) -> datetime:
        """Look at a batch, and record it; returns the moment."""
        try:
            look = await self._provider.look([watched.task_id for watched in batch], self._known(batch, now))
            # What the tasks did comes first: that it cannot be told how the upstream does must not cost an observation.
            await self._record(batch, look, now := self._ports.clock())
            self._count(look)
            await self._judge(look, now)
        except UnavailableError as error:
            log.warning("observation_postponed", upstream=self.name, tasks=len(batch), reason=str(error))
            self._postpone(batch)
        except Exception:
            # A bad answer must never stop the others: these are looked at again, the lane goes on.
            log.exception("look_failed", upstream=self.name, tasks=len(batch))
            self._postpone(batch)
        finally:
            self._out -= 1
        return now

    def _known(self, batch: list[Watched], now: datetime) -> dict[int, str]:
        """The digests of last answers that need not be read again, should they come again.

        A deadline that may pass while the look is out has to be judged by what is seen then.
        """
        back_at = now.timestamp() + self._longest_look
        return {one.digest: one.task_id for one in batch if one.digest is not None and one.expires_at > back_at}

    def _postpone(self, batch: list[Watched]) -> None:
        due = self._ports.timer() + max(self._settings.poll_interval.total_seconds(), _RETRY_AFTER_DATABASE_TROUBLE)
        for watched in batch:
            if self.schedule.holds(watched) and watched.is_out:
                self.schedule.put_back(watched, due)

    def _count(self, look: Look) -> None:
        self._polls.inc(len(look.seen) + len(look.unchanged))
        self._requests.inc(look.requests)
        self._standing.rate.add(look.requests - 1, self._ports.timer())

    async def _judge(self, look: Look, now: datetime) -> None:
        """What the answer says about the upstream as a whole."""
        look_size = self._provider.look_size
        if look.trouble is not None:
            await self._standing.failed(look.trouble, look_size=look_size)
        elif not self._standing.is_told(now, look_size=look_size):
            await self._standing.answered(now, look_size=look_size)
        if self._pace.learns(now):
            await self._pace.learn(self._ports.database, now)

    async def _record(self, batch: list[Watched], look: Look, now: datetime) -> None:
        """Write what is news, and put all back."""
        news = [watched for watched in batch if watched.task_id not in look.unchanged]
        if not news:
            self._settle(now)
            self._put_back(batch, look)
            return
        decisions: dict[int, Decide] = {}
        for watched in news:
            seen = look.seen[watched.task_id]
            watched.streak = tally(watched.streak, seen, now)
            if self._may_change(watched, seen, now):
                decisions[watched.key] = partial(observe, seen=seen, now=now, streak=watched.streak, rules=self._rules)
        recorded, bad = await write_all(decisions, partial(self._write, now=now))
        self._postpone([watched for watched in news if watched.key in bad])
        self._settle(self._ports.clock() if decisions else now)
        for watched in news:
            if watched.key in bad:
                continue
            seen = look.seen[watched.task_id]
            if watched.key in decisions:
                self._note(watched, seen, recorded.get(watched.key))
            elif not isinstance(seen, Miss):
                self._pace.meet(watched, seen)
            if not isinstance(seen, Miss):
                watched.digest = look.digests.get(watched.task_id)
        self._put_back([watched for watched in batch if watched.key not in bad], look)

    def _settle(self, now: datetime) -> None:
        moment = self._ports.timer()
        rate = self._standing.rate.limit(moment)
        look_size = self._provider.look_size
        self._pace.settle(moment, now, look_size=look_size, tasks=len(self.schedule), rate=rate)

    def _put_back(self, batch: list[Watched], look: Look) -> None:
        """Into the schedule with all that goes on."""
        for watched in batch:
            if watched.task_id in look.unchanged:
                watched.streak = NO_STREAK
            if not self.schedule.holds(watched):
                continue
            if watched.has_ended and not watched.is_hurried:
                self.schedule.remove(watched.key)
                continue
            if watched.has_ended:
                # Somebody asked while it was out, and may have revived it: what it is now is in its row.
                watched.digest = watched.fingerprint = None
            self._reschedule(watched)

    def _may_change(self, watched: Watched, seen: Seen, now: datetime) -> bool:
        """Whether the database has to be asked what this means; most looks tell nothing new and cost no query."""
        if isinstance(seen, Miss):
            misses = max(watched.streak.count, watched.streak.silent)
            if seen.kind not in _COUNTED or misses < MISSES_BEFORE_AN_END:
                return False
            return watched.streak.lasted(now) >= self._rules.lost_after or now.timestamp() >= watched.expires_at
        return seen.fingerprint != watched.fingerprint or seen.implies_failure or now.timestamp() >= watched.expires_at

    async def _write(self, decisions: Mapping[int, Decide], now: datetime) -> dict[int, Recorded]:
        batch = changes.Batch(decisions=decisions, watcher=self._ports.watcher(), now=now, compose=self._ports.compose)
        recorded = await self._ports.database.write_each(changes.record_each, batch, size=len(decisions))
        if any(entry.deliveries for entry in recorded.values()):
            self._ports.wake_courier()
        count_events(self._ports.metrics, recorded.values())
        return recorded

    def _note(self, watched: Watched, seen: Seen, recorded: Recorded | None) -> None:
        if recorded is None:
            log.warning("task_taken_over", upstream=self.name, task_id=watched.task_id)
            watched.has_ended = True
            return
        task = recorded.task
        watched.has_ended = task.status.is_end
        watched.expires_at = self._rules.expires_at(task).timestamp()
        self._pace.note(watched, task)
        if not isinstance(seen, Miss):
            watched.fingerprint = seen.fingerprint
            if seen.status is None and seen.upstream_status:
                self._ports.metrics.unknown_statuses.labels(self.name).inc()
        if recorded.event is None:
            return
        watched.news_at = self._ports.timer()
        if recorded.event.to_status is not None and task.status.is_end and recorded.event.to_status is task.status:
            tell_end(self._ports.metrics, task)

    def _reschedule(self, watched: Watched) -> None:
        hurried, watched.is_hurried = watched.is_hurried, False
        self.schedule.put_back(watched, self._ports.timer() if hurried else self._pace.due(watched))
