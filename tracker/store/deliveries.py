"""The courier's side of the outbox: what is due, claiming it, and writing down what came of it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, TextClause, bindparam, case, exists, insert, select, text, update

from tracker.model import Delivery, DeliveryStatus, EndpointState, EventKind, MessageType, Outcome
from tracker.store.schema import attempt, callback, delivery, endpoint, event, task

_PENDING = text("delivery.status = 'pending'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A delivery that waits for an attempt."""

    key: int
    endpoint: str


# Built once: it is asked all the time, also when there is nothing to do.
_DUE = (
    select(delivery.c.key, endpoint.c.origin)
    .join(endpoint, endpoint.c.key == delivery.c.endpoint_key)
    .where(_PENDING, delivery.c.next_attempt_at <= bindparam("now"), endpoint.c.state == str(EndpointState.ACTIVE))
    .order_by(delivery.c.next_attempt_at)
    .limit(bindparam("most"))
)


def due(connection: Connection, *, now: datetime, without: Collection[str], limit: int) -> list[Due]:
    """What is due, longest first, leaving out endpoints (`scheme://host:port`) that have no room or are at rest."""
    query = _DUE.where(endpoint.c.origin.not_in(without)) if without else _DUE
    rows = connection.execute(query, {"now": now, "most": limit})
    return [Due(key=row.key, endpoint=row.origin) for row in rows]


def claim(connection: Connection, keys: Collection[int], *, now: datetime, until: datetime) -> list[Delivery]:
    """Make these deliveries ours by moving their due time beyond the attempt's deadline.

    Those that somebody else was faster with are missing from the answer. Each claim starts an attempt;
    one that a crash left open is closed as `interrupted`: its message may have arrived.
    """
    free = select(delivery.c.key).where(delivery.c.key.in_(keys), _PENDING, delivery.c.next_attempt_at <= now)
    ours = list(connection.scalars(free.order_by(delivery.c.key).with_for_update(skip_locked=True)))
    if not ours:
        return []
    connection.execute(
        update(delivery).where(delivery.c.key.in_(ours)).values(attempt=delivery.c.attempt + 1, next_attempt_at=until)
    )
    claimed = [
        _delivery_of(row)
        for row in connection.execute(_CLAIMED.where(delivery.c.key.in_(ours)).order_by(delivery.c.key))
    ]
    repeated = [found.key for found in claimed if found.attempt > 1]
    if repeated:
        left_open = update(attempt).where(attempt.c.delivery_key.in_(repeated), attempt.c.outcome == "sending")
        connection.execute(left_open.values(outcome="interrupted"))
    connection.execute(
        insert(attempt),
        [{"delivery_key": found.key, "attempt": found.attempt, "attempted_at": now} for found in claimed],
    )
    return claimed


_CLAIMED = select(
    delivery.c.key,
    delivery.c.id,
    delivery.c.task_key,
    delivery.c.callback_key,
    delivery.c.message_type,
    delivery.c.body,
    delivery.c.attempt,
    delivery.c.failures,
    delivery.c.created_at,
    # Who registered after the end was told late by nobody's fault.
    case((delivery.c.created_at <= task.c.ended_at, task.c.finished_at)).label("finished_at"),
    callback.c.owner,
    callback.c.url,
    endpoint.c.origin,
).select_from(
    delivery.join(task, task.c.key == delivery.c.task_key)
    .join(callback, callback.c.key == delivery.c.callback_key)
    .join(endpoint, endpoint.c.key == delivery.c.endpoint_key)
)


def _delivery_of(row: Any) -> Delivery:  # noqa: ANN401 - a row of _CLAIMED
    fields = dict(row._mapping)  # noqa: SLF001 - the documented name of a row's mapping
    fields["endpoint"] = fields.pop("origin")
    fields["message_type"] = MessageType(fields["message_type"])
    return Delivery(**fields)


def settle(
    connection: Connection, claimed: Delivery, outcome: Outcome, *, now: datetime, next_attempt_at: datetime | None
) -> bool:
    """Write what came of an attempt; False when it was written before, or the delivery has gone on without us.

    Without `next_attempt_at`, a delivery that was not delivered is dead: kept, counted, replayable.
    """
    # The task first, then its messages, as everybody who needs both: in another order two daemons lock each other out.
    connection.execute(select(task.c.key).where(task.c.key == claimed.task_key).with_for_update())
    status = _status_after(outcome, next_attempt_at)
    pending = status is DeliveryStatus.PENDING
    written = connection.execute(
        update(delivery)
        .where(*_still_out(claimed))
        .values(
            status=str(status),
            failures=delivery.c.failures + int(not outcome.delivered and outcome.spent),
            next_attempt_at=next_attempt_at if pending else None,
            settled_at=None if pending else now,
        )
    )
    is_ours = written.rowcount == 1
    _close_attempt(connection, claimed, outcome, next_attempt_at if is_ours else None)
    if outcome.gone:
        _end_callback(connection, claimed, now)
    if is_ours:
        _note(connection, claimed.task_key, _EVENT_OF[status], _describe(claimed, outcome), now)
    return is_ours


