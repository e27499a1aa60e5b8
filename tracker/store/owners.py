"""How much an owner has: its live tasks, and which registrations would add to them."""

from collections.abc import Collection

from sqlalchemy import Connection, Text, and_, exists, func, literal, or_, select, tuple_

from tracker.model import Status
from tracker.store.given import given, rows
from tracker.store.schema import registration, task

LIVE = tuple(str(status) for status in Status if not status.is_end)
"""The statuses of tasks without an end."""


def count_live(connection: Connection, owner: str, *, most: int) -> int:
    """How many live tasks an owner has registered; counting stops at `most`.

    Looks at the owner's registrations since the oldest live task of anybody: one row of each, by their keys.
    """
    oldest = oldest_live(connection)
    if oldest is None:
        return 0
    # Not a join: from how common live tasks are in all, PostgreSQL would conclude that it soon has enough of them.
    is_live = select(task.c.ended_at.is_(None)).where(task.c.key == registration.c.task_key).scalar_subquery()
    mine = (registration.c.owner == owner, registration.c.task_key >= oldest)
    found = select(literal(1)).select_from(registration).where(*mine, is_live).limit(most).subquery()
    return connection.scalar(select(func.count()).select_from(found)) or 0


def live_by_upstream(connection: Connection, owner: str) -> dict[str, int]:
    """How many live tasks an owner has registered at each upstream, counted the same way."""
    oldest = oldest_live(connection)
    if oldest is None:
        return {}
    mine = (registration.c.owner == owner, registration.c.task_key >= oldest, task.c.key >= oldest)
    query = select(task.c.upstream, func.count()).join(registration, registration.c.task_key == task.c.key)
    return {
        row[0]: row[1]
        for row in connection.execute(query.where(*mine, task.c.ended_at.is_(None)).group_by(task.c.upstream))
    }


def oldest_live(connection: Connection) -> int | None:
    """The key of the first task without an end; asked by status, each of which the index has in order."""
    firsts = []
    for status in LIVE:
        place = tuple_(task.c.status, task.c.key) > tuple_(literal(status), literal(0))
        row = connection.execute(_BY_STATUS.where(place).limit(1)).one_or_none()
        if row is not None and row.status == status:
            firsts.append(row.key)
    return min(firsts, default=None)


_BY_STATUS = select(task.c.status, task.c.key).order_by(task.c.status, task.c.key)


def adding_nothing(connection: Connection, owner: str, names: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of these (upstream, task id) whose registration adds no live task: the owner has it, or it has ended."""
    mine = exists().where(registration.c.owner == owner, registration.c.task_key == task.c.key)
    # A dropped one that is registered again is watched again.
    has_ended = and_(task.c.ended_at.is_not(None), task.c.status != Status.DROPPED)
    wanted = given(connection.dialect.name, "given", upstream=Text(), task_id=Text())
    same = and_(task.c.upstream == wanted.c.upstream, task.c.task_id == wanted.c.task_id)
    known = select(task.c.upstream, task.c.task_id).join_from(wanted, task, same)
    asked = rows(connection, [{"upstream": upstream, "task_id": task_id} for upstream, task_id in sorted(names)])
    found = connection.execute(known.where(or_(has_ended, and_(task.c.ended_at.is_(None), mine))), {"given": asked})
    return {(row.upstream, row.task_id) for row in found}
