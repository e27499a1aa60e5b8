"""What the operator is to be told about endpoints: written with what happens, claimed and settled as deliveries are."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, exists, func, insert, select, text, update

from tracker import notices
from tracker.model import EndpointHealth, EndpointState, Notice, NoticeStatus, NoticeType, Outcome
from tracker.store.rows import new_id
from tracker.store.schema import daemon, delivery, endpoint, notice

STALE_AFTER = timedelta(days=7)
"""What could not be told for so long is news no more."""

_PENDING = text("notice.status = 'pending'")
_WAITS = text("delivery.status = 'pending'")


def note_turn(
    connection: Connection, endpoint_key: int, before: EndpointHealth, after: EndpointHealth, *, now: datetime
) -> None:
    """Tell the operator what an endpoint has turned to, where any daemon tells the operator anything."""
    if not _is_wanted(connection):
        return
    if after.state is EndpointState.DISABLED:
        told = update(endpoint).where(endpoint.c.key == endpoint_key)
        connection.execute(told.values(operator_told_at=now))
    what_it_was = before if after.state is EndpointState.ACTIVE else after
    _write(connection, endpoint_key, after.state, what_it_was, now)


def remind(connection: Connection, *, now: datetime, limit: int) -> int:
    """Say once more which endpoints are disabled while messages wait for them; returns how many it said."""
    if not _is_wanted(connection):
        return 0
    waited_for = exists().where(delivery.c.endpoint_key == endpoint.c.key, _WAITS)
    query = select(endpoint).where(endpoint.c.state == str(EndpointState.DISABLED), waited_for).order_by(endpoint.c.key)
    due = [row for row in connection.execute(query) if notices.is_due_again(row.operator_told_at, now)][:limit]
    said = 0
    for row in due:
        # Several daemons see the same: the first one says it.
        ours = update(endpoint).where(
            endpoint.c.key == row.key,
            endpoint.c.state == row.state,
            endpoint.c.operator_told_at.is_not_distinct_from(row.operator_told_at),
        )
        if connection.execute(ours.values(operator_told_at=now)).rowcount == 1:
            health = EndpointHealth(failures=row.failures, failing_since=row.failing_since, reason=row.reason)
            _write(connection, row.key, EndpointState.DISABLED, health, now)
            said += 1
    return said


def _is_wanted(connection: Connection) -> bool:
    return bool(connection.scalar(select(exists().where(daemon.c.tells_operator))))


def _write(
    connection: Connection, endpoint_key: int, state: EndpointState, health: EndpointHealth, now: datetime
) -> None:
    place = connection.execute(select(endpoint.c.id, endpoint.c.origin).where(endpoint.c.key == endpoint_key)).one()
    waits = select(delivery.c.key).where(delivery.c.endpoint_key == endpoint_key, _WAITS)
    counted = select(func.count()).select_from(waits.limit(notices.MOST_COUNTED + 1).subquery())
    body = notices.compose(
        state,
        health,
        endpoint_id=place.id,
        origin=place.origin,
        waiting=connection.scalar(counted) or 0,
        now=now,
    )
    row = {"id": new_id("msg", now), "message_type": str(notices.type_of(state)), "body": body}
    connection.execute(insert(notice).values(**row, next_attempt_at=now, created_at=now))


# Built once: it is asked all the time, also when there is nothing to do.
_IS_DUE = select(exists().where(_PENDING, notice.c.next_attempt_at <= bindparam("now")))


def is_due(connection: Connection, *, now: datetime) -> bool:
    """Whether there is anything to tell."""
    return bool(connection.scalar(_IS_DUE, {"now": now}))


def claim(connection: Connection, *, now: datetime, until: datetime) -> Notice | None:
    """Make the one that is due longest ours for one attempt, by moving its due time beyond the attempt's deadline."""
    due = select(notice.c.key).where(_PENDING, notice.c.next_attempt_at <= now)
    first = due.order_by(notice.c.next_attempt_at, notice.c.key).limit(1)
    key = connection.scalar(first.with_for_update(skip_locked=True))
    if key is None:
        return None
    columns = [notice.c[name] for name in Notice.__slots__]
    taken = update(notice).where(notice.c.key == key).values(attempt=notice.c.attempt + 1, next_attempt_at=until)
    fields = dict(connection.execute(taken.returning(*columns)).mappings().one())
    return Notice(**{**fields, "message_type": NoticeType(fields["message_type"])})


def settle(
    connection: Connection, claimed: Notice, outcome: Outcome, *, now: datetime, next_attempt_at: datetime | None
) -> bool:
    """Write what came of an attempt; False when the notice has gone on without us.

    Without `next_attempt_at`, one that was not delivered is dead. Written twice, it is the same as once.
    """
    status = _status_after(outcome, next_attempt_at)
    is_pending = status is NoticeStatus.PENDING
    mine = update(notice).where(notice.c.key == claimed.key, notice.c.attempt == claimed.attempt, _PENDING)
    written = mine.values(
        status=str(status),
        failures=claimed.failures + int(not outcome.delivered and outcome.spent),
        next_attempt_at=next_attempt_at if is_pending else None,
        settled_at=None if is_pending else now,
        last_error=notice.c.last_error if outcome.delivered else outcome.said,
    )
    return connection.execute(written).rowcount == 1


def _status_after(outcome: Outcome, next_attempt_at: datetime | None) -> NoticeStatus:
    if outcome.delivered:
        return NoticeStatus.DELIVERED
    return NoticeStatus.DEAD if next_attempt_at is None else NoticeStatus.PENDING


def give_up(connection: Connection, *, now: datetime, limit: int) -> int:
    """End what is too old to be told, because nobody tells the operator any more; returns how many it ended."""
    stale = select(notice.c.key).where(_PENDING, notice.c.created_at < now - STALE_AFTER)
    keys = list(connection.scalars(stale.order_by(notice.c.key).limit(limit)))
    if not keys:
        return 0
    dead = update(notice).where(notice.c.key.in_(keys), _PENDING)
    values = {"status": str(NoticeStatus.DEAD), "next_attempt_at": None, "settled_at": now}
    return connection.execute(dead.values(values)).rowcount
