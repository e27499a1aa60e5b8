"""Writing down what came of an attempt, and what it says about the endpoint, in one transaction."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec

from tracker.config import CallbackSettings
from tracker.courier.claims import Claimed
from tracker.model import DeliveryStatus, Outcome
from tracker.pacing import retry_delay
from tracker.store import learning, outcomes
from tracker.store.database import Connection, Work
from tracker.store.endpoints import Turn
from tracker.store.learning import Lesson
from tracker.store.outcomes import Settlement

T = TypeVar("T")

_AFTER_A_PROBE = timedelta(seconds=30)
_AFTER_OUR_OWN_FAULT = timedelta(seconds=10)
"""Short, and no longer each time: a shortage of ours must not keep a receiver that works from its messages."""
_JITTER = 0.2


class Settled(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What was written."""

    status: DeliveryStatus | None
    """Where the delivery stands now; None when it was written before, or has gone on without us."""
    turn: Turn | None
    """What became of the endpoint, where that is news."""


class Closing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An attempt that is over, and what it came to."""

    entry: Claimed
    outcome: Outcome
    next_attempt_at: datetime | None
    """None where there will be none."""
    now: datetime
    dice: float


def judge(entry: Claimed, outcome: Outcome, *, settings: CallbackSettings, now: datetime, dice: float) -> Closing:
    """When the next attempt is."""
    again_at = _next_attempt_at(entry, outcome, settings=settings, now=now, dice=dice)
    return Closing(entry=entry, outcome=outcome, next_attempt_at=again_at, now=now, dice=dice)


def _next_attempt_at(
    entry: Claimed, outcome: Outcome, *, settings: CallbackSettings, now: datetime, dice: float
) -> datetime | None:
    if outcome.delivered or outcome.gone:
        return None
    delivery = entry.delivery
    if entry.is_probe:
        return now + _AFTER_A_PROBE
    if not outcome.spent:
        return now + _AFTER_OUR_OWN_FAULT * (1 + _JITTER * (2 * dice - 1))
    delay = retry_delay(
        delivery.message_type,
        delivery.failures + 1,
        schedule=settings.retry_schedule,
        retry_after=outcome.retry_after,
        dice=dice,
    )
    return None if delay is None else now + delay


def settle(connection: Connection, closings: Sequence[Closing]) -> list[Settled]:
    """Write them, all in one go: a probe that fails costs the endpoint, not the delivery."""
    written = outcomes.settle(connection, [_settlement(closing) for closing in closings])
    ours = [closing for closing, status in zip(closings, written, strict=True) if status]
    turns = iter(learning.learn_all(connection, [_lesson(closing) for closing in ours]))
    return [Settled(status=status, turn=next(turns) if status else None) for status in written]


def settle_first(closings: Sequence[Closing], work: Work[T], connection: Connection) -> tuple[list[Settled], T]:
    """Both in one transaction, in this order: what is claimed is locked without waiting for anybody."""
    settled = settle(connection, closings) if closings else []
    return settled, work(connection)


def _settlement(closing: Closing) -> Settlement:
    entry, outcome = closing.entry, closing.outcome
    costs_nothing = entry.is_probe and not outcome.gone
    return Settlement(
        delivery=entry.delivery,
        outcome=msgspec.structs.replace(outcome, spent=False) if costs_nothing else outcome,
        next_attempt_at=closing.next_attempt_at,
        now=closing.now,
    )


def _lesson(closing: Closing) -> Lesson:
    entry = closing.entry
    return Lesson(
        delivery=entry.delivery, outcome=closing.outcome, now=closing.now, dice=closing.dice, is_probe=entry.is_probe
    )