def _still_out(claimed: Delivery) -> tuple[ColumnElement[bool] | TextClause, ...]:
    """That this very attempt of a delivery is under way: not outrun, not superseded, its outcome not written."""
    number = (attempt.c.delivery_key == claimed.key, attempt.c.attempt == claimed.attempt)
    is_open = exists().where(*number, attempt.c.outcome == "sending")
    return (delivery.c.key == claimed.key, delivery.c.attempt == claimed.attempt, _PENDING, is_open)


def _status_after(outcome: Outcome, next_attempt_at: datetime | None) -> DeliveryStatus:
    if outcome.delivered:
        return DeliveryStatus.DELIVERED
    return DeliveryStatus.DEAD if next_attempt_at is None else DeliveryStatus.PENDING


def _close_attempt(
    connection: Connection, claimed: Delivery, outcome: Outcome, next_attempt_at: datetime | None
) -> None:
    """Once: also for an attempt that was outrun, since what the receiver did is known by now."""
    unknown = attempt.c.outcome.in_(("sending", "interrupted"))
    connection.execute(
        update(attempt)
        .where(attempt.c.delivery_key == claimed.key, attempt.c.attempt == claimed.attempt, unknown)
        .values(
            outcome="delivered" if outcome.delivered else "failed",
            status_code=outcome.status_code,
            duration_ms=round(outcome.duration.total_seconds() * 1000),
            phase=outcome.phase and str(outcome.phase),
            error=outcome.error,
            detail=outcome.detail,
            response=outcome.response,
            next_attempt_at=next_attempt_at,
        )
    )


def _end_callback(connection: Connection, claimed: Delivery, now: datetime) -> None:
    """The receiver said 410: nothing more is sent to this callback."""
    gone = update(callback).where(callback.c.key == claimed.callback_key, callback.c.gone_at.is_(None))
    connection.execute(gone.values(gone_at=now))
    rest = update(delivery).where(delivery.c.callback_key == claimed.callback_key, _PENDING)
    dead = rest.values(status=str(DeliveryStatus.DEAD), next_attempt_at=None, settled_at=now)
    for row in connection.execute(dead.returning(delivery.c.id, delivery.c.message_type)).all():
        note = f"{row.message_type} {row.id} to {claimed.endpoint}: its callback is gone"
        _note(connection, claimed.task_key, EventKind.DELIVERY_DEAD, note, now)


def _note(connection: Connection, task_key: int, kind: EventKind, note: str, now: datetime) -> None:
    """The line in the task's history."""
    grown = update(task).where(task.c.key == task_key).values(sequence=task.c.sequence + 1)
    sequence = connection.scalar(grown.returning(task.c.sequence))
    row = {"task_key": task_key, "sequence": sequence, "event": str(kind), "observed_at": now, "note": note}
    connection.execute(insert(event).values(row))


_EVENT_OF = {
    DeliveryStatus.DELIVERED: EventKind.DELIVERED,
    DeliveryStatus.PENDING: EventKind.DELIVERY_FAILED,
    DeliveryStatus.DEAD: EventKind.DELIVERY_DEAD,
}


def _describe(claimed: Delivery, outcome: Outcome) -> str:
    what = f"{claimed.message_type} {claimed.id} to {claimed.endpoint}, attempt {claimed.attempt}"
    said = f"HTTP {outcome.status_code}" if outcome.status_code else (outcome.error or "no answer")
    return f"{what}: {said}"


def oldest_due_seconds(connection: Connection, *, now: datetime) -> float:
    """How long the most overdue delivery has waited; 0 when nothing is due."""
    query = select(delivery.c.next_attempt_at).where(_PENDING).order_by(delivery.c.next_attempt_at).limit(1)
    first = connection.scalar(query)
    return max((now - first).total_seconds(), 0.0) if first else 0.0


def release_claims(connection: Connection, claimed: Sequence[Delivery], *, now: datetime) -> None:
    """Give back deliveries that were claimed but not sent: due again at once, their attempt undone."""
    for given_back in claimed:
        due_now = update(delivery).where(*_still_out(given_back)).values(next_attempt_at=now)
        if connection.execute(due_now).rowcount == 1:
            number = (attempt.c.delivery_key == given_back.key, attempt.c.attempt == given_back.attempt)
            connection.execute(update(attempt).where(*number).values(outcome="interrupted"))
