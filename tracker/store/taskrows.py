"""The rows of tasks, read under lock and written back: hundreds by one statement."""

from collections.abc import Callable, Iterable
from dataclasses import fields
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Connection, bindparam, case, func, select, update

from tracker.model import Task
from tracker.store.given import given, plain_rows, rows
from tracker.store.moments import UtcDateTime, from_sqlite
from tracker.store.rows import TASK_COLUMNS, task_of
from tracker.store.schema import task

_NAMES = ("key", "id", "upstream", "task_id", "registered_at")
"""What never changes of a task."""
_MOVING = ("upstream_status", "progress", "sequence", "image_url")
"""What a step of progress changes; no index and no rule of the table asks for any of these."""
_TOLD = tuple(field.name for field in fields(Task) if field.name not in _NAMES)
_STAYING = tuple(name for name in _TOLD if name not in _MOVING)
_staying: Callable[[Task], tuple[object, ...]] = attrgetter(*_STAYING)
_told: Callable[[Task], tuple[object, ...]] = attrgetter(*_TOLD)

Locked = tuple[Task, str | None]
"""A task and who watches it."""


def lock(connection: Connection, keys: Iterable[int]) -> list[Locked]:
    """The tasks that there are, locked in the order of their keys, as everybody does who needs several."""
    dialect = connection.dialect.name
    asked = {"given": plain_rows({"key": key} for key in sorted(keys))}
    if dialect != "sqlite":
        return [(task_of(row[:-1]), row[-1]) for row in connection.execute(_locking(dialect), asked).all()]
    found = msgspec.json.decode(connection.scalar(_reading(dialect), asked) or "[]")
    return [(task_of(_with_moments(row)), row[-1]) for row in found]


@cache
def _locking(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    wanted = given(dialect, "given", key=BigInteger())
    query = select(*TASK_COLUMNS, task.c.watcher).where(task.c.key.in_(select(wanted.c.key)))
    return query.order_by(task.c.key).with_for_update(of=task)


@cache
def _reading(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    """All rows as one value: the driver lets go of the interpreter at each, and a busy event loop keeps it waiting."""
    found = _locking(dialect).subquery()
    return select(func.json_group_array(func.json_array(*found.c)))


_MOMENTS = tuple(place for place, column in enumerate(TASK_COLUMNS) if isinstance(column.type, UtcDateTime))


def _with_moments(row: list[Any]) -> list[Any]:
    told = row[:-1]
    for place in _MOMENTS:
        if told[place] is not None:
            told[place] = from_sqlite(told[place])
    return told


def write(connection: Connection, changed: Iterable[tuple[Task, Task]], *, watcher: str | None, now: datetime) -> None:
    """Write tasks back that were locked, each as it was and as it is: ended ones are watched by nobody any more.

    Without a `watcher`, whoever watches them finds a note.
    """
    dialect = connection.dialect.name
    # SQLite writes every index that has a column of the statement anew; Postgres looks whether it changed.
    may_be_short = dialect == "sqlite" and watcher is not None
    moved: list[dict[str, object]] = []
    turned: list[dict[str, object]] = []
    for before, after in changed:
        if may_be_short and _staying(before) == _staying(after):
            moved.append(_moving_row(after))
        else:
            turned.append({"key": after.key, **dict(zip(_TOLD, _told(after), strict=True))})
    if moved:
        connection.execute(_moving(dialect), {"given": plain_rows(moved)})
    if turned:
        statement = _noting(dialect) if watcher is None else _turning(dialect)
        connection.execute(statement, {"given": rows(connection, turned), **({"now": now} if watcher is None else {})})


def _moving_row(after: Task) -> dict[str, object]:
    return {
        "key": after.key,
        "upstream_status": after.upstream_status,
        "progress": after.progress,
        "sequence": after.sequence,
        "image_url": after.image_url,
    }


@cache
def _moving(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    new = given(dialect, "given", key=BigInteger(), **{name: task.c[name].type for name in _MOVING})
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
    note = case((task.c.watcher.is_not(None), bindparam("now", type_=UtcDateTime())))
    values = {name: new.c[name] for name in _TOLD}
    return update(task).where(task.c.key == new.c.key).values({**values, "refresh_at": note})
