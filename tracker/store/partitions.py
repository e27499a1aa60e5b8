"""The histories on PostgreSQL, a table for each month: made ahead, and dropped as a whole when nothing in it is kept.

Within a month `(task_key, sequence)` is unique; across months the writer's lock on the task sees to it. On SQLite there
is one table for all, and nothing to do.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

MONTHS_AHEAD = 3
DEFAULT = "event_default"
"""Holds what belongs to no month that there is a table for."""
_PATIENCE = "200ms"
"""How long we wait for a lock: whoever comes meanwhile waits behind us."""

_PARTS = text("""
    SELECT part.relname, pg_get_expr(part.relpartbound, part.oid) FROM pg_inherits
    JOIN pg_class part ON part.oid = inhrelid WHERE inhparent = to_regclass('event') ORDER BY 1
""")
_BOUNDS = re.compile(r"FOR VALUES FROM \((.+)\) TO \((.+)\)")
_KEPT = """
    WITH last AS MATERIALIZED (SELECT max(task_key) AS key FROM {part}),
    kept AS (
        SELECT task.key FROM task, last WHERE task.key <= last.key AND task.ended_at IS NULL
        UNION ALL SELECT task.key FROM task, last WHERE task.key <= last.key AND task.ended_at >= :ended_before
        UNION ALL SELECT delivery.task_key FROM delivery WHERE delivery.settled_at IS NULL
    )
    SELECT EXISTS (SELECT FROM kept WHERE EXISTS (SELECT FROM {part} part WHERE part.task_key = kept.key))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of the tables that the histories are kept in."""

    name: str
    starts_at: datetime | None
    """None for the first, which holds everything before its end."""
    ends_at: datetime


def parts(connection: Connection) -> list[Part]:
    """What there is, but the one for everything else; nothing on SQLite."""
    if connection.dialect.name == "sqlite":
        return []
    found = []
    for name, bounds in connection.execute(_PARTS):
        if said := _BOUNDS.fullmatch(bounds):
            starts_at, ends_at = (_moment(each) for each in said.groups())
            found.append(Part(name=name, starts_at=starts_at, ends_at=ends_at or datetime.max.replace(tzinfo=UTC)))
    return found


def _moment(said: str) -> datetime | None:
    return datetime.fromisoformat(said.strip("'")) if said.startswith("'") else None


def missing(connection: Connection, *, now: datetime) -> list[datetime]:
    """The months, this one and the next ones, that there is no table for."""
    there = parts(connection)
    if not there:
        return []
    months = [month_of(now)]
    while len(months) <= MONTHS_AHEAD:
        months.append(following(months[-1]))
    return [month for month in months if not any(_overlaps(part, month) for part in there)]


def _overlaps(part: Part, month: datetime) -> bool:
    return (part.starts_at is None or part.starts_at < following(month)) and month < part.ends_at


def month_of(moment: datetime) -> datetime:
    """The start of its month, in UTC."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def following(month: datetime) -> datetime:
    """The start of the month after."""
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)


def make(connection: Connection, month: datetime) -> bool:
    """Make the table of a month, and move into it what is in the default one; False where others hold it up."""
    return _briefly(connection, partial(_make, connection, month))


def _make(connection: Connection, month: datetime) -> bool:
    _lock(connection, events="SHARE ROW EXCLUSIVE")
    if month not in missing(connection, now=month):
        return True
    name, start, end = f"event_{month:%Y_%m}", month.isoformat(), following(month).isoformat()
    connection.exec_driver_sql(
        f"CREATE TABLE {name} (LIKE event INCLUDING DEFAULTS INCLUDING CONSTRAINTS, UNIQUE (task_key, sequence))"
    )
    range_ = f"observed_at >= '{start}' AND observed_at < '{end}'"
    connection.exec_driver_sql(f"INSERT INTO {name} SELECT * FROM {DEFAULT} WHERE {range_}")  # noqa: S608 - our words
    connection.exec_driver_sql(f"DELETE FROM {DEFAULT} WHERE {range_}")  # noqa: S608 - our words
    connection.exec_driver_sql(f"ALTER TABLE event ATTACH PARTITION {name} FOR VALUES FROM ('{start}') TO ('{end}')")
    return True


def _lock(connection: Connection, *, events: str) -> None:
    """Both tables, in the order in which everybody comes to them; nobody revives a task or adds a message meanwhile."""
    connection.exec_driver_sql("LOCK TABLE ONLY task IN SHARE ROW EXCLUSIVE MODE")
    connection.exec_driver_sql(f"LOCK TABLE ONLY event IN {events} MODE")


def make_ahead(connection: Connection, *, now: datetime) -> int:
    """Make what is missing for this month and the next ones; returns how many tables that were."""
    return sum(make(connection, month) for month in missing(connection, now=now))


def outlived(connection: Connection, *, ended_before: datetime) -> list[str]:
    """The tables of months that are over, and of which no task is kept that lives, ended later, or is still told."""
    return [
        part.name
        for part in parts(connection)
        if part.ends_at <= ended_before and not _is_needed(connection, part.name, ended_before)
    ]


def _is_needed(connection: Connection, name: str, ended_before: datetime) -> bool:
    query = text(_KEPT.format(part=name)).bindparams(ended_before=ended_before)
    return bool(connection.scalar(query))


def drop(connection: Connection, name: str, *, ended_before: datetime) -> bool:
    """Drop such a table, if that is still so; False where it is not, or where others hold it up."""
    return _briefly(connection, partial(_drop, connection, name, ended_before))


def _drop(connection: Connection, name: str, ended_before: datetime) -> bool:
    _lock(connection, events="ACCESS EXCLUSIVE")
    if name not in {part.name for part in parts(connection)} or _is_needed(connection, name, ended_before):
        return False
    connection.exec_driver_sql(f"DROP TABLE {name}")
    return True


_IN_THE_WAY = ("55P03", "57014", "40P01")
"""SQLSTATEs: lock timeout, statement timeout, deadlock."""


def _briefly(connection: Connection, work: Callable[[], bool]) -> bool:
    """All of it or nothing, and nothing where it would have to wait: there will be another time."""
    patience = connection.exec_driver_sql("SHOW lock_timeout").scalar_one()
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_PATIENCE}'")
            is_done = work()
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{patience}'")
            return is_done
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in _IN_THE_WAY:
            return False
        raise
