"""One upstream's lane: takes what is due, asks in batches, records what changed, decides when to look again."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from functools import partial

import structlog

from tracker.config import UpstreamSettings
from tracker.errors import UnavailableError
from tracker.model import NO_STREAK, Miss, Rules, Seen
from tracker.observe import observe, tally
from tracker.poller.pace import Pace
from tracker.poller.ports import Ports
from tracker.poller.quiet import Quiet
from tracker.poller.recording import count_events, may_change, tell_end, write_all
from tracker.poller.schedule import Schedule, Watched
from tracker.poller.standing import Standing
from tracker.poller.taking import Taking
from tracker.poller.turns import Turns
from tracker.providers.protocol import Look, Provider
from tracker.store import changes
from tracker.store.changes import Decide, Recorded
from tracker.store.watching import Adopted

log = structlog.get_logger()

_RETRY_AFTER_DATABASE_TROUBLE = 1.0
_LONGEST_LOOK = 2
"""Times the timeout of a request, with another that begins just before the first one's end."""


class Lane:
    """Watches the tasks of one upstream."""

    def __init__(self, name: str, settings: UpstreamSettings, provider: Provider, ports: Ports) -> None:
        self.name = name
        self.schedule = Schedule()
        self._taking = Taking(self.schedule, settings, phase=ports.dice())
        self._settings = settings
        self._provider = provider
        self._ports = ports
        self._rules = Rules(expire_after=settings.expire_after, lost_after=settings.lost_after)
        most = settings.max_requests_per_second
        self._standing = Standing(
            name, ports.database, ports.metrics, clock=ports.clock, timer=ports.timer, most_per_second=most
        )
        self._pause, self._rate = self._standing.pause, self._standing.rate
        self._pace = Pace(name, settings, now=ports.clock(), dice=ports.dice)
        self._turns = Turns(self.schedule, settings.poll_interval.total_seconds())
        ports.metrics.watched.labels(name).set_function(self.schedule.__len__)
        self._polls = ports.metrics.polls.labels(name)
        self._requests = ports.metrics.upstream_requests.labels(name)
        self._lateness = ports.metrics.lateness.labels(name)
        self._longest_look = _LONGEST_LOOK * settings.timeout.total_seconds()
        self._quiet = Quiet(self._settle_quiet)
        self._has_to_tell = True
        """Whether the next answer has to be judged although it brings no news, which takes the database."""
        self._epoch = ports.timer() - ports.clock().timestamp()
        """What the timer would have said in 1970, by the last reading of both clocks."""
        self._out = 0
        self._wake = asyncio.Event()
        self._stopping = False

    def watch(self, *tasks: Adopted, is_new: bool) -> None:
        """Take tasks in; they are looked at at once, or within one interval where many come together."""
        self._taking.take_in(tasks, now=self._ports.timer(), is_new=is_new, look_size=self._provider.look_size)

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
        """Watch until stopped. Cancelled or not, it leaves no look unsettled: its tasks may be another lane's then."""
        try:
            async with asyncio.TaskGroup() as group:
                while not self._stopping:
                    self._ports.beat()
                    if batch := self._take():
                        group.create_task(self._work(batch))
                    else:
                        await self._sleep(self._wait())
        finally:
            self._quiet.settle()

    async def _work(self, batch: list[Watched]) -> None:
        """Look at a batch, and then at what is due by then: the room for a request is handed on without a detour."""
        while batch:
            await self._look(batch)
            batch = [] if self._stopping else self._take()
            if not batch or (self._out < self._settings.max_in_flight and self._wait() == 0):
                # There is room for more than this one, or something to wait for.
                self._wake.set()

    async def run_once(self) -> int:
        """Look once at everything that is due and may be asked for; returns how many tasks that was."""
        looked_at = 0
        while batch := self._take():
            await self._look(batch)
            self._quiet.settle()
            looked_at += len(batch)
        return looked_at

    def _wait(self) -> float | None:
        """Seconds until a request may be sent: 0 now, None until something wakes us."""
        if self._out >= self._settings.max_in_flight or (self._out and self._pause.is_on):
            return None
        if (due := self._turns.next_due()) is None:
            return None
        return max(max(due, self._pause.until, self._rate.next_at) - self._ports.timer(), 0.0)

    async def _sleep(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    def _take(self) -> list[Watched]:
        """What is asked for by the next request; nothing where none may be sent now, as `_wait` has it."""
        if self._out >= self._settings.max_in_flight or (self._out and self._pause.is_on):
            return []
        if (now := self._ports.timer()) < max(self._pause.until, self._rate.next_at):
            return []
        most = 1 if self._pause.is_on else self._provider.look_size
        batch = self._turns.take(now, most, is_scarce=self._pace.is_scarce)
        if batch:
            self._out += 1
            self._lateness.observe(late if (late := now - batch[0].due) > 0 else 0.0)
            self._rate.spend(1, now)
        return batch

    async def _look(self, batch: list[Watched]) -> None:
        try:
            look = await self._provider.look([watched.task_id for watched in batch], self._known(batch))
            if self._is_quiet(look, batch):
                self._quiet.add(batch)
                return
            # What the tasks did comes first: that it cannot be told how the upstream does must not cost an observation.
            await self._record(batch, look, now := self._ports.clock())
            self._polls.inc(len(look.seen) + len(look.unchanged))
            self._requests.inc(look.requests)
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

    def _is_quiet(self, look: Look, batch: list[Watched]) -> bool:
        """Whether it brought no news at all, of tasks or of their upstream; most looks are like that."""
        is_well = look.trouble is None and not self._pause.times and not self._has_to_tell
        return is_well and look.requests == 1 and len(look.unchanged) == len(batch)

    def _settle_quiet(self, batch: list[Watched], looks: int) -> None:
        """Put back what brought no news; `_record` does so with the rest."""
        try:
            now = self._ports.clock()
            for watched in batch:
                watched.streak = NO_STREAK
            self._settle(now)
            self._put_back(batch)
            self._polls.inc(len(batch))
            self._requests.inc(looks)
            is_told = self._standing.is_told(now, look_size=self._provider.look_size)
            self._has_to_tell = self._pace.learns(now) or not is_told
        except Exception:
            log.exception("look_failed", upstream=self.name, tasks=len(batch))
            self._postpone(batch)
        if self._wait() is not None:
            # `run` may have come round since their requests ended, and sleeps without counting on them.
            self._wake.set()

    def _known(self, batch: list[Watched]) -> dict[int, str]:
        """The digests of last answers that need not be read again, should they come again.

        A deadline that may pass while the look is out has to be judged by what is seen then.
        """
        back_at = self._ports.timer() - self._epoch + self._longest_look
        return {one.digest: one.task_id for one in batch if one.digest is not None and one.expires_at > back_at}

    def _postpone(self, batch: list[Watched]) -> None:
        self._ports.beat()
        due = self._ports.timer() + max(self._settings.poll_interval.total_seconds(), _RETRY_AFTER_DATABASE_TROUBLE)
        for watched in batch:
            if self.schedule.holds(watched) and watched.is_out:
                self.schedule.put_back(watched, due)

    async def _judge(self, look: Look, now: datetime) -> None:
        """What the answer says about the upstream as a whole."""
        self._has_to_tell = False
        self._rate.add(look.requests - 1, self._ports.timer())
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
        decisions: dict[int, Decide] = {}
        for watched in news:
            seen = look.seen[watched.task_id]
            watched.streak = tally(watched.streak, seen, now)
            if self.schedule.holds(watched) and may_change(watched, seen, now, self._rules):
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
        for watched in batch:
            if watched.task_id in look.unchanged:
                watched.streak = NO_STREAK
        self._put_back([watched for watched in batch if watched.key not in bad])

    def _settle(self, now: datetime) -> None:
        self._ports.beat()
        self._epoch = (moment := self._ports.timer()) - now.timestamp()
        rate, look_size = self._rate.limit(moment), self._provider.look_size
        self._pace.settle(moment, now, look_size=look_size, tasks=len(self.schedule), rate=rate)

    def _put_back(self, batch: list[Watched]) -> None:
        """Into the schedule with all that goes on."""
        held, put_back, due = self.schedule.by_key, self.schedule.put_back, self._pace.due
        for watched in batch:
            if held.get(watched.key) is not watched:
                continue
            if watched.has_ended or watched.is_hurried:
                self._put_back_asked_for(watched)
            else:
                put_back(watched, due(watched))

    def _put_back_asked_for(self, watched: Watched) -> None:
        """One that has ended is let go, unless somebody asked for it while it was out."""
        if not watched.is_hurried:
            self.schedule.remove(watched.key)
            return
        # It may have been revived, or be another of the same name: what it is now is in its row.
        watched.digest = watched.fingerprint = None
        watched.is_hurried = False
        self.schedule.put_back(watched, self._ports.timer())

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
