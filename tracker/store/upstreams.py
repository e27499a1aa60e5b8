"""How upstreams are doing, as their watcher last saw it; written when that changes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from tracker.store.dialect import insert_into
from tracker.store.owners import LIVE
from tracker.store.schema import task, upstream


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How an upstream is doing."""

    name: str
    state: str = "ok"
    """`ok` or `paused`."""
    reason: str | None = None
    paused_until: datetime | None = None
    last_error: str | None = None
    last_error_at: datetime | None = None
    last_ok_at: datetime | None = None
    look_size: int | None = None
    """How many ids one request carries: 1 where the upstream has no list call."""


def write(connection: Connection, health: Health) -> None:
    """Keep what is known now."""
    row = {name: getattr(health, name) for name in Health.__slots__}
    statement = insert_into(connection, upstream).values(row)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=row))


def read(connection: Connection) -> dict[str, Health]:
    """What is known of each upstream, by name."""
    columns = [upstream.c[name] for name in Health.__slots__]
    rows = connection.execute(select(*columns))
    return {row.name: Health(**row._mapping) for row in rows}  # noqa: SLF001 - the documented name


def live_tasks(connection: Connection) -> dict[str, int]:
    """How many tasks without an end each upstream has."""
    at = task.c.upstream.concat("")
    query = select(at, func.count()).where(task.c.status.in_(LIVE)).group_by(at)
    found: Any = connection.execute(query)
    return {row[0]: row[1] for row in found}
