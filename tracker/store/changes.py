"""Recording what was seen: task, event and one delivery per interested callback in one transaction."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Text,
    bindparam,
    insert,
    select,
)

from tracker.model import Callback, Change, Event, EventKind, MessageType, Outgoing, Status, Task
from tracker.observe import message_for
from tracker.pacing import PROGRESS_TYPES
from tracker.store import pacing, taskrows
from tracker.store.dialect import insert_for
from tracker.store.given import end_to_end, lined, lines, moments, text_at
from tracker.store.moments import UtcDateTime
from tracker.store.outbox import Compose, enqueue
from tracker.store.rows import CALLBACK_COLUMNS, callback_of, dump_object, load_json
from tracker.store.schema import callback, event, snapshot
from tracker.store.watching import is_alive, take

Decide = Callable[[Task], Change]


class Recorded(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What was written for one task."""

    task: Task
    event: Event | None
    deliveries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Decisions that were asked for together; see `record`."""

    decisions: Mapping[int, Decide]
    watcher: str | None
    now: datetime
    compose: Compose


def record(
    connection: Connection, decisions: Mapping[int, Decide], *, watcher: str | None, now: datetime, compose: Compose
) -> dict[int, Recorded]:
    """Let each decision look at its task's row, under lock, and write what it says, by task key.

    With a `watcher`, live tasks that somebody else watches by now are left alone and missing from the
    answer: a daemon that was frozen and replaced writes nothing.
    """
    return record_each(connection, [Batch(decisions=decisions, watcher=watcher, now=now, compose=compose)])[0]


def record_each(connection: Connection, batches: Sequence[Batch]) -> list[dict[int, Recorded]]:
    """The same for several batches, in as many statements as one takes where each is about other tasks."""
    rounds = _rounds(batches)
    if len(rounds) > 1:
        # Or those of a later round could come before those of the first: two daemons would lock each other out.
        taskrows.lock(connection, {key for batch in batches for key in batch.decisions})
    recorded: list[dict[int, Recorded]] = []
    for together in rounds:
        written = _record(connection, together)
        recorded += [{key: written[key] for key in batch.decisions if key in written} for batch in together]
    return recorded


def _rounds(batches: Sequence[Batch]) -> list[list[Batch]]:
    """In the same order, those that follow each other together, as long as none decides about a task of another."""
    rounds: list[list[Batch]] = []
    keys: set[int] = set()
    for batch in batches:
        last = rounds[-1][-1] if rounds else None
        is_same = last and last.watcher == batch.watcher and last.compose is batch.compose
        if is_same and keys.isdisjoint(batch.decisions):
            rounds[-1].append(batch)
        else:
            rounds.append([batch])
            keys = set()
        keys |= batch.decisions.keys()
    return rounds


def _record(connection: Connection, batches: Sequence[Batch]) -> dict[int, Recorded]:
    watcher, compose, now = batches[0].watcher, batches[0].compose, max(batch.now for batch in batches)
    decisions = {key: decide for batch in batches for key, decide in batch.decisions.items()}
    locked: Sequence[taskrows.Locked] = taskrows.lock(connection, decisions)
    if watcher is not None:
        locked = _within_fence(connection, locked, watcher)
        locked = _adopted(connection, locked, watcher, now)
    changes = [(found, decisions[found.key](found)) for found, _ in locked]
    news = [(before, change) for before, change in changes if change.event or change.kept is not None]
    counts = _write(connection, news, watcher=watcher, now=now, compose=compose) if news else {}
    return {
        before.key: Recorded(task=change.task, event=change.event, deliveries=counts.get(before.key, 0))
        for before, change in changes
    }


def _within_fence(connection: Connection, locked: Sequence[taskrows.Locked], watcher: str) -> Sequence[taskrows.Locked]:
    """Live tasks belong to their watcher, or to nobody yet, ended ones to any daemon: none to one that was replaced."""
    if not is_alive(connection, watcher):
        return []
    return [(found, by) for found, by in locked if by in (watcher, None) or found.status.is_end]


def _adopted(
    connection: Connection, locked: Sequence[taskrows.Locked], watcher: str, now: datetime
) -> Sequence[taskrows.Locked]:
    """Whoever was first to see something of a task that it watches ahead of its adoption has it from then on."""
    free = {found.key: found.sequence for found, by in locked if by is None and not found.status.is_end}
    if not free:
        return locked
    take(connection, [*free.items()], me=watcher, now=now)
    return [
        (replace(found, sequence=max(found.sequence, 1)) if found.key in free else found, by) for found, by in locked
    ]


def _write(
    connection: Connection,
    news: Sequence[tuple[Task, Change]],
    *,
    watcher: str | None,
    now: datetime,
    compose: Compose,
) -> dict[int, int]:
    """Returns how many deliveries were written, by task key."""
    taskrows.write(connection, ((before, change.task) for before, change in news), watcher=watcher, now=now)
    changes = [change for _, change in news]
    told = [(change, change.event) for change in changes if change.event is not None]
    by_task = _interested(connection, told)
    shown = _keep_objects(connection, changes, by_task, now)
    _insert_events(connection, told)
    _supersede(connection, told, now)
    return enqueue(connection, _outgoing(connection, told, by_task, shown), now=now, compose=compose)


Told = tuple[Change, Event]
_EVENT = (
    "task_key",
    "sequence",
    "event",
    "observed_at",
    "from_status",
    "to_status",
    "upstream_status",
    "progress",
    "note",
)


def _insert_events(connection: Connection, told: Sequence[Told]) -> None:
    if told:
        written = moments(connection)
        new = [_event_row(change.task.key, line, written(line.observed_at)) for change, line in told]
        connection.execute(_telling(connection.dialect.name), {"given": lines(connection, _EVENT, new)})


def _event_row(task_key: int, line: Event, observed_at: object) -> tuple[object, ...]:
    return (
        task_key,
        line.sequence,
        line.kind,
        observed_at,
        line.from_status,
        line.to_status,
        line.upstream_status,
        line.progress,
        line.note,
    )


@cache
def _telling(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    new = lined(dialect, "given", **{name: event.c[name].type for name in _EVENT})
    return insert(event).from_select(list(_EVENT), select(*(new.c[name] for name in _EVENT)))


def _keep_objects(
    connection: Connection, changes: Iterable[Change], by_task: Mapping[int, object], now: datetime
) -> dict[int, Mapping[str, object]]:
    """Returns those of the tasks that somebody is told of; the others are gone again as soon as they are text."""
    texts: dict[int, bytes] = {}
    shown: dict[int, Mapping[str, object]] = {}
    for change in changes:
        if found := change.object:
            texts[change.task.key] = dump_object(found)
            if change.task.key in by_task:
                shown[change.task.key] = found
    if texts:
        objects, places = end_to_end(texts.values())
        new = [(key, place["start"], place["length"]) for key, place in zip(texts, places, strict=True)]
        asked = {"given": lines(connection, ("key", "start", "length"), new), "objects": objects, "now": now}
        connection.execute(_keeping(connection.dialect.name), asked)
    return shown


@cache
def _keeping(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    new = lined(dialect, "given", key=BigInteger(), start=Integer(), length=Integer())
    seen_at = bindparam("now", type_=UtcDateTime())
    fresh = select(new.c.key, seen_at, text_at(dialect, "objects", new.c.start, new.c.length))
    # SQLite would take ON CONFLICT for a part of the query where that does not end in a WHERE.
    statement = insert_for(dialect, snapshot).from_select(
        ["task_key", "seen_at", "object"], fresh.where(new.c.key.is_not(None))
    )
    newer = {name: statement.excluded[name] for name in ("seen_at", "object")}
    return statement.on_conflict_do_update(index_elements=["task_key"], set_=newer)


def _supersede(connection: Connection, told: Iterable[Told], now: datetime) -> None:
    """What these changes leave nothing to say about; what newer messages replace is seen to where they are written."""
    turns = [(change.task, line) for change, line in told if line.kind is EventKind.STATUS]
    if ended := [task.key for task, _ in turns if task.status.is_end]:
        pacing.supersede_all(connection, ended, now=now)
    if answered := [
        task.key for task, line in turns if line.from_status is Status.NEEDS_INPUT and not task.status.is_end
    ]:
        pacing.supersede_questions(connection, answered, now=now)


def _outgoing(
    connection: Connection,
    told: Sequence[Told],
    by_task: Mapping[int, Sequence[Callback]],
    shown: Mapping[int, Mapping[str, object]],
) -> list[Outgoing]:
    missing = [change.task.key for change, _ in told if change.kept is None and change.task.key in by_task]
    objects = {**shown, **_last_objects(connection, missing)}
    return [
        Outgoing(
            message_type=kind,
            task=change.task,
            callback=found,
            sequence=line.sequence,
            at=line.observed_at,
            object=objects.get(change.task.key, {}),
        )
        for change, line in told
        if change.task.key in by_task and (kind := message_for(line))
        for found in by_task[change.task.key]
    ]


_ASKED = ("key", "word", "other")


def _interested(connection: Connection, told: Iterable[Told]) -> dict[int, list[Callback]]:
    """The callbacks that may want to be told of these events, by the key of their task; asked under its lock."""
    asked = [(change.task.key, *_words(kind)) for change, line in told if (kind := message_for(line))]
    by_task: dict[int, list[Callback]] = {}
    if asked:
        found = connection.execute(_asking(connection.dialect.name), {"given": lines(connection, _ASKED, asked)})
        # Sorted here: to have them in order, SQLite might rather go through all callbacks than look for these.
        for one in sorted(map(callback_of, found), key=lambda one: one.key):
            by_task.setdefault(one.task_key, []).append(one)
    return by_task


@cache
def _words(kind: MessageType) -> tuple[str, str]:
    """One of which a callback that wants it has among its own, if only as a part of one; see `Callback.wants`."""
    word = kind.removeprefix("task.")
    return word, word if kind in PROGRESS_TYPES else "ended"


@cache
def _asking(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    """Most callbacks wait for the end, and most news is progress: those are not even read."""
    new = lined(dialect, "given", key=BigInteger(), word=Text(), other=Text())
    wants = callback.c.events.contains(new.c.word) | callback.c.events.contains(new.c.other)
    query = select(*CALLBACK_COLUMNS).join_from(new, callback, callback.c.task_key == new.c.key)
    return query.where(callback.c.gone_at.is_(None), wants)


def _last_objects(connection: Connection, keys: Sequence[int]) -> dict[int, Mapping[str, object]]:
    """What the upstream said last, for ends it did not tell itself (lost, expired)."""
    if not keys:
        return {}
    query = select(snapshot.c.task_key, snapshot.c.object).where(snapshot.c.task_key.in_(keys))
    return {row.task_key: load_json(row.object) for row in connection.execute(query)}
