"""Forgetting, in pieces small enough that nobody notices. Ages count from the end of the task, or of the notice."""

from datetime import datetime

from sqlalchemy import Connection, delete, exists, select, text, update

from tracker.model import DeliveryStatus
from tracker.store.schema import attempt, delivery, notice, snapshot, task

_ENDED = text("task.ended_at IS NOT NULL")
_PENDING = exists().where(delivery.c.task_key == task.c.key, delivery.c.status == str(DeliveryStatus.PENDING))


def forget_tasks(connection: Connection, *, ended_before: datetime, limit: int) -> int:
    """Delete tasks that ended before a moment, with all they have, unless a message is still on its way."""
    old = select(task.c.key).where(_ENDED, task.c.ended_at < ended_before, ~_PENDING).order_by(task.c.ended_at)
    locked = list(connection.scalars(old.limit(limit).with_for_update(skip_locked=True)))
    if not locked:
        return 0
    # A callback may have come late between the reading and the lock: only now nobody can add a message.
    keys = list(connection.scalars(select(task.c.key).where(task.c.key.in_(locked), ~_PENDING)))
    connection.execute(delete(task).where(task.c.key.in_(keys)))
    return len(keys)


def shrink(connection: Connection, *, pages: int) -> int:
    """Give up to so many free pages of a SQLite file back; returns how many. Postgres reuses its space by itself."""
    if connection.dialect.name != "sqlite":
        return 0
    free = min(int(connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()), pages)
    for _ in range(free):
        # The driver takes one step, which frees one page, whatever number the pragma is given.
        connection.exec_driver_sql("PRAGMA incremental_vacuum(1)").close()
    return free


def forget_attempts(connection: Connection, *, ended_before: datetime, limit: int) -> int:
    """Delete the attempts of tasks that ended before a moment."""
    old = (
        select(attempt.c.key)
        .join(delivery, delivery.c.key == attempt.c.delivery_key)
        .join(task, task.c.key == delivery.c.task_key)
        .where(_ENDED, task.c.ended_at < ended_before, delivery.c.status != str(DeliveryStatus.PENDING))
    )
    keys = list(connection.scalars(old.limit(limit)))
    if keys:
        connection.execute(delete(attempt).where(attempt.c.key.in_(keys)))
    return len(keys)


def forget_notices(connection: Connection, *, ended_before: datetime, limit: int) -> int:
    """Delete messages to the operator that were settled before a moment."""
    keys = list(connection.scalars(select(notice.c.key).where(notice.c.settled_at < ended_before).limit(limit)))
    if keys:
        connection.execute(delete(notice).where(notice.c.key.in_(keys)))
    return len(keys)


def forget_bodies(connection: Connection, *, ended_before: datetime, limit: int) -> int:
    """Empty the messages, and delete the upstream's objects, of tasks that ended before a moment."""
    sent = (
        select(delivery.c.key)
        .join(task, task.c.key == delivery.c.task_key)
        .where(_ENDED, task.c.ended_at < ended_before, delivery.c.body.is_not(None))
        .where(delivery.c.status != str(DeliveryStatus.PENDING))
    )
    bodies = list(connection.scalars(sent.limit(limit)))
    if bodies:
        connection.execute(update(delivery).where(delivery.c.key.in_(bodies)).values(body=None))
    kept = select(snapshot.c.task_key).join(task, task.c.key == snapshot.c.task_key)
    objects = list(connection.scalars(kept.where(_ENDED, task.c.ended_at < ended_before).limit(limit)))
    if objects:
        connection.execute(delete(snapshot).where(snapshot.c.task_key.in_(objects)))
    return len(bodies) + len(objects)
