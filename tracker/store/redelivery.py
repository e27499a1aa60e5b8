"""Sending again what was delivered or given up, and now what waits: the same id and body, attempts numbered on."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from tracker.errors import ConflictError, NotFoundError
from tracker.model import DeliveryStatus, MessageType
from tracker.store import pacing
from tracker.store.deliveries import IS_FREE
from tracker.store.endpoints import first_due
from tracker.store.schema import callback, delivery, endpoint

STEP = 500
"""Messages in one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """Which messages to send again; all that is given must match."""

    endpoint_key: int | None = None
    status: DeliveryStatus = DeliveryStatus.DEAD
    message_type: MessageType | None = None
    task_key: int | None = None
    since: datetime | None = None
    """Made at or after."""
    until: datetime | None = None
    """Made before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How many one step made due, and the key after which the next goes on; None at the end."""

    redelivered: int
    after: int | None


_ASKED = [delivery.c[name] for name in ("key", "status", "body", "endpoint_key", "attempt")]


def redeliver(connection: Connection, id_: str, *, owner: str | None, now: datetime) -> None:
    """Make one message due again, or held where its endpoint rests; one that waits is due now, and its attempts count.

    Raises NotFoundError; ConflictError for one that is under way, that its endpoint holds, or that has no body.
    """
    query = select(*_ASKED).join(callback, callback.c.key == delivery.c.callback_key).where(delivery.c.id == id_)
    if owner is not None:
        query = query.where(callback.c.owner == owner)
    row = connection.execute(query.with_for_update(of=delivery)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no delivery {id_!r}")
    if row.status == DeliveryStatus.SUPERSEDED:
        raise ConflictError(f"{id_} is superseded: a later message says more, and goes in its place")
    if row.body is None:
        raise ConflictError(f"the body of {id_} was tidied away (retention.bodies): nothing is left to send")
    if row.status == DeliveryStatus.PENDING:
        _hasten(connection, id_, row, now)
        return
    _make_due(connection, {row.key: row.endpoint_key}, now)


def _hasten(connection: Connection, id_: str, row: Any, now: datetime) -> None:  # noqa: ANN401 - the row of `redeliver`
    # In a statement of its own: only a new one sees the attempt of a claim that was faster than the lock.
    if not connection.scalar(select(IS_FREE).where(delivery.c.key == row.key), {"now": now}):
        raise ConflictError(f"attempt {row.attempt + 1} of it is under way: {id_} goes on by itself")
    if first_due(connection, [row.endpoint_key], now=now)[row.endpoint_key] > now:
        resting = connection.execute(select(endpoint.c.id, endpoint.c.state).where(endpoint.c.key == row.endpoint_key))
        where = resting.one()
        raise ConflictError(
            f"{id_} is held, because its endpoint is {where.state}: `tracker endpoints enable {where.id}` "
            "sends what waits for it"
        )
    connection.execute(update(delivery).where(delivery.c.key == row.key).values(next_attempt_at=now))


def redeliver_matching(
    connection: Connection, matching: Matching, *, owner: str | None, now: datetime, after: int = 0
) -> Step:
    """Make the next messages that match due again.

    Left out are those without a body, those whose callback is gone, and progress that a later message has overtaken.
    """
    query = (
        select(delivery.c.key, delivery.c.endpoint_key)
        .join(callback, callback.c.key == delivery.c.callback_key)
        .where(delivery.c.status == str(matching.status), delivery.c.key > after)
        .where(delivery.c.body.is_not(None), callback.c.gone_at.is_(None), pacing.IS_NEWEST)
    )
    if matching.endpoint_key is not None:
        query = query.where(delivery.c.endpoint_key == matching.endpoint_key)
    if matching.message_type is not None:
        query = query.where(delivery.c.message_type == str(matching.message_type))
    if matching.task_key is not None:
        query = query.where(delivery.c.task_key == matching.task_key)
    if matching.since is not None:
        query = query.where(delivery.c.created_at >= matching.since)
    if matching.until is not None:
        query = query.where(delivery.c.created_at < matching.until)
    if owner is not None:
        query = query.where(callback.c.owner == owner)
    ours = query.order_by(delivery.c.key).limit(STEP).with_for_update(of=delivery, skip_locked=True)
    found = {row.key: row.endpoint_key for row in connection.execute(ours)}
    _make_due(connection, found, now)
    return Step(redelivered=len(found), after=max(found) if len(found) == STEP else None)


def _make_due(connection: Connection, found: dict[int, int], now: datetime) -> None:
    """From the first place in the schedule on, whatever was spent before."""
    due = first_due(connection, sorted(set(found.values())), now=now)
    for moment in set(due.values()):
        keys = [key for key, endpoint_key in found.items() if due[endpoint_key] == moment]
        again = {"status": str(DeliveryStatus.PENDING), "failures": 0, "next_attempt_at": moment, "settled_at": None}
        connection.execute(update(delivery).where(delivery.c.key.in_(keys)).values(again))
