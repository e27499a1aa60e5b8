"""Reading tasks: one, many by filter, their history, how many there are. Owners see what they registered."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, exists, func, or_, select, text, update

from tracker.model import Callback, EventKind, Status, Task
from tracker.store import rollups
from tracker.store.owners import LIVE
from tracker.store.rollup_tables import HOURLY
from tracker.store.rows import CALLBACK_COLUMNS, TASK_COLUMNS, callback_of, load_json, task_of
from tracker.store.schema import callback, delivery, event, registration, snapshot, task


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which tasks to list; None asks for all. `before` is the key to go on below."""

    status: tuple[Status, ...] | None = None
    upstream: str | None = None
    task_id: str | None = None
    q: str | None = None
    """A part of a task id, of the tracker's id, or of the upstream's object (its prompt, say)."""
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None
    limit: int = 50

    def conditions(self) -> list[ColumnElement[bool]]:
        """What the row of a task has to say of itself; where a page goes on, and what is searched for, come besides."""
        conditions: list[ColumnElement[bool]] = []
        if self.status:
            conditions.append(task.c.status.in_([str(status) for status in self.status]))
        if self.upstream is not None:
            conditions.append(task.c.upstream == self.upstream)
        if self.task_id is not None:
            conditions.append(task.c.task_id == self.task_id)
        if self.since is not None:
            conditions.append(task.c.registered_at >= self.since)
        if self.until is not None:
            conditions.append(task.c.registered_at < self.until)
        return conditions


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryLine:
    """One event of a task, as told to people."""

    sequence: int
    event: EventKind
    observed_at: datetime
    from_status: str | None
    to_status: str | None
    upstream_status: str | None
    progress: int | None
    note: str | None


def get(connection: Connection, id_: str, *, owner: str | None) -> Task | None:
    """A task by the tracker's id; with an owner, only if it is that owner's."""
    query = _visible(select(*TASK_COLUMNS).where(task.c.id == id_), owner)
    row = connection.execute(query).one_or_none()
    return task_of(row) if row else None


def find(connection: Connection, task_id: str, *, upstream: str | None, owner: str | None) -> list[Task]:
    """Tasks by the upstream's id, in all upstreams or one."""
    query = _visible(select(*TASK_COLUMNS).where(task.c.task_id == task_id), owner)
    if upstream is not None:
        query = query.where(task.c.upstream == upstream)
    return [task_of(row) for row in connection.execute(query.order_by(task.c.key.desc()).limit(100))]


def page(connection: Connection, wanted: Filter, *, owner: str | None) -> list[Task]:
    """Tasks that match, newest first."""
    # In the order of the index that leads to an owner's tasks, so that nothing has to be sorted.
    key = registration.c.task_key if owner is not None and wanted.task_id is None else task.c.key
    query = _visible(select(*TASK_COLUMNS).where(*_conditions(wanted, key)), owner)
    return [task_of(row) for row in connection.execute(query.order_by(key.desc()).limit(wanted.limit))]


def _conditions(wanted: Filter, key: ColumnElement[int]) -> list[ColumnElement[bool]]:
    conditions = wanted.conditions()
    if wanted.before is not None:
        conditions += [key < wanted.before, task.c.key < wanted.before]
    if wanted.q:
        conditions.append(_mentions(wanted.q))
    return conditions


def _mentions(part: str) -> ColumnElement[bool]:
    told = exists().where(snapshot.c.task_key == task.c.key, snapshot.c.object.icontains(part, autoescape=True))
    named = (column.icontains(part, autoescape=True) for column in (task.c.task_id, task.c.id))
    return or_(*named, told)


def _visible(query: Select[Any], owner: str | None) -> Select[Any]:
    if owner is None:
        return query
    return query.join(registration, registration.c.task_key == task.c.key).where(registration.c.owner == owner)


def callbacks(connection: Connection, keys: Sequence[int], *, owner: str | None) -> dict[int, list[Callback]]:
    """The callbacks of tasks, by task key."""
    query = select(*CALLBACK_COLUMNS).where(callback.c.task_key.in_(keys)).order_by(callback.c.key)
    if owner is not None:
        query = query.where(callback.c.owner == owner)
    found: dict[int, list[Callback]] = {}
    for row in connection.execute(query):
        told = callback_of(row)
        found.setdefault(told.task_key, []).append(told)
    return found


