"""Tasks that nobody registered before, with all that belongs to them: most registrations are that.

On Postgres they are one statement, however many, since each is a round trip and reads its rows anew. On SQLite, where a
statement writes to one table, they are four, and none of them hands back rows: for each the driver would let go of the
interpreter, which a busy event loop then keeps. Nobody else writes there meanwhile, so the keys are known beforehand.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, ClassVar

import msgspec
from sqlalchemy import Connection, Text, bindparam, exists, func, insert, literal_column, select, text
from sqlalchemy.sql.selectable import FromClause

from tracker.model import Callback, EventKind, Status, Task
from tracker.store.callbacks import DEFAULT_EVENTS, Asked, Wanted, dump_metadata, given_fields, standard
from tracker.store.dialect import insert_for
from tracker.store.given import given, plain_rows
from tracker.store.moments import UtcDateTime
from tracker.store.rows import new_ids
from tracker.store.schema import callback, daemon, event, registration, task

Name = tuple[str, str]
"""Upstream and task id."""


class Newcomer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A task that was registered for the first time just now: the answer to whoever asked.

    There may be a thousand of them, so it says no more than is not known anyway.
    """

    created: ClassVar[bool] = True
    adds_live: ClassVar[bool] = True

    key: int
    id: str
    want: Wanted
    owner: str
    registered_at: datetime
    is_watched: bool
    """Whether the watcher has it from the beginning."""
    callback_key: int | None
    default_format: str

    @property
    def upstream(self) -> str:
        """The name of its upstream."""
        return self.want.upstream

    @property
    def task_id(self) -> str:
        """The upstream's own id."""
        return self.want.task_id

    @property
    def task(self) -> Task:
        """The task as it was written."""
        return Task(
            key=self.key,
            id=self.id,
            upstream=self.upstream,
            task_id=self.task_id,
            registered_at=self.registered_at,
            sequence=1,
        )

    @property
    def callbacks(self) -> Sequence[Callback]:
        """The one that it was registered with, if any."""
        if self.callback_key is None or self.want.url is None:
            return []
        fields = {**standard(self.default_format), **given_fields(self.want)}
        return [Callback(key=self.callback_key, task_key=self.key, owner=self.owner, url=self.want.url, **fields)]


class _Row(msgspec.Struct, gc=False):
    """A registration as it is to be written."""

    id: str
    upstream: str
    task_id: str
    owner: str
    url: str | None
    events: str
    format: str
    metadata: str | None


class _Line(_Row, array_like=True, gc=False):
    """The same as a list, which SQLite reads faster than an object."""


_NAMES = _Row.__struct_fields__


def insert_new(
    connection: Connection, asked: Mapping[Name, Asked], *, watcher: str | None, default_format: str, now: datetime
) -> dict[Name, Newcomer]:
    """Write those that are new, each with its first event, its registration and its callback; returns them.

    Those that were registered before are left alone. A `watcher` has the others at once, if it lives and is alone.
    """
    # In one order, whoever writes: two who wait for each other's tasks would wait for ever.
    names = sorted(asked)
    is_sqlite = connection.dialect.name == "sqlite"
    shape = _Line if is_sqlite else _Row
    ids = new_ids("tsk", now, len(names))
    drawn = [_row(shape, id_, asked[name], default_format) for id_, name in zip(ids, names, strict=True)]
    told = {"given": plain_rows(drawn), "now": now, "watcher": watcher}
    made = (_one_by_one if is_sqlite else _all_at_once)(connection, drawn, told)
    return {
        name: Newcomer(
            key=found[0],
            id=id_,
            want=(one := asked[name]).want,
            owner=one.owner,
            registered_at=now,
            is_watched=found[1],
            callback_key=found[2],
            default_format=default_format,
        )
        for name, id_ in zip(names, ids, strict=True)
        if (found := made.get(id_)) is not None
    }


def _row(shape: type[_Row], id_: str, one: Asked, default_format: str) -> _Row:
    want = one.want
    return shape(
        id_,
        want.upstream,
        want.task_id,
        one.owner,
        want.url,
        ",".join(want.events or DEFAULT_EVENTS),
        want.format or default_format,
        None if want.metadata is None else dump_metadata(want.metadata),
    )


_Made = tuple[int, bool, int | None]
"""The key of a task, whether it is watched, and the key of its callback."""


def _one_by_one(connection: Connection, drawn: Sequence[_Row], told: Mapping[str, Any]) -> dict[str, _Made]:
    before, tasks, ours, *others = _in_turn()
    watcher, first, first_callback = connection.execute(before, told).one()
    known = {**told, "watcher": watcher, "first": first, "first_callback": first_callback}
    connection.execute(tasks, known).close()
    made: dict[str, _Made] = {}
    for key in msgspec.json.decode(connection.scalar(ours, known), type=list[int]):
        row = drawn[key - first]
        made[row.id] = (key, watcher is not None, None if row.url is None else first_callback + key - first)
    for statement in others if made else ():
        connection.execute(statement, known).close()
    return made


