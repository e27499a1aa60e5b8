"""Forgetting, in pieces small enough that nobody notices. Ages count from the end of the task, or of the notice.

Readers walk the tasks in the order of their ends and find what is to go; only what they find is written. So a writer is
never held up by looking, and whoever remembers how far it came need not walk there again.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from sqlalchemy import Connection, delete, exists, literal, select, text, tuple_, update

from tracker.model import DeliveryStatus
from tracker.store.moments import UtcDateTime
from tracker.store.schema import attempt, delivery, notice, snapshot, task

# A literal, so that the partial index serves.
_ENDED = text("task.ended_at IS NOT NULL")
_SETTLED = delivery.c.status != str(DeliveryStatus.PENDING)
_PENDING = exists().where(delivery.c.task_key == task.c.key, ~_SETTLED)


class Place(NamedTuple):
    """A place in the walk through ended tasks: that of one of them, or the one before all."""

    ended_at: datetime
    key: int


START = Place(datetime.min.replace(year=1000, tzinfo=UTC), 0)


def ended(connection: Connection, *, after: Place, before: datetime, limit: int) -> list[Place]:
    """The next tasks that ended before a moment, in the order in which they did."""
    place = tuple_(literal(after.ended_at, UtcDateTime), literal(after.key))
    query = select(task.c.ended_at, task.c.key).where(_ENDED, tuple_(task.c.ended_at, task.c.key) > place)
    query = query.where(task.c.ended_at < before).order_by(task.c.ended_at, task.c.key)
    return [Place(*row) for row in connection.execute(query.limit(limit))]


class Forget(Protocol):
    """Deletes rows by their keys, of tasks that ended before a moment: somebody may have revived one meanwhile."""

    def __call__(self, connection: Connection, keys: Collection[int], *, ended_before: datetime) -> int:
        """Return how many rows that were."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One kind of thing that is forgotten: how it is found, by the keys of tasks, and how it is deleted."""

    name: str
    find: Callable[[Connection, Collection[int]], Sequence[int]]
    """Returns the keys of rows that can go."""
    forget: Forget
    """Deletes those that still can; returns how many rows that were."""


def _find_tasks(connection: Connection, task_keys: Collection[int]) -> Sequence[int]:
    """All but those of which a message is on its way."""
    return connection.scalars(select(task.c.key).where(task.c.key.in_(task_keys), ~_PENDING)).all()


def forget_tasks(connection: Connection, keys: Collection[int], *, ended_before: datetime) -> int:
    """Delete tasks with all they have, unless a message is on its way."""
    old = select(task.c.key).where(task.c.key.in_(keys), _ENDED, task.c.ended_at < ended_before)
    locked = list(connection.scalars(old.order_by(task.c.key).with_for_update(skip_locked=True)))
    if not locked:
        return 0
    # A callback may have come late between the reading and the lock: only now nobody can add a message.
    return connection.execute(delete(task).where(task.c.key.in_(locked), ~_PENDING)).rowcount


def _find_attempts(connection: Connection, task_keys: Collection[int]) -> Sequence[int]:
    query = select(attempt.c.key).join(delivery, delivery.c.key == attempt.c.delivery_key)
    return connection.scalars(query.where(delivery.c.task_key.in_(task_keys), _SETTLED)).all()


def _forget_attempts(connection: Connection, keys: Collection[int], *, ended_before: datetime) -> int:  # noqa: ARG001
    # Whatever has become of their tasks: these attempts are over.
    return connection.execute(delete(attempt).where(attempt.c.key.in_(keys))).rowcount


def _find_bodies(connection: Connection, task_keys: Collection[int]) -> Sequence[int]:
    full = (delivery.c.body.is_not(None), _SETTLED)
    return connection.scalars(select(delivery.c.key).where(delivery.c.task_key.in_(task_keys), *full)).all()


def _forget_bodies(connection: Connection, keys: Collection[int], *, ended_before: datetime) -> int:  # noqa: ARG001
    return connection.execute(update(delivery).where(delivery.c.key.in_(keys), _SETTLED).values(body=None)).rowcount


def _find_objects(connection: Connection, task_keys: Collection[int]) -> Sequence[int]:
    return connection.scalars(select(snapshot.c.task_key).where(snapshot.c.task_key.in_(task_keys))).all()


def _forget_objects(connection: Connection, keys: Collection[int], *, ended_before: datetime) -> int:
    old = select(task.c.key).where(task.c.key.in_(keys), _ENDED, task.c.ended_at < ended_before)
    locked = connection.scalars(old.order_by(task.c.key).with_for_update(skip_locked=True)).all()
    return connection.execute(delete(snapshot).where(snapshot.c.task_key.in_(locked))).rowcount if locked else 0


TASKS = Sweep(name="tasks", find=_find_tasks, forget=forget_tasks)
ATTEMPTS = Sweep(name="attempts", find=_find_attempts, forget=_forget_attempts)
BODIES = Sweep(name="bodies", find=_find_bodies, forget=_forget_bodies)
"""Messages: they lose their bodies."""
OBJECTS = Sweep(name="objects", find=_find_objects, forget=_forget_objects)
"""What the upstreams said last."""


def shrink(connection: Connection, *, limit: int) -> int:
    """Give up to so many free pages of a SQLite file back; returns how many. Postgres reuses its space by itself."""
    if connection.dialect.name != "sqlite":
        return 0
    free = min(int(connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()), limit)
    for _ in range(free):
        # The driver takes one step, which frees one page, whatever number the pragma is given.
        connection.exec_driver_sql("PRAGMA incremental_vacuum(1)").close()
    return free


def forget_notices(connection: Connection, *, ended_before: datetime, limit: int) -> int:
    """Delete messages to the operator that were settled before a moment."""
    keys = list(connection.scalars(select(notice.c.key).where(notice.c.settled_at < ended_before).limit(limit)))
    if keys:
        connection.execute(delete(notice).where(notice.c.key.in_(keys)))
    return len(keys)
