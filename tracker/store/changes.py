"""Recording what was seen: task, event and one delivery per interested callback in one transaction."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, case, insert, literal, select, update

from tracker.model import Callback, Change, Event, EventKind, Outgoing, Status, Task
from tracker.observe import message_for
from tracker.store import pacing
from tracker.store.dialect import insert_into
from tracker.store.moments import UtcDateTime
from tracker.store.outbox import Compose, enqueue
from tracker.store.rows import (
    CALLBACK_COLUMNS,
    TASK_COLUMNS,
    callback_of,
    columns_of,
    dump_json,
    load_json,
    task_of,
)
from tracker.store.schema import callback, event, snapshot, task
from tracker.store.watching import is_alive

Decide = Callable[[Task], Change]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What was written for one task."""

    task: Task
    event: Event | None
    deliveries: int = 0


def record(
    connection: Connection, decisions: Mapping[int, Decide], *, watcher: str | None, now: datetime, compose: Compose
) -> dict[int, Recorded]:
    """Let each decision look at its task's row, under lock, and write what it says, by task key.

    With a `watcher`, live tasks that somebody else watches by now are left alone and missing from the
    answer: a daemon that was frozen and replaced writes nothing.
    """
    locked = _locked(connection, decisions)
    if watcher is not None:
        locked = _within_fence(connection, locked, watcher)
    changes = {found.key: decisions[found.key](found) for found, _ in locked}
    _update_tasks(connection, changes.values(), watcher=watcher, now=now)
    _insert_events(connection, changes.values())
    _keep_objects(connection, changes.values(), now)
    _supersede(connection, changes.values(), now)
    outgoing = _outgoing(connection, [change for change in changes.values() if change.event is not None])
    counts = enqueue(connection, outgoing, now=now, compose=compose)
    return {
        key: Recorded(task=change.task, event=change.event, deliveries=counts.get(key, 0))
        for key, change in changes.items()
    }


def _locked(connection: Connection, keys: Iterable[int]) -> list[tuple[Task, str | None]]:
    query = select(*TASK_COLUMNS, task.c.watcher).where(task.c.key.in_(list(keys))).order_by(task.c.key)
    rows = connection.execute(query.with_for_update(of=task)).all()
    return [(task_of(row[:-1]), row[-1]) for row in rows]


def _within_fence(
    connection: Connection, locked: Sequence[tuple[Task, str | None]], watcher: str
) -> list[tuple[Task, str | None]]:
    """Live tasks belong to their watcher; ended ones, which nobody watches, to any daemon that is not replaced."""
    if any(found.status.is_end for found, _ in locked) and not is_alive(connection, watcher):
        return []
    return [(found, by) for found, by in locked if found.status.is_end or by == watcher]


def _update_tasks(connection: Connection, changes: Iterable[Change], *, watcher: str | None, now: datetime) -> None:
    rows = [{"row": change.task.key, **columns_of(change.task)} for change in changes if _is_news(change)]
    for has_ended in (True, False):
        some = [row for row in rows if (row["ended_at"] is not None) is has_ended]
        if some:
            values: dict[str, Any] = {name: bindparam(name) for name in some[0] if name != "row"}
            if watcher is None:
                # Whoever watches it finds the note and lets go of it.
                values["refresh_at"] = case((task.c.watcher.is_not(None), literal(now, UtcDateTime)))
            elif has_ended:
                values["watcher"] = None
            connection.execute(update(task).where(task.c.key == bindparam("row")).values(values), some)


def _is_news(change: Change) -> bool:
    return change.event is not None or change.object is not None


def _insert_events(connection: Connection, changes: Iterable[Change]) -> None:
    rows = [_event_row(change.task.key, change.event) for change in changes if change.event is not None]
    if rows:
        connection.execute(insert(event), rows)


def _event_row(task_key: int, told: Event) -> dict[str, Any]:
    return {
        "task_key": task_key,
        "sequence": told.sequence,
        "event": str(told.kind),
        "observed_at": told.observed_at,
        "from_status": told.from_status and str(told.from_status),
        "to_status": told.to_status and str(told.to_status),
        "upstream_status": told.upstream_status,
        "progress": told.progress,
        "note": told.note,
    }


def _keep_objects(connection: Connection, changes: Iterable[Change], now: datetime) -> None:
    rows = [
        {"task_key": change.task.key, "seen_at": now, "object": dump_json(change.object)}
        for change in changes
        if change.object
    ]
    if not rows:
        return
    statement = insert_into(connection, snapshot)
    fresh = {"seen_at": statement.excluded.seen_at, "object": statement.excluded.object}
    connection.execute(statement.on_conflict_do_update(index_elements=["task_key"], set_=fresh), rows)


def _supersede(connection: Connection, changes: Iterable[Change], now: datetime) -> None:
    """What these changes leave nothing to say about; what newer messages replace is seen to where they are written."""
    turns = [
        (change.task, change.event) for change in changes if change.event and change.event.kind is EventKind.STATUS
    ]
    if ended := [task.key for task, _ in turns if task.status.is_end]:
        pacing.supersede_all(connection, ended, now=now)
    if answered := [
        task.key for task, told in turns if told.from_status is Status.NEEDS_INPUT and not task.status.is_end
    ]:
        pacing.supersede_questions(connection, answered, now=now)


def _outgoing(connection: Connection, changes: Sequence[Change]) -> list[Outgoing]:
    told = [(change, kind) for change in changes if change.event and (kind := message_for(change.event))]
    if not told:
        return []
    query = select(*CALLBACK_COLUMNS).where(
        callback.c.task_key.in_([change.task.key for change, _ in told]), callback.c.gone_at.is_(None)
    )
    by_task: dict[int, list[Callback]] = {}
    for found in map(callback_of, connection.execute(query)):
        by_task.setdefault(found.task_key, []).append(found)
    missing = [change.task.key for change, _ in told if change.object is None and change.task.key in by_task]
    objects = _last_objects(connection, missing)
    return [
        Outgoing(
            message_type=kind,
            task=change.task,
            callback=found,
            sequence=change.event.sequence,
            at=change.event.observed_at,
            object=change.object or objects.get(change.task.key, {}),
        )
        for change, kind in told
        if change.event is not None
        for found in by_task.get(change.task.key, ())
    ]


def _last_objects(connection: Connection, keys: Sequence[int]) -> dict[int, Mapping[str, object]]:
    """What the upstream said last, for ends it did not tell itself (lost, expired)."""
    if not keys:
        return {}
    query = select(snapshot.c.task_key, snapshot.c.object).where(snapshot.c.task_key.in_(keys))
    return {row.task_key: load_json(row.object) for row in connection.execute(query)}