def history(connection: Connection, key: int) -> list[HistoryLine]:
    """Everything that happened to a task, first to last."""
    columns = [event.c[name] for name in HistoryLine.__slots__]
    rows = connection.execute(select(*columns).where(event.c.task_key == key).order_by(event.c.sequence))
    return [
        replace(line, event=EventKind(line.event))
        for line in (HistoryLine(**row._mapping) for row in rows)  # noqa: SLF001 - the documented name
    ]


def last_object(connection: Connection, key: int) -> Any:  # noqa: ANN401 - JSON
    """The upstream's own object as last kept, or None."""
    return load_json(connection.scalar(select(snapshot.c.object).where(snapshot.c.task_key == key)))


def last_objects(connection: Connection, keys: Sequence[int]) -> dict[int, Any]:
    """The upstream's own objects as last kept, by task key."""
    query = select(snapshot.c.task_key, snapshot.c.object).where(snapshot.c.task_key.in_(keys))
    return {row.task_key: load_json(row.object) for row in connection.execute(query)}


def count_by_status(connection: Connection) -> dict[str, int]:
    """How many tasks are in each status; what ended in hours that are added up already is not counted one by one."""
    ended, since = rollups.total(connection, HOURLY.tasks, "tasks")
    live = select(task.c.status, func.count()).where(task.c.status.in_(LIVE)).group_by(task.c.status)
    # Grouped by an expression: else SQLite would walk the index of statuses from one end to the other.
    status = task.c.status.concat("")
    rest = select(status, func.count()).where(text("task.ended_at IS NOT NULL")).group_by(status)
    return _added(connection, ended, live, rest if since is None else rest.where(task.c.ended_at >= since))


def count_deliveries(connection: Connection) -> dict[str, int]:
    """How many deliveries are in each status, counted the same way."""
    settled, since = rollups.total(connection, HOURLY.deliveries, "deliveries")
    status = delivery.c.status.concat("")
    counted = select(status, func.count()).group_by(status)
    pending = counted.where(text("delivery.settled_at IS NULL"))
    rest = counted.where(text("delivery.settled_at IS NOT NULL"))
    return _added(connection, settled, pending, rest if since is None else rest.where(delivery.c.settled_at >= since))


def _added(connection: Connection, sums: Mapping[str, int], *queries: Select[str, int]) -> dict[str, int]:
    counts = Counter(sums)
    for query in queries:
        counts.update({row[0]: row[1] for row in connection.execute(query)})
    return dict(counts)


def ask_refresh(connection: Connection, key: int, *, now: datetime) -> None:
    """Leave a note for whoever watches the task to look at it now."""
    connection.execute(update(task).where(task.c.key == key).values(refresh_at=now))


def orphans(connection: Connection, upstreams: Sequence[str]) -> dict[str, int]:
    """Live tasks of upstreams that are not configured, by name: nobody looks at them."""
    at = task.c.upstream.concat("")
    query = select(at, func.count()).where(text("watcher IS NULL AND ended_at IS NULL"), at.not_in(upstreams))
    return {row[0]: row[1] for row in connection.execute(query.group_by(at))}


def others_registered(connection: Connection, key: int, owner: str) -> bool:
    """Whether somebody else has registered the task too; nobody can come or go until this transaction ends."""
    connection.execute(select(task.c.key).where(task.c.key == key).with_for_update())
    query = select(registration.c.owner).where(registration.c.task_key == key, registration.c.owner != owner)
    return connection.execute(query.limit(1)).one_or_none() is not None


def withdraw(connection: Connection, key: int, owner: str, *, now: datetime) -> None:
    """Take back one owner's registration; a task that others registered goes on for them."""
    mine = (registration.c.task_key == key, registration.c.owner == owner)
    connection.execute(registration.delete().where(*mine))
    told = (callback.c.task_key == key, callback.c.owner == owner, callback.c.gone_at.is_(None))
    connection.execute(update(callback).where(*told).values(gone_at=now))
