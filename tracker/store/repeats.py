"""Registrations of tasks that may be there already, and may have ended: for other owners, or with other wishes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from itertools import compress
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple

from sqlalchemy import BigInteger, Connection, Text, bindparam, insert, literal_column, select, text, tuple_

from tracker.errors import InputError
from tracker.model import Callback, EventKind, MessageType, Outgoing, Status, Task
from tracker.model.notes import REGISTERED_AGAIN_BY, signed_note
from tracker.observe import revive
from tracker.store import changes, tasks
from tracker.store.callbacks import (
    MOST_CALLBACKS,
    Asked,
    Plan,
    known_of,
)
from tracker.store.dialect import insert_for
from tracker.store.given import given, rows
from tracker.store.moments import UtcDateTime
from tracker.store.newcomers import Name
from tracker.store.outbox import Compose, enqueue
from tracker.store.rows import TASK_COLUMNS, load_json, new_ids, task_of
from tracker.store.schema import event, registration, snapshot, task

Pair = tuple[int, str]
"""Task key and owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """What became of one registration."""

    task: Task
    callbacks: Sequence[Callback]
    """Those of the task that whoever asked may see, first to last."""
    created: bool
    """False when the owner (an admin: anybody) had registered the task before."""
    adds_live: bool
    """Whether the owner has one live task more by it."""
    is_watched: ClassVar[bool] = False
    """It was there before: who watches it is known to them."""


