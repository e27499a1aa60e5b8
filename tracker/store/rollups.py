"""Adding up what happened in an hour, and the hours of a day.

An hour is counted anew as a whole, by a reader, and written only where it differs from what is there: done twice it is
the same as once, and what comes late is counted with it. Each task counts in the hour in which we saw it end, each
message in the one in which it was settled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Select,
    Table,
    case,
    cast,
    delete,
    extract,
    func,
    insert,
    literal,
    select,
    text,
    true,
)

from tracker.model import ENDS
from tracker.store.rollup_tables import BOUNDS, DAILY, HOURLY, Measure
from tracker.store.schema import delivery, task

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
_LOCK = 0x7472_6163_6B65_73
"""Two janitors that write the same hour do so one after the other."""
_ABOUT_AN_END = tuple(f"task.{status}" for status in ENDS)
# Literals, so that the partial indexes serve.
_HAS_ENDED = text("task.ended_at IS NOT NULL")
_IS_SETTLED = text("delivery.settled_at IS NOT NULL")

Rows = dict[tuple[Any, ...], tuple[Any, ...]]
"""What is counted, by what it is counted for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """What there is to say of one hour, in the order of `HOURLY.tables`."""

    starts_at: datetime
    tasks: Rows
    durations: Rows
    deliveries: Rows

    @property
    def rows(self) -> tuple[Rows, Rows, Rows]:
        """One for each table."""
        return self.tasks, self.durations, self.deliveries


