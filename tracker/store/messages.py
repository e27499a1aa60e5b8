"""Reading deliveries and their attempts, for people who ask where their message is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select, tuple_

from tracker.model import DeliveryStatus
from tracker.store import pacing
from tracker.store.deliveries import AGAIN_AT, BEGUN
from tracker.store.schema import attempt, callback, delivery, endpoint, task


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLine:
    """One HTTP try, as told to people."""

    attempt: int
    attempted_at: datetime
    outcome: str
    status_code: int | None
    duration_ms: int | None
    phase: str | None
    error: str | None
    detail: str | None
    response: str | None
    next_attempt_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLine:
    """One message, as told to people; `key` is its place in pages."""

    key: int
    id: str
    task: str
    """The tracker's id of the task."""
    task_id: str
    upstream: str
    message_type: str
    sequence: int
    owner: str
    """The callback's."""
    url: str
    endpoint: str
    status: str
    attempt: int
    next_attempt_at: datetime | None
    created_at: datetime
    settled_at: datetime | None
    failures: int
    callback_gone_at: datetime | None
    endpoint_id: str
    endpoint_state: str
    endpoint_reason: str | None
    failing_since: datetime | None
    """The endpoint's, as are the fields around it."""
    paused_until: datetime | None
    waits_for: str | None = None
    """The message about the same task that has to go first, of one that is pending."""
    superseded_by: str | None = None
    """The type of the newest message that was there when it was superseded; None where the callback wanted none."""
    body: str | None = None
    """Only where one delivery was asked for: a page of them would be megabytes."""


LINE = select(
    delivery.c.key,
    delivery.c.id,
    task.c.id.label("task"),
    task.c.task_id,
    task.c.upstream,
    delivery.c.message_type,
    delivery.c.sequence,
    callback.c.owner,
    callback.c.url,
    endpoint.c.origin.label("endpoint"),
    delivery.c.status,
    BEGUN,
    AGAIN_AT,
    delivery.c.created_at,
    delivery.c.settled_at,
    delivery.c.failures,
    callback.c.gone_at.label("callback_gone_at"),
    endpoint.c.id.label("endpoint_id"),
    endpoint.c.state.label("endpoint_state"),
    endpoint.c.reason.label("endpoint_reason"),
    endpoint.c.failing_since,
    endpoint.c.paused_until,
    pacing.WAITS_FOR.label("waits_for"),
    pacing.SUPERSEDED_BY.label("superseded_by"),
).select_from(
    delivery.join(task, task.c.key == delivery.c.task_key)
    .join(callback, callback.c.key == delivery.c.callback_key)
    .join(endpoint, endpoint.c.key == delivery.c.endpoint_key)
)
"""What a list tells of each delivery."""


def get(connection: Connection, id_: str, *, owner: str | None) -> DeliveryLine | None:
    """A delivery by its `msg_…`; with an owner, only if it is for that owner's callback."""
    query = _visible(LINE.add_columns(delivery.c.body).where(delivery.c.id == id_), owner)
    row = connection.execute(query).one_or_none()
    return line_of(row) if row else None


def page(
    connection: Connection,
    *,
    owner: str | None,
    status: DeliveryStatus | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[DeliveryLine]:
    """Deliveries, newest first."""
    query = _visible(LINE, owner)
    if status is not None:
        query = query.where(delivery.c.status == str(status))
    if before is not None:
        query = query.where(delivery.c.key < before)
    return [line_of(row) for row in connection.execute(query.order_by(delivery.c.key.desc()).limit(limit))]


def of_task(connection: Connection, task_key: int, *, owner: str | None) -> list[DeliveryLine]:
    """The deliveries of a task, first to last."""
    query = _visible(LINE.where(delivery.c.task_key == task_key), owner)
    return [line_of(row) for row in connection.execute(query.order_by(delivery.c.key))]


_ATTEMPT = select(attempt.c.delivery_key, *(attempt.c[name] for name in AttemptLine.__slots__))


def attempts(connection: Connection, keys: Sequence[int]) -> dict[int, list[AttemptLine]]:
    """The attempts of deliveries, by delivery key, first to last."""
    query = _ATTEMPT.where(attempt.c.delivery_key.in_(keys)).order_by(attempt.c.delivery_key, attempt.c.attempt)
    found: dict[int, list[AttemptLine]] = {}
    for row in connection.execute(query):
        found.setdefault(row.delivery_key, []).append(_attempt_line(row))
    return found


def last_attempts(connection: Connection, keys: Sequence[int]) -> dict[int, AttemptLine]:
    """The newest attempt of each delivery that has any, by delivery key."""
    mine = select(attempt.c.delivery_key, func.max(attempt.c.attempt)).where(attempt.c.delivery_key.in_(keys))
    query = _ATTEMPT.where(tuple_(attempt.c.delivery_key, attempt.c.attempt).in_(mine.group_by(attempt.c.delivery_key)))
    return {row.delivery_key: _attempt_line(row) for row in connection.execute(query)}


def _attempt_line(row: Any) -> AttemptLine:  # noqa: ANN401 - a row of _ATTEMPT
    return AttemptLine(**{name: getattr(row, name) for name in AttemptLine.__slots__})


def _visible(query: Select[Any], owner: str | None) -> Select[Any]:
    return query if owner is None else query.where(callback.c.owner == owner)


def line_of(row: Any) -> DeliveryLine:  # noqa: ANN401 - a row of LINE
    """A delivery from a row of `LINE`."""
    return DeliveryLine(**row._mapping)  # noqa: SLF001 - the documented name of a row's mapping