def register_any(
    connection: Connection,
    asked: Sequence[Asked],
    names: Sequence[Name],
    *,
    default_format: str,
    now: datetime,
    compose: Compose,
    tried: bool = False,
) -> list[Repeated | InputError]:
    """Write registrations, whatever there is of them; `tried` where all tasks were found to be there already."""
    if not asked:
        return []
    found, fresh = _tasks_of(connection, set(names), now, tried=tried)
    keys = [found[name].key for name in names]
    plan = Plan(known_of(connection, set(keys) - fresh))
    takes = [_takes(plan, key, one) for key, one in zip(keys, asked, strict=True)]
    pairs = dict.fromkeys((key, one.owner) for key, one in compress(zip(keys, asked, strict=True), takes))
    dropped = {old.key for old in found.values() if old.status is Status.DROPPED}
    found = _revive(connection, found, dropped, pairs, now=now, compose=compose)
    new = _insert_registrations(connection, pairs, now)
    written = plan.write(connection, new, default_format=default_format, now=now)
    _tell_late(connection, written, found.values(), now=now, compose=compose)
    news = _News(
        fresh=fresh, dropped=dropped, new=new, callbacks=_callbacks(connection, found.values(), fresh, written)
    )
    return [
        news.answer(one, found[name]) if is_taken else _too_many()
        for name, one, is_taken in zip(names, asked, takes, strict=True)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _News:
    """What is new by a group of registrations, until it has been told to the first who asked for it."""

    fresh: set[int]
    dropped: set[int]
    new: set[Pair]
    callbacks: Mapping[int, Sequence[Callback]]

    def answer(self, one: Asked, found: Task) -> Repeated:
        is_first = (found.key, one.owner) in self.new
        answer = Repeated(
            task=found,
            callbacks=[told for told in self.callbacks.get(found.key, ()) if one.sees_all or told.owner == one.owner],
            created=found.key in self.fresh if one.sees_all else is_first,
            adds_live=not found.status.is_end and (is_first or found.key in self.dropped),
        )
        self.fresh.discard(found.key)
        self.dropped.discard(found.key)
        self.new.discard((found.key, one.owner))
        return answer


def _takes(plan: Plan, key: int, one: Asked) -> bool:
    url = one.want.url
    return url is None or plan.takes((key, one.owner, url), one.want)


def _too_many() -> InputError:
    return InputError("callback_url", f"the task has {MOST_CALLBACKS} callbacks already", "let one of them pass it on")


def _tasks_of(
    connection: Connection, names: AbstractSet[Name], now: datetime, *, tried: bool
) -> tuple[dict[Name, Task], set[int]]:
    """The tasks of these names, each locked: those that are new are inserted. And the keys of the new ones."""
    found = {} if tried else _insert_tasks(connection, names, now)
    fresh = {made.key for made in found.values()}
    found |= _lock_tasks(connection, names - found.keys())
    if missing := names - found.keys():
        # An old task was being forgotten: it was there for the insert, and is not for the lock.
        again = _insert_tasks(connection, missing, now)
        fresh |= {made.key for made in again.values()}
        found |= again | _lock_tasks(connection, missing - again.keys())
    return found, fresh


def _insert_tasks(connection: Connection, names: AbstractSet[Name], now: datetime) -> dict[Name, Task]:
    """Insert those that are new, with their first event."""
    made = dict(zip(new_ids("tsk", now, len(names)), sorted(names), strict=True))
    wanted = [{"id": id_, "upstream": upstream, "task_id": task_id} for id_, (upstream, task_id) in made.items()]
    statements = _inserting(connection.dialect.name)
    keys = connection.execute(statements.tasks, {"given": rows(connection, wanted), "now": now}).all()
    if keys:
        given_keys = rows(connection, [{"key": key} for key, _ in keys])
        connection.execute(statements.events, {"given": given_keys, "now": now})
    return {
        (name := made[id_]): Task(key=key, id=id_, upstream=name[0], task_id=name[1], registered_at=now, sequence=1)
        for key, id_ in keys
    }


class _Inserting(NamedTuple):
    tasks: Any
    events: Any
    registrations: Any


@cache
def _inserting(dialect: str) -> _Inserting:
    """The statements, built once. They find what is new: a task that is there already is not touched."""
    now = bindparam("now", type_=UtcDateTime())
    new = given(dialect, "given", id=Text(), upstream=Text(), task_id=Text())
    # SQLite takes the ON of ON CONFLICT for that of a join, unless something stands before it.
    chosen = select(new.c.id, new.c.upstream, new.c.task_id, now, literal_column("1")).where(text("true"))
    made = insert_for(dialect, task).from_select(["id", "upstream", "task_id", "registered_at", "sequence"], chosen)
    only_new = made.on_conflict_do_nothing(index_elements=["upstream", "task_id"])
    keys = given(dialect, "given", key=BigInteger())
    first = {
        "sequence": literal_column("1"),
        "event": literal_column(f"'{EventKind.REGISTERED}'"),
        "observed_at": now,
        "to_status": literal_column(f"'{Status.QUEUED}'"),
    }
    pairs = given(dialect, "given", owner=Text(), task_key=BigInteger())
    mine = select(pairs.c.owner, pairs.c.task_key, now).where(text("true"))
    told = insert_for(dialect, registration).from_select(["owner", "task_key", "registered_at"], mine)
    return _Inserting(
        tasks=only_new.returning(task.c.key, task.c.id),
        events=insert(event).from_select(["task_key", *first], select(keys.c.key, *first.values())),
        registrations=told.on_conflict_do_nothing().returning(registration.c.task_key, registration.c.owner),
    )


def _lock_tasks(connection: Connection, names: AbstractSet[Name]) -> dict[Name, Task]:
    """Lock before reading callbacks and ends, so that a task that ends just now is either seen or sees us."""
    if not names:
        return {}
    wanted = rows(connection, [{"upstream": upstream, "task_id": task_id} for upstream, task_id in names])
    found = connection.execute(_locking(connection.dialect.name), {"given": wanted})
    return {(old.upstream, old.task_id): old for old in map(task_of, found)}


@cache
def _locking(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    names = given(dialect, "given", upstream=Text(), task_id=Text())
    asked = tuple_(task.c.upstream, task.c.task_id).in_(select(names.c.upstream, names.c.task_id))
    return select(*TASK_COLUMNS).where(asked).order_by(task.c.key).with_for_update(of=task)


def _revive(
    connection: Connection,
    found: dict[Name, Task],
    dropped: Collection[int],
    pairs: Iterable[Pair],
    *,
    now: datetime,
    compose: Compose,
) -> dict[Name, Task]:
    """Watch dropped tasks again: whoever registers one wants its result."""
    decisions: dict[int, changes.Decide] = {}
    for key, owner in pairs:
        if key in dropped:
            decisions.setdefault(key, partial(revive, now=now, note=signed_note(REGISTERED_AGAIN_BY, owner)))
    if not decisions:
        return found
    written = changes.record(connection, decisions, watcher=None, now=now, compose=compose)
    return {name: written[old.key].task if old.key in written else old for name, old in found.items()}


def _insert_registrations(connection: Connection, pairs: Iterable[Pair], now: datetime) -> set[Pair]:
    """Returns those that are new."""
    made = [{"owner": owner, "task_key": key} for key, owner in sorted(pairs)]
    if not made:
        return set()
    statement = _inserting(connection.dialect.name).registrations
    new = connection.execute(statement, {"given": rows(connection, made), "now": now}).all()
    return {(key, owner) for key, owner in new}


def _callbacks(
    connection: Connection, found: Iterable[Task], fresh: Collection[int], written: Iterable[Callback]
) -> dict[int, list[Callback]]:
    """Every callback of these tasks: those of the fresh ones were written just now."""
    old = [each.key for each in found if each.key not in fresh]
    told = tasks.callbacks(connection, old, owner=None) if old else {}
    for made in sorted(written, key=attrgetter("key")):
        if made.task_key in fresh:
            told.setdefault(made.task_key, []).append(made)
    return told


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
