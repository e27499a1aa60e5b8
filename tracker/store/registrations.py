"""Registering tasks and callbacks, a thousand at a time or one: the same registration twice is the same one."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, insert, select, tuple_, update

from tracker.errors import InputError
from tracker.model import Callback, EventKind, MessageType, Outgoing, Status, Task
from tracker.model.notes import REGISTERED_AGAIN_BY, signed_note
from tracker.observe import revive
from tracker.store import changes
from tracker.store.dialect import insert_into
from tracker.store.outbox import Compose, enqueue
from tracker.store.rows import CALLBACK_COLUMNS, TASK_COLUMNS, callback_of, dump_json, load_json, new_id, task_of
from tracker.store.schema import callback, event, registration, snapshot, task

DEFAULT_EVENTS = ("ended",)
MOST_CALLBACKS = 50
"""Of one owner for one task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One registration, checked; fields that were not given are None and change nothing on a repeat."""

    upstream: str
    task_id: str
    url: str | None = None
    events: tuple[str, ...] | None = None
    format: str | None = None
    metadata: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What became of one registration."""

    task: Task
    created: bool
    """False when the owner (an admin: anybody) had registered the task before."""
    adds_live: bool
    """Whether the owner has one live task more by it."""


def register(
    connection: Connection,
    wanted: Sequence[Wanted],
    *,
    owner: str,
    sees_all: bool,
    default_format: str,
    now: datetime,
    compose: Compose,
) -> list[Registered]:
    """Write tasks, registrations and callbacks; a callback for a task that has ended gets its message at once."""
    fresh = _insert_tasks(connection, wanted, now)
    tasks = _lock_tasks(connection, wanted)
    if any(_name(want) not in tasks for want in wanted):
        # An old task was being forgotten: it was there for the insert, and is not for the lock.
        fresh |= _insert_tasks(connection, wanted, now)
        tasks = _lock_tasks(connection, wanted)
    dropped = {found.key for found in tasks.values() if found.status is Status.DROPPED}
    tasks = _revive(connection, tasks, owner, now=now, compose=compose)
    known = _known(connection, tasks.values(), owner)
    _insert_registrations(connection, tasks.values(), owner, now)
    callbacks = _write_callbacks(connection, wanted, tasks, known, owner=owner, default_format=default_format, now=now)
    _tell_late(connection, callbacks, tasks.values(), now=now, compose=compose)
    answers = []
    for want in wanted:
        found = tasks[want.upstream, want.task_id]
        is_new = found.id in fresh if sees_all else found.key not in known
        adds_live = not found.status.is_end and (found.key not in known or found.key in dropped)
        answers.append(Registered(task=found, created=is_new, adds_live=adds_live))
        fresh.discard(found.id)
        dropped.discard(found.key)
        known.add(found.key)
    return answers


def _insert_tasks(connection: Connection, wanted: Sequence[Wanted], now: datetime) -> set[str]:
    """Insert those that are new, with their first event; returns the ids of the new ones."""
    names = dict.fromkeys((want.upstream, want.task_id) for want in sorted(wanted, key=_name))
    rows = [
        {"id": new_id("tsk", now), "upstream": name, "task_id": task_id, "registered_at": now, "sequence": 1}
        for name, task_id in names
    ]
    statement = insert_into(connection, task).on_conflict_do_nothing(index_elements=["upstream", "task_id"])
    inserted = connection.execute(statement.values(rows).returning(task.c.key, task.c.id)).all()
    if inserted:
        first = {"sequence": 1, "event": str(EventKind.REGISTERED), "observed_at": now, "to_status": str(Status.QUEUED)}
        connection.execute(insert(event), [{"task_key": row.key, **first} for row in inserted])
    return {row.id for row in inserted}


def _name(want: Wanted) -> tuple[str, str]:
    return want.upstream, want.task_id


def _lock_tasks(connection: Connection, wanted: Iterable[Wanted]) -> dict[tuple[str, str], Task]:
    """Lock before reading callbacks and ends, so that a task that ends just now is either seen or sees us."""
    names = sorted({_name(want) for want in wanted})
    query = select(*TASK_COLUMNS).where(tuple_(task.c.upstream, task.c.task_id).in_(names))
    rows = connection.execute(query.order_by(task.c.key).with_for_update()).all()
    return {(found.upstream, found.task_id): found for found in map(task_of, rows)}


def _revive(
    connection: Connection, tasks: dict[tuple[str, str], Task], owner: str, *, now: datetime, compose: Compose
) -> dict[tuple[str, str], Task]:
    """Watch dropped tasks again: whoever registers one wants its result."""
    dropped = [found for found in tasks.values() if found.status is Status.DROPPED]
    if not dropped:
        return tasks
    decide = partial(revive, now=now, note=signed_note(REGISTERED_AGAIN_BY, owner))
    written = changes.record(
        connection, {found.key: decide for found in dropped}, watcher=None, now=now, compose=compose
    )
    revived = {found.key: entry.task for found in dropped if (entry := written.get(found.key))}
    return {name: revived.get(found.key, found) for name, found in tasks.items()}