def _all_at_once(connection: Connection, _: Sequence[_Row], told: Mapping[str, Any]) -> dict[str, _Made]:
    return {id_: (key, is_watched, hook) for id_, key, is_watched, hook in connection.execute(_at_once(), told)}


_NOW = bindparam("now", type_=UtcDateTime())


def _alone() -> Any:  # noqa: ANN401 - a query
    """The watcher, if it lives and has no company: with others each takes its share, by adoption."""
    fellow = daemon.alias("fellow")
    company = exists().where(fellow.c.id != daemon.c.id, text("NOT fellow.is_gone")).correlate(daemon)
    return select(daemon.c.id).where(daemon.c.id == bindparam("watcher"), text("NOT daemon.is_gone"), ~company)


@cache
def _in_turn() -> tuple[Any, ...]:
    """The statements for SQLite: what is known before, the tasks, which of them are new, all else."""
    each = func.json_each(bindparam("given", type_=Text())).table_valued("key", "value", name="each")
    key, hook = each.c.key + bindparam("first"), each.c.key + bindparam("first_callback")
    named = (func.json_extract(each.c.value, f"$[{place}]").label(name) for place, name in enumerate(_NAMES))
    new = select(key.label("key"), hook.label("callback_key"), *named).subquery("given")
    written = new.join(task, task.c.key == new.c.key)
    before = select(_alone().scalar_subquery(), _next(task), _next(callback))
    ours = task.c.key >= bindparam("first")
    return (
        before,
        _tasks("sqlite", new, bindparam("watcher"), keyed=True),
        select(func.json_group_array(task.c.key)).where(ours),
        insert(event).from_select(["task_key", *_FIRST], select(task.c.key, *_FIRST.values()).where(ours)),
        _registrations(new, written),
        _callbacks(new, written, keyed=True),
    )


def _next(table: Any) -> Any:  # noqa: ANN401 - a table; an expression
    return select(func.coalesce(func.max(table.c.key), 0) + 1).scalar_subquery()


@cache
def _at_once() -> Any:  # noqa: ANN401 - a statement, built once
    """All of it for Postgres."""
    new = select(given("postgresql", "given", **dict.fromkeys(_NAMES, Text()))).cte("new")
    # Nobody declares it dead before this is committed: what a dead one watches by then would be found by nobody.
    held = _alone().with_for_update(of=daemon, read=True, key_share=True).cte("held")
    tasks = _tasks("postgresql", new, select(held.c.id).scalar_subquery(), keyed=False)
    made = tasks.returning(task.c.key, task.c.id, task.c.watcher.is_not(None).label("is_watched")).cte("made")
    keyed = select(made.c.key, made.c.is_watched, new).join(new, new.c.id == made.c.id).cte("keyed")
    hooks = _callbacks(keyed, keyed, keyed=False).returning(callback.c.key, callback.c.task_key).cte("callbacks")
    events = insert(event).from_select(["task_key", *_FIRST], select(keyed.c.key, *_FIRST.values())).cte("events")
    found = select(keyed.c.id, keyed.c.key, keyed.c.is_watched, hooks.c.key.label("callback_key"))
    others = events, _registrations(keyed, keyed).cte("registrations")
    return found.outerjoin(hooks, hooks.c.task_key == keyed.c.key).add_cte(*others)


_FIRST = {
    "sequence": literal_column("1"),
    "event": literal_column(f"'{EventKind.REGISTERED}'"),
    "observed_at": _NOW,
    "to_status": literal_column(f"'{Status.QUEUED}'"),
}
"""The first event of a task."""


def _tasks(dialect: str, new: FromClause, watcher: Any, *, keyed: bool) -> Any:  # noqa: ANN401 - an expression; a statement
    chosen = {
        **({"key": new.c.key} if keyed else {}),
        **{name: new.c[name] for name in ("id", "upstream", "task_id")},
        "registered_at": _NOW,
        "sequence": literal_column("1"),
        "watcher": watcher,
    }
    # SQLite takes the ON of ON CONFLICT for that of a join, unless something stands before it.
    made = insert_for(dialect, task).from_select([*chosen], select(*chosen.values()).where(text("true")))
    return made.on_conflict_do_nothing(index_elements=["upstream", "task_id"])


def _registrations(new: FromClause, written: FromClause) -> Any:  # noqa: ANN401 - a statement
    chosen = select(new.c.owner, new.c.key, _NOW).select_from(written)
    return insert(registration).from_select(["owner", "task_key", "registered_at"], chosen)


def _callbacks(new: FromClause, written: FromClause, *, keyed: bool) -> Any:  # noqa: ANN401 - a statement
    names = ("owner", "url", "events", "format", "metadata")
    chosen = {
        **({"key": new.c.callback_key} if keyed else {}),
        "task_key": new.c.key,
        **{name: new.c[name] for name in names},
        "created_at": _NOW,
    }
    wanted = select(*chosen.values()).select_from(written).where(new.c.url.is_not(None))
    return insert(callback).from_select([*chosen], wanted)
