"""Claims due deliveries, some more than may be sent at a time, sends them, and has written down what came of it."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta
from functools import partial

import structlog

from tracker.config import CallbackSettings
from tracker.courier import claims, settling
from tracker.courier.backlog import Backlog, Chosen
from tracker.courier.claims import Claimed
from tracker.courier.lowwater import LowWater
from tracker.courier.ports import Ports
from tracker.courier.queue import Queue
from tracker.courier.recorder import Recorder
from tracker.courier.settling import Closing, Settled
from tracker.courier.slots import Slots
from tracker.courier.telling import Teller
from tracker.courier.writing import CLAIM_MARGIN
from tracker.errors import UnavailableError
from tracker.model import Delivery, EndpointState
from tracker.store import giving_back
from tracker.store.database import Work

log = structlog.get_logger()

_CLAIMS_IN_A_ROW = 3
"""That others may be faster with all of it before we wait for the next wake."""
_BREATH = 0.005
_LONGEST_BREATH = 0.5
_GIVE_BACK_WITHIN = 1.0


class Courier:
    """Delivers what is due."""

    def __init__(self, settings: CallbackSettings, ports: Ports) -> None:
        self._settings = settings
        self._ports = ports
        self._slots = Slots(settings, ports.timer)
        self._backlog = Backlog()
        self._low_water = LowWater()
        self._recorder = Recorder(ports.database, self._hear)
        self._teller = Teller(ports.metrics)
        self._queue = Queue(
            settings, ports.timer, attempt=self._send, give_back=self._give_back, too_slow=self._slots.keep_none_waiting
        )
        self._looking: asyncio.Task[None] | None = None
        """A look that was begun before it was needed."""
        self._wake = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """Look whether something is due."""
        self._wake.set()

    def stop(self) -> None:
        """Claim and send nothing more; `run` returns when what is out has come back and the rest is given back."""
        self._stopping = True
        self._queue.stop()
        self._wake.set()

    async def run(self) -> None:
        """Deliver until stopped."""
        fruitless = 0
        # One that was cancelled before its first step, with all the rest.
        self._looking = None
        async with self._recorder.recording(), self._queue.working() as group:
            while not self._stopping:
                self._wake.clear()
                self._ports.beat()
                claimed = await self._claim_calmly(group)
                self._queue.put(group, claimed)
                if claimed and self._slots.free_for_all < self._settings.max_in_flight // 2:
                    # A claim of one costs as much as a claim of ten: let some more come back first.
                    await asyncio.sleep(_BREATH)
                elif not claimed and (self._slots.are_taken or not self._backlog.may_have_more):
                    await self._sleep()
                elif not claimed and fruitless:
                    # What is due is held by somebody: asking again at once would only keep the database busy.
                    await self._sleep(min(_BREATH * 2 ** min(fruitless, 10), _LONGEST_BREATH))
                fruitless = 0 if claimed else fruitless + 1

    async def run_once(self) -> int:
        """Deliver once everything that is due; returns how many attempts that took."""
        made = 0
        while (claimed := await self._claim()) or self._backlog.may_have_more:
            async with self._recorder.recording(), self._queue.working() as group:
                self._queue.put(group, claimed)
            made += len(claimed)
        return made

    async def _sleep(self, longest: float | None = None) -> None:
        """Until somebody wakes us, an endpoint may be called again, or so many seconds have passed."""
        again_at = self._slots.again_at
        left = None if again_at is None else max(again_at - self._ports.timer(), 0)
        try:
            async with asyncio.timeout(min((one for one in (left, longest) if one is not None), default=None)):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _claim_calmly(self, group: asyncio.TaskGroup) -> list[Claimed]:
        try:
            return await self._claim(group)
        except UnavailableError as error:
            log.warning("deliveries_postponed", reason=str(error))
        except Exception:
            log.exception("claim_failed")
        self._backlog.forget()
        return []

    async def _claim(self, group: asyncio.TaskGroup | None = None) -> list[Claimed]:
        """Claim as many due deliveries as their endpoints and we have room for; with a group, look ahead in it."""
        self._slots.again_at = None
        for _ in range(_CLAIMS_IN_A_ROW):
            chosen = await self._choose()
            if not chosen:
                break
            if group:
                self._look_ahead(group)
            now = self._ports.clock()
            until = now + self._settings.timeout + CLAIM_MARGIN
            claim = partial(claims.claim, chosen=chosen, now=now, until=until, new_secret=self._ports.new_secret)
            claimed = await self._write(claim)
            for entry in claimed:
                self._slots.take(entry.delivery)
            if claimed:
                return claimed
        return []

    async def _write(self, claim: Work[list[Claimed]]) -> list[Claimed]:
        """Claim, and on SQLite write the outcomes that are there in the same transaction."""
        if not self._ports.database.is_sqlite:
            # There the recorder writes them beside this.
            return await self._ports.database.write(claim)
        closings = self._recorder.take()
        try:
            settled, claimed = await self._ports.database.write(partial(settling.settle_first, closings, claim))
        except BaseException:
            # Whether they are written or not: the second time counts nothing.
            self._recorder.give_back(closings)
            raise
        self._recorder.say(list(zip(closings, settled, strict=True)))
        return claimed

    async def _choose(self) -> Chosen:
        """From what was seen before, where that is enough; else from what is there now."""
        if self._slots.are_taken:
            return Chosen()
        self._backlog.forget_if_stale(self._ports.clock())
        if self._looking and self._backlog.is_short(self._slots):
            await self._looking
        if self._backlog.is_short(self._slots):
            self._backlog.begin_to_see()
            await self._look([*self._slots.saturated(), *self._backlog.stocked(self._slots)])
        return self._backlog.choose(self._slots, self._ports.clock())

    def _look_ahead(self, group: asyncio.TaskGroup) -> None:
        """Look for what comes next while a claim is written, where what is left will not do."""
        if self._looking is None and self._backlog.runs_low(self._slots):
            self._looking = group.create_task(self._look_calmly())

    async def _look_calmly(self) -> None:
        try:
            # One that is full just now, and has answered before, has room by the time.
            self._backlog.begin_to_see_beside_a_claim()
            await self._look([*self._slots.hopeless(), *self._backlog.stocked(self._slots)])
        except UnavailableError as error:
            log.warning("deliveries_postponed", reason=str(error))
        except Exception:
            log.exception("look_ahead_failed")
        finally:
            self._looking = None

    async def _look(self, without: Collection[str]) -> None:
        started, most = self._ports.clock(), self._backlog.most_to_see(self._settings.max_in_flight)
        since = self._low_water.mark(started)
        look = partial(claims.look, now=started, without=without, limit=most, known=self._slots.known(), since=since)
        waiting = await self._ports.database.read(look)
        self._slots.see_resting([one.origin for one in waiting.resting])
        self._slots.trust({due.endpoint for due in waiting.seen.due if due.is_well})
        now = self._ports.clock()
        self._low_water.see(waiting.seen.oldest, since=since, started=started, ended=now)
        self._backlog.see(waiting, now=now, took=now - started)

    async def _send(self, entry: Claimed) -> None:
        delivery = entry.delivery
        started, delivered = self._ports.timer(), False
        try:
            outcome = await self._ports.sender.send(delivery, entry.secrets)
            delivered = outcome.delivered
            now, dice = self._ports.clock(), self._ports.dice()
            closing = settling.judge(entry, outcome, settings=self._settings, now=now, dice=dice)
        except Exception:
            # The claim runs out by itself and the delivery is tried again; the others go on.
            log.exception("delivery_failed_inside", delivery=delivery.id)
            self._slots.forget(delivery)
        else:
            self._recorder.add(closing)
        finally:
            took = timedelta(seconds=self._ports.timer() - started)
            self._slots.time(delivery.endpoint, took, delivered=delivered)
        # The receiver is free for the next one while the outcome of this one is written.
        self._slots.give_back(delivery)
        self._wake.set()

    async def _give_back(self, *claimed: Delivery, begun: bool = False) -> None:
        """Not sent, or not to their ends: due again at once, under the same ids."""
        for delivery in claimed:
            self._slots.forget(delivery)
            self._slots.give_back(delivery)
        work: Work[None] = partial(giving_back.give_back, unsent=claimed)
        if begun:
            work = partial(giving_back.interrupt, begun=claimed, now=self._ports.clock())
        try:
            async with asyncio.timeout(_GIVE_BACK_WITHIN):
                await asyncio.shield(self._ports.database.write(work))
        except Exception as error:  # noqa: BLE001 - their claims run out by themselves
            reason = str(error) or type(error).__name__
            for delivery in claimed:
                log.warning("claim_not_given_back", delivery=delivery.id, reason=reason)
        self._wake.set()

    def _hear(self, written: Sequence[tuple[Closing, Settled | None]]) -> None:
        """These are written."""
        for closing, settled in written:
            self._slots.forget(closing.entry.delivery)
            if settled is not None and settled.status is not None:
                self._learn(closing, settled)
        self._teller.tell(written)
        self._wake.set()

    def _learn(self, closing: Closing, settled: Settled) -> None:
        turn, endpoint, outcome = settled.turn, closing.entry.delivery.endpoint, closing.outcome
        if turn and turn.before.state is not EndpointState.ACTIVE and turn.after.state is EndpointState.ACTIVE:
            self._slots.start_slowly(endpoint)
        elif outcome.spent:
            self._slots.learn(endpoint, delivered=outcome.delivered)
