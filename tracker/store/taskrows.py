"""The rows of tasks, read under lock and written back: hundreds by one statement."""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cache
from operator import attrgetter
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import BigInteger, Connection, Text, bindparam, case, cast, func, or_, select, update

from tracker.model import Task
from tracker.store.given import among, given, lined, lines, rows
from tracker.store.moments import UtcDateTime, from_sqlite
from tracker.store.rows import TASK_COLUMNS, task_of
from tracker.store.schema import task

_NAMES = ("key", "id", "upstream", "task_id", "registered_at")
"""What never changes of a task."""
_MOVING = ("upstream_status", "progress", "sequence", "image_url")
"""What a step of progress changes; no index and no rule of the table asks for any of these."""
_TOLD = tuple(name for name in Task.__struct_fields__ if name not in _NAMES)
_STAYING = tuple(name for name in _TOLD if name not in _MOVING)
_staying: Callable[[Task], tuple[object, ...]] = attrgetter(*_STAYING)
_told: Callable[[Task], tuple[object, ...]] = attrgetter(*_TOLD)
_moved: Callable[[Task], tuple[object, ...]] = attrgetter("key", *_MOVING)
_MOMENTS = tuple(column.name for column in TASK_COLUMNS if isinstance(column.type, UtcDateTime))

Locked = tuple[Task, str | None]
"""A task and who watches it."""


def lock(connection: Connection, keys: Iterable[int]) -> list[Locked]:
    """The tasks that there are, locked in the order of their keys, as everybody does who needs several."""
    asked = {"given": lines(connection, ("key",), ([key] for key in sorted(keys)))}
    return _read(connection.scalar(_locking(connection.dialect.name), asked) or "[]")


@cache
def _locking(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    """All rows as one value, from which tasks are made without a step between.

    Row by row, SQLite's driver lets go of the interpreter at each, and a busy event loop keeps it waiting.
    """
    wanted = lined(dialect, "given", key=BigInteger())
    query = select(*TASK_COLUMNS, task.c.watcher).where(among(dialect, task.c.key, wanted))
    found = query.order_by(task.c.key).with_for_update(of=task).subquery()
    *told, watcher = found.c
    if dialect == "sqlite":
        return select(func.json_group_array(func.json_array(func.json_array(*told), watcher)))
    # As text: its driver would read JSON by itself, and slowly.
    return select(cast(func.json_agg(func.json_build_array(func.json_build_array(*told), watcher)), Text))


_decode = msgspec.json.Decoder(list[Locked]).decode
_moments: Callable[[Task], tuple[datetime | None, ...]] = attrgetter(*_MOMENTS)


def _read(text: str) -> list[Locked]:
    try:
        found = _decode(text)
    except msgspec.MsgspecError:
        # Something that only a person writes, such as a moment without a zone.
        return [(task_of(_with_moments(row)), watcher) for row, watcher in json.loads(text)]
    return [one if _is_utc(one[0]) else (_in_utc(one[0]), one[1]) for one in found]


def _is_utc(found: Task) -> bool:
    for moment in _moments(found):  # noqa: SIM110 - a generator takes twice as long
        if moment is not None and moment.tzinfo is not UTC:
            return False
    return True


def _in_utc(found: Task) -> Task:
    moments = zip(_MOMENTS, _moments(found), strict=True)
    return replace(found, **{name: moment.astimezone(UTC) for name, moment in moments if moment})


def _with_moments(row: list[Any]) -> list[Any]:
    return [
        from_sqlite(value) if value is not None and name in _MOMENTS else value
        for name, value in zip(Task.__struct_fields__, row, strict=True)
    ]


def write(connection: Connection, changed: Iterable[tuple[Task, Task]], *, watcher: str | None, now: datetime) -> None:
    """Write tasks back that were locked, each as it was and as it is: ended ones are watched by nobody any more.

    Without a `watcher`, whoever watches them finds a note; so does, of what goes on, whoever may watch it unadopted.
    """
    dialect = connection.dialect.name
    moved: list[Task] = []
    turned: list[dict[str, object]] = []
    for before, after in changed:
        # The database writes every index anew that has a column of the statement, or looks whether it has to.
        if watcher is not None and _staying(before) == _staying(after):
            moved.append(after)
        else:
            turned.append({"key": after.key, **dict(zip(_TOLD, _told(after), strict=True))})
    if moved:
        connection.execute(_moving(dialect), {"given": lines(connection, ("key", *_MOVING), map(_moved, moved))})
    if turned:
        statement = _noting(dialect) if watcher is None else _turning(dialect)
        connection.execute(statement, {"given": rows(connection, turned), **({"now": now} if watcher is None else {})})


@cache
def _moving(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    new = lined(dialect, "given", key=BigInteger(), **{name: task.c[name].type for name in _MOVING})
    return update(task).where(task.c.key == new.c.key).values({name: new.c[name] for name in _MOVING})


@cache
def _turning(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    new = given(dialect, "given", key=BigInteger(), **{name: task.c[name].type for name in _TOLD})
    still = case((new.c.ended_at.is_(None), task.c.watcher))
    values = {name: new.c[name] for name in _TOLD}
    return update(task).where(task.c.key == new.c.key).values({**values, "watcher": still})


@cache
def _noting(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    new = given(dialect, "given", key=BigInteger(), **{name: task.c[name].type for name in _TOLD})
    concerns_somebody = or_(task.c.watcher.is_not(None), new.c.ended_at.is_(None))
    note = case((concerns_somebody, bindparam("now", type_=UtcDateTime())))
    values = {name: new.c[name] for name in _TOLD}
    return update(task).where(task.c.key == new.c.key).values({**values, "refresh_at": note})
