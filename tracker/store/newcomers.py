"""Tasks that nobody registered before, with all that belongs to them: most registrations are that.

On Postgres they are one statement, however many, since each is a round trip and reads its rows anew. On SQLite, where a
statement writes to one table, they are four.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Text, bindparam, exists, func, insert, literal_column, select, text
from sqlalchemy.sql.selectable import FromClause

from tracker.model import EventKind, Status
from tracker.store.callbacks import DEFAULT_EVENTS, Asked, dump_metadata
from tracker.store.dialect import insert_for
from tracker.store.given import given, plain_rows
from tracker.store.moments import UtcDateTime
from tracker.store.rows import new_ids
from tracker.store.schema import callback, daemon, event, registration, task

Name = tuple[str, str]
"""Upstream and task id."""


class Newcomer(NamedTuple):
    """A task that was registered for the first time just now."""

    key: int
    id: str
    watcher: str | None
    """Who watches it from the beginning."""
    callback_key: int | None


@dataclass(frozen=True, slots=True)
class Draft:
    """Registrations of tasks, each of another one, as they are to be written."""

    names: Sequence[Name]
    rows: Sequence[tuple[str | None, ...]]
    """In the same order, with the columns of `_NAMES`."""


_NAMES = ("id", "upstream", "task_id", "owner", "url", "events", "format", "metadata")
_OF_TASK = 3


def draft(asked: Mapping[Name, Asked], *, default_format: str, now: datetime) -> Draft:
    """Lay out registrations; it takes a while where they are many, and needs no database."""
    # In one order, whoever writes: two who wait for each other's tasks would wait for ever.
    names = sorted(asked)
    rows = [
        _row(id_, asked[name], default_format) for id_, name in zip(new_ids("tsk", now, len(names)), names, strict=True)
    ]
    return Draft(names, rows)


def _row(id_: str, one: Asked, default_format: str) -> tuple[str | None, ...]:
    want = one.want
    return (
        id_,
        want.upstream,
        want.task_id,
        one.owner,
        want.url,
        ",".join(want.events or DEFAULT_EVENTS),
        want.format or default_format,
        None if want.metadata is None else dump_metadata(want.metadata),
    )


def insert_new(connection: Connection, drawn: Draft, *, watcher: str | None, now: datetime) -> dict[Name, Newcomer]:
    """Write those that are new, each with its first event, its registration and its callback; returns them.

    Those that were registered before are left alone. A `watcher` has the others at once, if it lives and is alone.
    """
    if connection.dialect.name == "sqlite":
        found: Sequence[Sequence[Any]] = _one_by_one(connection, drawn, watcher=watcher, now=now)
    else:
        told = plain_rows(dict(zip(_NAMES, row, strict=True)) for row in drawn.rows)
        found = connection.execute(_at_once(), {"given": told, "now": now, "watcher": watcher}).all()
    made = {row[1]: Newcomer(*row) for row in found}
    return {name: made[row[0]] for name, row in zip(drawn.names, drawn.rows, strict=True) if row[0] in made}


def _one_by_one(connection: Connection, drawn: Draft, *, watcher: str | None, now: datetime) -> Sequence[Sequence[Any]]:
    tasks, *others, callbacks = _in_turn()
    told = plain_rows(row[:_OF_TASK] for row in drawn.rows)
    found = connection.execute(tasks, {"given": told, "now": now, "watcher": watcher}).all()
    if not found:
        return []
    keys = {id_: key for key, id_, _ in found}
    keyed = plain_rows((keys[row[0]], *row[_OF_TASK:]) for row in drawn.rows if row[0] in keys)
    for statement in others:
        connection.execute(statement, {"given": keyed, "now": now})
    written = {task_key: key for key, task_key in connection.execute(callbacks, {"given": keyed, "now": now})}
    return [(*row, written.get(row[0])) for row in found]


_NOW = bindparam("now", type_=UtcDateTime())


def _alone() -> Any:  # noqa: ANN401 - a query
    """The watcher, if it lives and has no company: with others each takes its share, by adoption."""
    fellow = daemon.alias("fellow")
    company = exists().where(fellow.c.id != daemon.c.id, text("NOT fellow.is_gone")).correlate(daemon)
    return select(daemon.c.id).where(daemon.c.id == bindparam("watcher"), text("NOT daemon.is_gone"), ~company)


@cache
def _in_turn() -> tuple[Any, ...]:
    """The statements for SQLite: the second and all that follow read rows that begin with the key of the task."""
    keyed = _in_places("key", *_NAMES[_OF_TASK:])
    new = _in_places(*_NAMES[:_OF_TASK])
    return _tasks("sqlite", new, _alone().scalar_subquery()), _events(keyed), _registrations(keyed), _callbacks(keyed)


def _in_places(*names: str) -> FromClause:
    """Rows that are lists, which SQLite reads faster than objects."""
    each = func.json_each(bindparam("given", type_=Text())).table_valued("value", name="each")
    fields = [func.json_extract(each.c.value, f"$[{place}]").label(name) for place, name in enumerate(names)]
    return select(*fields).subquery("given")


@cache
def _at_once() -> Any:  # noqa: ANN401 - a statement, built once
    """All of it for Postgres."""
    new = select(given("postgresql", "given", **dict.fromkeys(_NAMES, Text()))).cte("new")
    # Nobody declares it dead before this is committed: what a dead one watches by then would be found by nobody.
    held = _alone().with_for_update(of=daemon, read=True, key_share=True).cte("held")
    made = _tasks("postgresql", new, select(held.c.id).scalar_subquery()).cte("made")
    keyed = select(made.c.key, made.c.watcher, new).join(new, new.c.id == made.c.id).cte("keyed")
    callbacks = _callbacks(keyed).cte("callbacks")
    found = select(keyed.c.key, keyed.c.id, keyed.c.watcher, callbacks.c.key.label("callback_key"))
    others = _events(keyed).cte("events"), _registrations(keyed).cte("registrations")
    return found.outerjoin(callbacks, callbacks.c.task_key == keyed.c.key).add_cte(*others)


def _tasks(dialect: str, new: FromClause, watcher: Any) -> Any:  # noqa: ANN401 - an expression; a statement
    names = ("id", "upstream", "task_id", "registered_at", "sequence", "watcher")
    # SQLite takes the ON of ON CONFLICT for that of a join, unless something stands before it.
    chosen = select(new.c.id, new.c.upstream, new.c.task_id, _NOW, literal_column("1"), watcher).where(text("true"))
    made = insert_for(dialect, task).from_select(names, chosen)
    only_new = made.on_conflict_do_nothing(index_elements=["upstream", "task_id"])
    return only_new.returning(task.c.key, task.c.id, task.c.watcher)


def _events(new: FromClause) -> Any:  # noqa: ANN401 - a statement
    first = {
        "sequence": literal_column("1"),
        "event": literal_column(f"'{EventKind.REGISTERED}'"),
        "observed_at": _NOW,
        "to_status": literal_column(f"'{Status.QUEUED}'"),
    }
    return insert(event).from_select(["task_key", *first], select(new.c.key, *first.values()))


def _registrations(new: FromClause) -> Any:  # noqa: ANN401 - a statement
    chosen = select(new.c.owner, new.c.key, _NOW)
    return insert(registration).from_select(["owner", "task_key", "registered_at"], chosen)


def _callbacks(new: FromClause) -> Any:  # noqa: ANN401 - a statement
    names = ("owner", "url", "events", "format", "metadata")
    chosen = select(new.c.key, *(new.c[name] for name in names), _NOW).where(new.c.url.is_not(None))
    made = insert(callback).from_select(["task_key", *names, "created_at"], chosen)
    return made.returning(callback.c.key, callback.c.task_key)
