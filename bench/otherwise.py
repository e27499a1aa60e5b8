"""Pollers as they are usually written, for comparison: each looks once at some tasks and returns how many that was."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
from sqlalchemy import create_engine, make_url, select, update
from sqlalchemy.orm import Session, registry

from tracker.store.schema import task

_TASKS = 2_000
_LIST = 500


class _Task:
    """A row that is an object."""

    progress: int
    upstream_status: str


registry().map_imperatively(_Task, task)


def with_orm(url: str, base: str) -> int:
    """One task after the other: load its object, compare, save it, commit."""
    engine = create_engine(make_url(url))
    with httpx.Client(trust_env=False) as client:
        for found in _lists(client, base, [f"t{number}" for number in range(_TASKS)]):
            with Session(engine) as session, session.begin():
                row = session.scalars(select(_Task).where(task.c.task_id == found["id"])).one()
                row.progress = int(found["progress"][:-1])
                row.upstream_status = found["status"]
    engine.dispose()
    return _TASKS


def by_rows(url: str, base: str) -> int:
    """All that is unfinished, by lists; what differs is updated row by row, each in a transaction of its own."""
    engine = create_engine(make_url(url))
    unfinished = select(task.c.key, task.c.task_id, task.c.progress, task.c.upstream_status)
    with engine.connect() as connection:
        rows = {row.task_id: row for row in connection.execute(unfinished.where(task.c.ended_at.is_(None)))}
    with httpx.Client(trust_env=False) as client:
        for found in _lists(client, base, list(rows)):
            row, progress = rows[found["id"]], int(found["progress"][:-1])
            if (row.progress, row.upstream_status) != (progress, found["status"]):
                with engine.begin() as connection:
                    connection.execute(update(task).where(task.c.key == row.key).values(progress=progress))
    engine.dispose()
    return len(rows)


def _lists(client: httpx.Client, base: str, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    for start in range(0, len(ids), _LIST):
        content = json.dumps({"ids": ids[start : start + _LIST]})
        yield from client.post(f"{base}/task/list-by-condition", content=content, timeout=60).json()
