"""Writing down what came of attempts, many in one go: the deliveries, their attempts, the lines in the histories."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Connection, func, insert, select, update

from tracker.model import Delivery, DeliveryStatus, EventKind, Outcome
from tracker.store import pacing, settled
from tracker.store.deliveries import PENDING
from tracker.store.given import among, given, moments, rows
from tracker.store.schema import callback, delivery, event, task
from tracker.store.settled import Line


class Settlement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What came of one attempt, to be written."""

    delivery: Delivery
    """As it was claimed: its attempt is the one that is settled."""
    outcome: Outcome
    next_attempt_at: datetime | None
    """None where there will be none: a delivery that was not delivered is dead then, kept, counted, replayable."""
    now: datetime
    is_outdated: bool = False
    """Whether a newer message says more, so that there is no other attempt."""

    @property
    def status(self) -> DeliveryStatus:
        """What the delivery is from now on."""
        if self.outcome.delivered:
            return DeliveryStatus.DELIVERED
        if self.is_outdated and not self.outcome.gone:
            return DeliveryStatus.SUPERSEDED
        return DeliveryStatus.DEAD if self.next_attempt_at is None else DeliveryStatus.PENDING


def settle(connection: Connection, settlements: Sequence[Settlement]) -> list[DeliveryStatus | None]:
    """Write them all; returns where each delivery stands now.

    None, in the order given, where it was written before or the delivery has gone on without us.
    """
    # The tasks first, then their messages, as everybody who needs both: in another order two daemons lock each
    # other out.
    if connection.dialect.name != "sqlite":
        _lock_tasks(connection, settlements)
    settlements = _compared(connection, settlements)
    once = {_attempt_of(settlement): settlement for settlement in reversed(settlements)}
    ours = _write(connection, list(once.values()))
    for settlement in once.values():
        if settlement.outcome.gone:
            _end_callback(connection, settlement)
    statuses: list[DeliveryStatus | None] = []
    for settlement in settlements:
        name = _attempt_of(settlement)
        is_first = name in ours and once[name] is settlement
        statuses.append(settlement.status if is_first else None)
    return statuses


def _compared(connection: Connection, settlements: Sequence[Settlement]) -> Sequence[Settlement]:
    """The same, with what has become of their tasks and callbacks meanwhile.

    Asked under the locks, so that nothing newer comes between.
    """
    failed = [settlement.delivery for settlement in settlements if not settlement.outcome.delivered]
    if not failed:
        return settlements
    outdated = pacing.outdated(connection, failed)
    # Where one of these says so, the others of its callback have no other attempt either.
    gone = {settlement.delivery.callback_key for settlement in settlements if settlement.outcome.gone}
    if not outdated and not gone:
        return settlements
    return [
        msgspec.structs.replace(
            one,
            is_outdated=one.delivery.key in outdated,
            next_attempt_at=None if one.delivery.callback_key in gone else one.next_attempt_at,
        )
        for one in settlements
    ]


def _attempt_of(settlement: Settlement) -> tuple[int, int]:
    return settlement.delivery.key, settlement.delivery.attempt


def _lock_tasks(connection: Connection, settlements: Sequence[Settlement]) -> None:
    keys = {settlement.delivery.task_key for settlement in settlements}
    connection.execute(_locking(), {"given": rows(connection, [{"key": key} for key in keys])})


@cache
def _locking() -> Any:  # noqa: ANN401 - a statement, built once
    wanted = given("postgresql", "given", key=BigInteger())
    locked = select(task.c.key).where(among("postgresql", task.c.key, wanted)).order_by(task.c.key)
    # As one row: nobody wants to know which they are.
    return select(func.count()).select_from(locked.with_for_update(of=task, key_share=True).subquery("locked"))


def _write(connection: Connection, settlements: Sequence[Settlement]) -> set[tuple[int, int]]:
    """The deliveries, their attempts, and the lines in the histories.

    Returns the attempts (delivery, number) that were still under way. Those that were outrun are closed too, since what
    the receiver did is known by now, and change nothing else.
    """
    written = moments(connection)
    lines = [_line(settlement, written) for settlement in settlements]
    return settled.write(connection, lines)


def _line(settlement: Settlement, written: Callable[[datetime], object]) -> Line:
    claimed, outcome, status, now = settlement.delivery, settlement.outcome, settlement.status, written(settlement.now)
    is_pending = status is DeliveryStatus.PENDING
    due = settlement.next_attempt_at if is_pending else None
    return Line(
        key=claimed.key,
        number=claimed.attempt,
        task_key=claimed.task_key,
        status=status.value,
        failed=int(not outcome.delivered and outcome.spent),
        due=None if due is None else written(due),
        settled=None if is_pending else now,
        outcome="delivered" if outcome.delivered else "failed",
        status_code=outcome.status_code,
        duration_ms=round(outcome.duration.total_seconds() * 1000),
        phase=outcome.phase and outcome.phase.value,
        error=outcome.error,
        detail=outcome.detail,
        response=outcome.response,
        event=_EVENT_OF[status].value,
        now=now,
        note=_describe(claimed, outcome),
    )


def _end_callback(connection: Connection, settlement: Settlement) -> None:
    """The receiver said 410: nothing more is sent to this callback."""
    claimed, now = settlement.delivery, settlement.now
    gone = update(callback).where(callback.c.key == claimed.callback_key, callback.c.gone_at.is_(None))
    connection.execute(gone.values(gone_at=now))
    rest = update(delivery).where(delivery.c.callback_key == claimed.callback_key, PENDING)
    dead = rest.values(status=str(DeliveryStatus.DEAD), next_attempt_at=None, settled_at=now)
    for row in connection.execute(dead.returning(delivery.c.id, delivery.c.message_type)).all():
        note = f"{row.message_type} {row.id} to {claimed.endpoint}: its callback is gone"
        _note(connection, claimed.task_key, EventKind.DELIVERY_DEAD, note, now)


def _note(connection: Connection, task_key: int, kind: EventKind, note: str, now: datetime) -> None:
    grown = update(task).where(task.c.key == task_key).values(sequence=task.c.sequence + 1)
    sequence = connection.scalar(grown.returning(task.c.sequence))
    row = {"task_key": task_key, "sequence": sequence, "event": str(kind), "observed_at": now, "note": note}
    connection.execute(insert(event).values(row))


_EVENT_OF = {
    DeliveryStatus.DELIVERED: EventKind.DELIVERED,
    DeliveryStatus.PENDING: EventKind.DELIVERY_FAILED,
    DeliveryStatus.DEAD: EventKind.DELIVERY_DEAD,
    DeliveryStatus.SUPERSEDED: EventKind.DELIVERY_FAILED,
}


def _describe(claimed: Delivery, outcome: Outcome) -> str:
    what = f"{claimed.message_type} {claimed.id} to {claimed.endpoint}, attempt {claimed.attempt}"
    return f"{what}: {outcome.said}"
