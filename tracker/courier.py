"""Telling: claims due deliveries, as many as there are free slots, sends them, writes down what came of it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import structlog

from tracker.cadence import retry_delay
from tracker.clock import Clock
from tracker.config import CallbackSettings
from tracker.errors import UnavailableError
from tracker.metrics import Metrics
from tracker.model import Delivery, Outcome
from tracker.store import access, deliveries
from tracker.store.database import Connection, Database

log = structlog.get_logger()

_CLAIM_MARGIN = timedelta(seconds=30)
"""How far beyond an attempt's deadline a claim reaches, for the outcome to be written."""
_AFTER_OUR_OWN_FAULT = timedelta(seconds=30)
_LONGEST_AFTER_OUR_OWN_FAULT = timedelta(hours=1)
_GIVE_BACK_WITHIN = 1.0
_WRITE_AGAIN_AFTER = 1.0


class Sender(Protocol):
    """Makes one attempt; never raises for anything a receiver does."""

    async def send(self, delivery: Delivery, secrets: Sequence[str]) -> Outcome:
        """POST the message, signed with these secrets."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A delivery that is ours for one attempt, and the secrets that sign for its owner just now."""

    delivery: Delivery
    secrets: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a courier needs of the world; tests hand in their own."""

    database: Database
    sender: Sender
    metrics: Metrics
    new_secret: Callable[[], str]
    """For an owner who has none yet."""
    clock: Clock
    timer: Callable[[], float]
    """Seconds on a clock that never jumps."""
    dice: Callable[[], float]
    """A number from 0 up to 1."""
    beat: Callable[[], None]
    """Told each time the courier comes round."""


class Courier:
    """Delivers what is due."""

    def __init__(self, settings: CallbackSettings, ports: Ports) -> None:
        self._settings = settings
        self._ports = ports
        self._out: Counter[str] = Counter()
        self._in_hand: set[int] = set()
        """Keys of deliveries whose outcome is not written yet, even if their claims have run out meanwhile."""
        self._next_at: dict[str, float] = {}
        self._again_at: float | None = None
        """When the first endpoint that was left out for being called too fast may be called again."""
        self._wake = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """Look whether something is due."""
        self._wake.set()

    def stop(self) -> None:
        """Claim nothing more; `run` returns when what is out has come back."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Deliver until stopped."""
        async with asyncio.TaskGroup() as group:
            while not self._stopping:
                self._wake.clear()
                self._ports.beat()
                claimed = await self._claim_calmly()
                for entry in claimed:
                    group.create_task(self._deliver(entry))
                if not claimed:
                    await self._sleep()

    async def run_once(self) -> int:
        """Deliver once everything that is due; returns how many attempts that took."""
        made = 0
        while claimed := await self._claim():
            async with asyncio.TaskGroup() as group:
                for entry in claimed:
                    group.create_task(self._deliver(entry))
            made += len(claimed)
        return made

    async def _sleep(self) -> None:
        """Until somebody wakes us, or an endpoint may be called again."""
        again_at = self._again_at
        try:
            async with asyncio.timeout(None if again_at is None else max(again_at - self._ports.timer(), 0)):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _claim_calmly(self) -> list[Claimed]:
        try:
            return await self._claim()
        except UnavailableError as error:
            log.warning("deliveries_postponed", reason=str(error))
        except Exception:
            log.exception("claim_failed")
        return []

    async def _claim(self) -> list[Claimed]:
        """Claim as many due deliveries as their endpoints and we have room for."""
        self._again_at = None
        free = self._settings.max_in_flight - self._out.total()
        if free <= 0:
            return []
        look = partial(deliveries.due, now=self._ports.clock(), without=self._saturated(), limit=4 * free)
        waiting = await self._ports.database.read(look)
        chosen: Counter[str] = Counter()
        keys: list[int] = []
        for due in waiting:
            if due.key not in self._in_hand and len(keys) < free and chosen[due.endpoint] < self._room(due.endpoint):
                chosen[due.endpoint] += 1
                keys.append(due.key)
        if not keys:
            return []
        claimed = await self._ports.database.write(partial(self._claim_these, keys=keys, now=self._ports.clock()))
        for entry in claimed:
            self._hold(entry.delivery)
        return claimed

    def _claim_these(self, connection: Connection, keys: list[int], now: datetime) -> list[Claimed]:
        until = now + self._settings.timeout + _CLAIM_MARGIN
        claimed = deliveries.claim(connection, keys, now=now, until=until)
        owners = {delivery.owner for delivery in claimed}
        secrets = access.signing_secrets(connection, owners, now=now)
        for owner in owners - secrets.keys():
            secrets[owner] = [access.current_secret(connection, owner, now=now, fresh=self._ports.new_secret())]
        return [Claimed(delivery=delivery, secrets=secrets[delivery.owner]) for delivery in claimed]

    def _saturated(self) -> list[str]:
        now = self._ports.timer()
        self._next_at = {endpoint: at for endpoint, at in self._next_at.items() if at > now}
        self._again_at = min(self._next_at.values(), default=None)
        return [endpoint for endpoint in {*self._out, *self._next_at} if self._room(endpoint) == 0]

    def _room(self, endpoint: str) -> int:
        room = max(self._settings.max_in_flight_per_endpoint - self._out[endpoint], 0)
        if self._settings.max_per_second_per_endpoint is not None:
            return 0 if endpoint in self._next_at else min(room, 1)
        return room

    def _hold(self, delivery: Delivery) -> None:
        self._in_hand.add(delivery.key)
        self._out[delivery.endpoint] += 1
        if rate := self._settings.max_per_second_per_endpoint:
            self._next_at[delivery.endpoint] = self._ports.timer() + 1 / rate

    def _let_go(self, delivery: Delivery) -> None:
        self._in_hand.discard(delivery.key)
        self._out[delivery.endpoint] -= 1
        if not self._out[delivery.endpoint]:
            del self._out[delivery.endpoint]
        self._wake.set()

    async def _deliver(self, entry: Claimed) -> None:
        delivery = entry.delivery
        try:
            outcome = await self._ports.sender.send(delivery, entry.secrets)
            await self._settle(delivery, outcome)
        except asyncio.CancelledError:
            await self._give_back(delivery)
            raise
        except Exception:
            # The claim runs out by itself and the delivery is tried again; the others go on.
            log.exception("delivery_failed_inside", delivery=delivery.id)
        finally:
            self._let_go(delivery)

    async def _give_back(self, delivery: Delivery) -> None:
        """Out of time while stopping: due again at once, under the same id, unless its outcome is written by now."""
        work = partial(deliveries.release_claims, claimed=[delivery], now=self._ports.clock())
        try:
            async with asyncio.timeout(_GIVE_BACK_WITHIN):
                await asyncio.shield(self._ports.database.write(work))
        except Exception as error:  # noqa: BLE001 - its claim runs out by itself
            log.warning("claim_not_given_back", delivery=delivery.id, reason=str(error) or type(error).__name__)

    async def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        now = self._ports.clock()
        next_attempt_at = self._next_attempt_at(delivery, outcome, now)
        work = partial(deliveries.settle, claimed=delivery, outcome=outcome, now=now, next_attempt_at=next_attempt_at)
        while True:
            try:
                # A write that has begun is finished even when we are told to stop.
                is_ours = await asyncio.shield(self._ports.database.write(work))
                break
            except UnavailableError as error:
                # What the receiver has is known only here: keep it until it is written.
                log.warning("outcome_postponed", delivery=delivery.id, reason=str(error))
                await asyncio.sleep(_WRITE_AGAIN_AFTER)
        if is_ours:
            self._tell(delivery, outcome, next_attempt_at, now)

    def _next_attempt_at(self, delivery: Delivery, outcome: Outcome, now: datetime) -> datetime | None:
        if outcome.delivered or outcome.gone:
            return None
        if not outcome.spent:
            times = delivery.attempt - delivery.failures - 1
            return now + min(_AFTER_OUR_OWN_FAULT * (1 << min(times, 10)), _LONGEST_AFTER_OUR_OWN_FAULT)
        delay = retry_delay(
            delivery.failures + 1,
            schedule=self._settings.retry_schedule,
            retry_after=outcome.retry_after,
            dice=self._ports.dice(),
        )
        return None if delay is None else now + delay

    def _tell(self, delivery: Delivery, outcome: Outcome, next_attempt_at: datetime | None, now: datetime) -> None:
        result = "delivered" if outcome.delivered else ("failed" if next_attempt_at else "dead")
        self._ports.metrics.delivery_outcomes.labels(result).inc()
        self._ports.metrics.attempt_duration.observe(outcome.duration.total_seconds())
        bound = log.bind(delivery=delivery.id, endpoint=delivery.endpoint, attempt=delivery.attempt)
        if outcome.delivered:
            since = delivery.finished_at or delivery.created_at
            self._ports.metrics.finish_to_deliver.observe(max((now - since).total_seconds(), 0.0))
            self._ports.metrics.events.labels("delivered").inc()
            bound.info("delivered", type=str(delivery.message_type), status_code=outcome.status_code)
            return
        say = bound.warning if next_attempt_at else bound.error
        event = "delivery_failed" if next_attempt_at else "delivery_dead"
        self._ports.metrics.events.labels(event).inc()
        say(event, error=outcome.error, status_code=outcome.status_code, next_attempt_at=next_attempt_at)
