"""Looking for tasks backwards, so far and no further: what a page asks, whatever is looked for and however rare it is.

No index knows prompts. Each look goes back from the newest task, or from where the last one stopped, through as many
rows as can be looked at while somebody waits, and says how far that was.
"""

import json
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Select, and_, func, or_, select

from tracker.model import Task
from tracker.store.rows import TASK_COLUMNS, task_of
from tracker.store.schema import callback, registration, snapshot, task
from tracker.store.searching_walk import (
    FEW,
    USUAL,
    Look,
    Path,
    Patience,
    Walk,
    along,
    along_words,
    is_given,
    start_below,
)
from tracker.store.tasks import Filter

__all__ = ["USUAL", "Filter", "Look", "Patience", "look"]


def look(connection: Connection, wanted: Filter, *, owner: str | None, patience: Patience = USUAL) -> Look[Task]:
    """Tasks that match, newest first; `q` is looked for in ids, in what the upstream said and in metadata.

    A task that is called exactly `q` comes first in the first look, besides the `limit` of others.
    """
    exact = _called(connection, wanted, owner) if wanted.q and wanted.before is None else []
    path, is_past_others = _path(connection, wanted, owner)
    reading = _reading(connection, wanted, owner)
    walk = Walk(path=path, made=_MADE, reading=reading, since=wanted.since, is_past_others=is_past_others)
    before = start_below(connection, _MADE, until=wanted.until, before=wanted.before)
    found = walk.look(connection, before=before, limit=wanted.limit, patience=patience)
    return replace(found, found=exact + [task_of(row) for row in found.found])


_MADE = (task.c.key, task.c.registered_at)


def _called(connection: Connection, wanted: Filter, owner: str | None) -> list[Task]:
    found: dict[int, Task] = {}
    for name in (task.c.id, task.c.task_id):
        query = select(*TASK_COLUMNS).where(name == wanted.q, *wanted.conditions(), _visible(owner))
        for row in connection.execute(query.order_by(task.c.key.desc()).limit(wanted.limit)):
            one = task_of(row)
            found.setdefault(one.key, one)
    return list(found.values())


def _visible(owner: str | None) -> ColumnElement[bool]:
    if owner is None:
        return and_(True)
    # As one value, looked up for each: as a join it would be left to the database how to go about it.
    mine = (registration.c.owner == owner, registration.c.task_key == task.c.key)
    return select(registration.c.owner).where(*mine).correlate(task).scalar_subquery().is_not(None)


def _path(connection: Connection, wanted: Filter, owner: str | None) -> tuple[Path, bool]:
    """By the index that leads past the fewest others; and whether it leads past those of other owners."""
    if wanted.task_id is not None:
        return along(select(task.c.key).where(task.c.task_id == wanted.task_id)), owner is not None
    if owner is not None:
        mine = along(select(registration.c.task_key).where(registration.c.owner == owner))
        if not wanted.status or len(mine(connection, wanted.before, FEW + 1)) <= FEW:
            return mine, False
    if wanted.status:
        return along_words(task.c.status, task.c.key, [str(one) for one in wanted.status]), owner is not None
    return along(select(task.c.key)), False


def _reading(connection: Connection, wanted: Filter, owner: str | None) -> Select[Any]:
    is_one = is_given(connection.dialect.name, task.c.key)
    query = select(*TASK_COLUMNS).where(is_one, *wanted.conditions(), _visible(owner))
    if wanted.q:
        others = and_(task.c.id != wanted.q, task.c.task_id != wanted.q)
        query = query.where(others, _mentions(connection.dialect.name, wanted.q, owner))
    return query.order_by(task.c.key.desc())


def _mentions(dialect: str, part: str, owner: str | None) -> ColumnElement[bool]:
    # In JSON a quotation mark has another one before it, so to say.
    written = json.dumps(part, ensure_ascii=False)[1:-1]
    # Each as one value, of one task: asked whether there is any, PostgreSQL may gather those of all tasks first.
    said = select(snapshot.c.object).where(snapshot.c.task_key == task.c.key).correlate(task)
    noted = select(func.max(_place_of(dialect, callback.c.metadata, written))).where(callback.c.task_key == task.c.key)
    if owner is not None:
        noted = noted.where(callback.c.owner == owner)
    texts = [(said.scalar_subquery(), written), (task.c.task_id, part)]
    if len(part) >= _SHORTEST_OF_AN_ID:
        texts.append((task.c.id, part))
    places = [noted.correlate(task).scalar_subquery(), *(_place_of(dialect, text, each) for text, each in texts)]
    return or_(*(place > 0 for place in places))


_SHORTEST_OF_AN_ID = 6
"""Whatever is shorter than that stands in many of our own ids, by chance."""


def _place_of(dialect: str, text: Any, part: str) -> ColumnElement[int]:  # noqa: ANN401 - a column, or a query for one
    """Where a text has a part, in capitals or not, 0 for nowhere; several times as fast as LIKE."""
    find = func.instr if dialect == "sqlite" else func.strpos
    return find(func.lower(text), func.lower(part), type_=Integer())