def _known(connection: Connection, tasks: Iterable[Task], owner: str) -> set[int]:
    keys = [found.key for found in tasks]
    query = select(registration.c.task_key).where(registration.c.owner == owner, registration.c.task_key.in_(keys))
    return set(connection.scalars(query))


def _insert_registrations(connection: Connection, tasks: Iterable[Task], owner: str, now: datetime) -> None:
    rows = [{"owner": owner, "task_key": found.key, "registered_at": now} for found in tasks]
    connection.execute(insert_into(connection, registration).values(rows).on_conflict_do_nothing())


def _write_callbacks(
    connection: Connection,
    wanted: Sequence[Wanted],
    tasks: dict[tuple[str, str], Task],
    known: set[int],
    *,
    owner: str,
    default_format: str,
    now: datetime,
) -> list[Callback]:
    """Insert callbacks or change them; returns those that may have to be told of an end that came before."""
    asked = [(tasks[_name(want)], want) for want in wanted if want.url is not None]
    if not asked:
        return []
    existing = _callbacks_of(connection, {found.key for found, _ in asked}, owner)
    new: dict[tuple[int, str], dict[str, Any]] = {}
    changed: set[int] = set()
    for found, want in asked:
        url = want.url or ""
        row = new.get((found.key, url))
        if before := existing.get((found.key, url)):
            is_back = found.key not in known
            _update(connection, before, want, is_back=is_back)
            if is_back or want.events is not None:
                changed.add(before)
        elif row is not None:
            row.update(_given(want))
        else:
            new[found.key, url] = {
                "task_key": found.key,
                "owner": owner,
                "url": url,
                "created_at": now,
                "events": ",".join(DEFAULT_EVENTS),
                "format": default_format,
                "metadata": None,
                **_given(want),
            }
    _refuse_too_many(existing, new)
    rows = _read_callbacks(connection, changed) if changed else []
    if new:
        rows += connection.execute(insert(callback).returning(*CALLBACK_COLUMNS), list(new.values())).all()
    return [callback_of(row) for row in rows]


def _refuse_too_many(existing: Iterable[tuple[int, str]], new: Iterable[tuple[int, str]]) -> None:
    """Each event is told to every callback in one transaction, which has to stay short."""
    counts = Counter(key for key, _ in (*existing, *new))
    if any(counts[key] > MOST_CALLBACKS for key, _ in new):
        raise InputError(
            "callback_url", f"the task has {MOST_CALLBACKS} callbacks already", "let one of them pass it on"
        )


def _callbacks_of(connection: Connection, keys: set[int], owner: str) -> dict[tuple[int, str], int]:
    query = select(callback.c.task_key, callback.c.url, callback.c.key)
    rows = connection.execute(query.where(callback.c.task_key.in_(keys), callback.c.owner == owner))
    return {(row.task_key, row.url): row.key for row in rows}


def _given(want: Wanted) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if want.events is not None:
        given["events"] = ",".join(want.events)
    if want.format is not None:
        given["format"] = want.format
    if want.metadata is not None:
        given["metadata"] = dump_json(want.metadata)
    return given


def _read_callbacks(connection: Connection, keys: Iterable[int]) -> list[Any]:
    live = select(*CALLBACK_COLUMNS).where(callback.c.key.in_(keys), callback.c.gone_at.is_(None))
    return list(connection.execute(live.order_by(callback.c.key)))


def _update(connection: Connection, key: int, want: Wanted, *, is_back: bool) -> None:
    """What was given replaces what was there; a callback that its owner had withdrawn is wanted again."""
    given = _given(want)
    if is_back:
        given["gone_at"] = None
    if given:
        connection.execute(update(callback).where(callback.c.key == key).values(**given))


def _tell_late(
    connection: Connection, callbacks: Sequence[Callback], tasks: Iterable[Task], *, now: datetime, compose: Compose
) -> None:
    """The message of an end that came before the callback."""
    ended = {found.key: found for found in tasks if found.status.is_end and found.status is not Status.DROPPED}
    late = [told for told in callbacks if told.task_key in ended]
    if not late:
        return
    ends = select(event.c.task_key, event.c.sequence, event.c.observed_at, snapshot.c.object).outerjoin(
        snapshot, snapshot.c.task_key == event.c.task_key
    )
    ends = ends.where(event.c.task_key.in_(list(ended)), event.c.event == "status")
    last = {row.task_key: row for row in connection.execute(ends.order_by(event.c.sequence))}
    outgoing = [
        Outgoing(
            message_type=MessageType(f"task.{ended[told.task_key].status}"),
            task=ended[told.task_key],
            callback=told,
            sequence=last[told.task_key].sequence,
            at=last[told.task_key].observed_at,
            object=load_json(last[told.task_key].object) or {},
        )
        for told in late
        if told.task_key in last
    ]
    enqueue(connection, outgoing, now=now, compose=compose)