def hour_of(moment: datetime) -> datetime:
    """The start of its hour."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def day_of(moment: datetime) -> datetime:
    """The start of its day, in UTC."""
    return hour_of(moment).replace(hour=0)


def newest(connection: Connection) -> tuple[datetime | None, datetime | None]:
    """The last hour that was added up; and the end of the last day, for the time when its hours are forgotten."""
    hours = [connection.scalar(select(func.max(table.c.hour))) for table in (HOURLY.tasks, HOURLY.deliveries)]
    days = [connection.scalar(select(func.max(table.c.day))) for table in (DAILY.tasks, DAILY.deliveries)]
    last_day = max((day for day in days if day is not None), default=None)
    ends_at = last_day and datetime(last_day.year, last_day.month, last_day.day, tzinfo=UTC) + DAY
    return max((hour for hour in hours if hour is not None), default=None), ends_at


def next_hour(connection: Connection, since: datetime | None) -> datetime | None:
    """The first hour, from this moment on or of all, in which something happened or is said to have; None for none."""
    moments: list[tuple[ColumnElement[Any], Any]] = [
        (task.c.ended_at, _HAS_ENDED),
        (delivery.c.settled_at, _IS_SETTLED),
        *((table.c.hour, true()) for table in HOURLY.tables),
    ]
    firsts = []
    for column, is_there in moments:
        query = select(column).where(is_there).order_by(column).limit(1)
        firsts.append(connection.scalar(query if since is None else query.where(column >= since)))
    first = min((moment for moment in firsts if moment is not None), default=None)
    return first and hour_of(first)


def count(connection: Connection, hour: datetime) -> Hour | None:
    """What happened in an hour; None where that is written already."""
    ended = (_HAS_ENDED, task.c.ended_at >= hour, task.c.ended_at < hour + HOUR)
    settled = (_IS_SETTLED, delivery.c.settled_at >= hour, delivery.c.settled_at < hour + HOUR)
    tasks = select(task.c.upstream, task.c.status, func.count()).where(*ended)
    told = select(task.c.upstream, delivery.c.message_type, delivery.c.status, func.count())
    told = told.join_from(delivery, task, task.c.key == delivery.c.task_key).where(*settled)
    durations: Rows = {}
    for measure, (start, end) in _LIVES.items():
        lasted = _durations(connection, measure, start, end).select_from(task).where(*ended)
        durations |= _read(connection, lasted, keys=4)
    arrived = _durations(connection, Measure.FINISH_TO_DELIVER, task.c.finished_at, delivery.c.settled_at)
    arrived = arrived.join_from(delivery, task, task.c.key == delivery.c.task_key).where(*settled)
    # Who registered after the end was told late by nobody's fault.
    # As an expression: else SQLite would walk all that was ever delivered.
    arrived = arrived.where(delivery.c.status.concat("") == "delivered", delivery.c.created_at <= task.c.ended_at)
    durations |= _read(connection, arrived.where(delivery.c.message_type.in_(_ABOUT_AN_END)), keys=4)
    found = Hour(
        starts_at=hour,
        tasks=_read(connection, tasks.group_by(task.c.upstream, task.c.status), keys=2),
        durations=durations,
        deliveries=_read(
            connection, told.group_by(task.c.upstream, delivery.c.message_type, delivery.c.status), keys=3
        ),
    )
    return None if found == _written(connection, hour) else found


_LIVES: Mapping[Measure, tuple[ColumnElement[Any], ColumnElement[Any]]] = {
    Measure.QUEUED: (task.c.submitted_at, task.c.started_at),
    Measure.RUNNING: (task.c.started_at, task.c.finished_at),
    Measure.FINISH_TO_DETECT: (task.c.finished_at, task.c.ended_at),
}


def _durations(
    connection: Connection, measure: Measure, start: ColumnElement[Any], end: ColumnElement[Any]
) -> Select[Any]:
    if connection.dialect.name == "sqlite":
        seconds: ColumnElement[Any] = (func.julianday(end) - func.julianday(start)) * 86400.0
    else:
        seconds = cast(extract("epoch", end - start), Double)
    # Clocks differ: what took less than nothing took no time.
    lasted = case((seconds < 0, 0.0), else_=seconds)
    bound = case(*((seconds <= most, most) for most in BOUNDS[:-1]), else_=BOUNDS[-1]).label("bound")
    columns = (task.c.upstream, task.c.status, literal(str(measure)).label("measure"), bound)
    query = select(*columns, func.count(), func.sum(lasted)).where(start.is_not(None), end.is_not(None))
    return query.group_by(task.c.upstream, task.c.status, text("bound"))


def _read(connection: Connection, query: Select[Any], *, keys: int) -> Rows:
    return {
        tuple(row[:keys]): tuple(round(each, 3) if isinstance(each, float) else each for each in row[keys:])
        for row in connection.execute(query)
    }


def _written(connection: Connection, hour: datetime) -> Hour:
    found = []
    for table in HOURLY.tables:
        columns = [column for column in table.c if column.name != "hour"]
        keys = sum(column.primary_key for column in columns)
        found.append(_read(connection, select(*columns).where(table.c.hour == hour), keys=keys))
    tasks, durations, deliveries = found
    return Hour(starts_at=hour, tasks=tasks, durations=durations, deliveries=deliveries)


def keep(connection: Connection, hour: Hour) -> None:
    """Write an hour, and its day anew."""
    if connection.dialect.name != "sqlite":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    for table, counted in zip(HOURLY.tables, hour.rows, strict=True):
        connection.execute(delete(table).where(table.c.hour == hour.starts_at))
        names = [column.name for column in table.c]
        if rows := [
            dict(zip(names, (hour.starts_at, *key, *values), strict=True)) for key, values in sorted(counted.items())
        ]:
            connection.execute(insert(table), rows)
    _add_up(connection, day_of(hour.starts_at))


def _add_up(connection: Connection, start: datetime) -> None:
    for hours, days in zip(HOURLY.tables, DAILY.tables, strict=True):
        connection.execute(delete(days).where(days.c.day == start.date()))
        keys = [column for column in hours.c if column.primary_key and column.name != "hour"]
        sums = [func.sum(column) for column in hours.c if not column.primary_key]
        query = select(literal(start.date(), days.c.day.type), *keys, *sums)
        query = query.where(hours.c.hour >= start, hours.c.hour < start + DAY).group_by(*keys)
        connection.execute(insert(days).from_select([column.name for column in days.c], query))


def has_hours(connection: Connection, *, before: datetime) -> bool:
    """Whether there are any before a moment."""
    return any(
        connection.execute(select(table.c.hour).where(table.c.hour < before).limit(1)).one_or_none() is not None
        for table in HOURLY.tables
    )


def forget_hours(connection: Connection, *, before: datetime) -> int:
    """Delete the hours, not the days, before a moment; returns how many rows that were."""
    return sum(connection.execute(delete(table).where(table.c.hour < before)).rowcount for table in HOURLY.tables)


def total(connection: Connection, table: Table, counted: str) -> tuple[dict[str, int], datetime | None]:
    """What all hours but the last one come to, by status; and since when the rest has to be counted."""
    last = connection.scalar(select(func.max(table.c.hour)))
    if last is None:
        return {}, None
    query = select(table.c.status, func.sum(table.c[counted])).where(table.c.hour < last).group_by(table.c.status)
    return {row[0]: int(row[1]) for row in connection.execute(query)}, last
