"""Claiming deliveries, each for one attempt."""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Connection, bindparam, case, exists, insert, select, text, update

from tracker.model import Delivery, MessageType
from tracker.store import pacing
from tracker.store.given import given, rows
from tracker.store.moments import UtcDateTime
from tracker.store.schema import attempt, callback, delivery, endpoint, task

PENDING = text("delivery.status = 'pending'")
"""A literal, so that no plan is made for statuses in general."""
WAITS = text("delivery.settled_at IS NULL")
"""The same, for what is found by its endpoint or its time: the partial indexes of those go by these words."""
IS_OUT = exists().where(
    attempt.c.delivery_key == delivery.c.key, attempt.c.attempt == delivery.c.attempt, attempt.c.outcome == "sending"
)
"""That the last attempt is under way, or was when somebody crashed: its claim runs out by itself."""
_MOMENT = UtcDateTime()


def claim(connection: Connection, keys: Collection[int], *, now: datetime, until: datetime) -> list[Delivery]:
    """Make these deliveries ours by moving their due time beyond the attempt's deadline.

    Those that somebody else was faster with are missing from the answer, and those whose callback is being told
    another message by now. Each claim starts an attempt; one that a crash left open is closed as `interrupted`: its
    message may have arrived.
    """
    dialect = connection.dialect.name
    wanted = rows(connection, [{"key": key} for key in keys])
    taken = connection.execute(_taking(dialect), {"given": wanted, "until": until, **pacing.moments(now)}).all()
    if not taken:
        return []
    ours = {"given": rows(connection, [{"key": row.key} for row in taken]), "now": now}
    if any(row.attempt > 1 for row in taken):
        connection.execute(_leaving(dialect), ours)
    connection.execute(_beginning(dialect), ours)
    return [_delivery_of(row) for row in connection.execute(_claimed(dialect), ours)]


@cache
def _taking(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    wanted = given(dialect, "given", key=BigInteger())
    free = select(delivery.c.key).where(
        delivery.c.key.in_(select(wanted.c.key)), PENDING, delivery.c.next_attempt_at <= bindparam("now", type_=_MOMENT)
    )
    ours = free.order_by(delivery.c.key).with_for_update(skip_locked=True, of=delivery)
    # Out here, so that it is asked of these alone.
    taken = update(delivery).where(delivery.c.key.in_(ours), pacing.IN_TURN)
    until = bindparam("until", type_=_MOMENT)
    return taken.values(attempt=delivery.c.attempt + 1, next_attempt_at=until).returning(
        delivery.c.key, delivery.c.attempt
    )


@cache
def _leaving(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    ours = given(dialect, "given", key=BigInteger())
    left_open = update(attempt).where(attempt.c.delivery_key.in_(select(ours.c.key)), attempt.c.outcome == "sending")
    return left_open.values(outcome="interrupted")


@cache
def _beginning(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    ours = given(dialect, "given", key=BigInteger())
    begun = select(delivery.c.key, delivery.c.attempt, bindparam("now", type_=_MOMENT))
    begun = begun.where(delivery.c.key.in_(select(ours.c.key)))
    return insert(attempt).from_select(["delivery_key", "attempt", "attempted_at"], begun)


@cache
def _claimed(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    ours = given(dialect, "given", key=BigInteger())
    return _CLAIMED.where(delivery.c.key.in_(select(ours.c.key))).order_by(delivery.c.key)


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


_FIELDS = [*_CLAIMED.selected_columns.keys()[:-1], "endpoint"]


def _delivery_of(row: Any) -> Delivery:  # noqa: ANN401 - a row of _CLAIMED
    fields = dict(zip(_FIELDS, row, strict=True))
    fields["message_type"] = MessageType(fields["message_type"])
    return Delivery(**fields)


def oldest_due_seconds(connection: Connection, *, now: datetime) -> float:
    """How long the most overdue delivery has waited; 0 when nothing is due."""
    query = select(delivery.c.next_attempt_at).where(WAITS).order_by(delivery.c.next_attempt_at).limit(1)
    first = connection.scalar(query)
    return max((now - first).total_seconds(), 0.0) if first else 0.0


def release_claims(connection: Connection, claimed: Sequence[Delivery], *, now: datetime) -> None:
    """Give back deliveries that were claimed but not sent: due again at once, their attempt undone."""
    for given_back in claimed:
        is_this = (delivery.c.key == given_back.key, delivery.c.attempt == given_back.attempt)
        due_now = update(delivery).where(*is_this, PENDING, IS_OUT).values(next_attempt_at=now)
        if connection.execute(due_now).rowcount == 1:
            number = (attempt.c.delivery_key == given_back.key, attempt.c.attempt == given_back.attempt)
            connection.execute(update(attempt).where(*number).values(outcome="interrupted"))
