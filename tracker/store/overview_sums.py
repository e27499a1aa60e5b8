"""What was added up already: sums of hours, and of days where whole days are asked for."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from tracker.store.overview_recent import SETTLED
from tracker.store.rollup_tables import DAILY, HOURLY, Measure
from tracker.store.rollups import day_of


class Sum(NamedTuple):
    """How often something happened, in the hour or on the day that began then."""

    at: datetime
    key: Any
    """A status, or a bound of `BOUNDS`."""
    times: int


def last_hour(connection: Connection) -> datetime | None:
    """The last hour that was added up, at a time when it was not over perhaps; None where there is none."""
    newest = [connection.scalar(select(func.max(table.c.hour))) for table in HOURLY.tables]
    return max((hour for hour in newest if hour is not None), default=None)


def ended(connection: Connection, begins: datetime, until: datetime, *, by_day: bool) -> Iterator[Sum]:
    """Tasks by the status that they ended in."""
    return _sums(connection, 0, "status", "tasks", begins, until, by_day=by_day)


def settled(connection: Connection, begins: datetime, until: datetime, *, by_day: bool) -> Iterator[Sum]:
    """Messages that arrived, and that were given up."""
    found = _sums(connection, 2, "status", "deliveries", begins, until, by_day=by_day)
    return (one for one in found if one.key in SETTLED)


def detected(connection: Connection, begins: datetime, until: datetime, *, by_day: bool) -> Iterator[Sum]:
    """How long after the end at the upstream we saw it."""
    return _sums(connection, 1, "up_to_seconds", "times", begins, until, Measure.FINISH_TO_DETECT, by_day=by_day)


def delivered(connection: Connection, begins: datetime, until: datetime, *, by_day: bool) -> Iterator[Sum]:
    """How long after the end at the upstream its message had arrived."""
    return _sums(connection, 1, "up_to_seconds", "times", begins, until, Measure.FINISH_TO_DELIVER, by_day=by_day)


def _sums(
    connection: Connection,
    table: int,
    key: str,
    counted: str,
    begins: datetime,
    until: datetime,
    measure: Measure | None = None,
    *,
    by_day: bool,
) -> Iterator[Sum]:
    parts: list[tuple[Any, Any, Any, Any]] = []
    hours, days = HOURLY.tables[table], DAILY.tables[table]
    if by_day:
        # Of the last day there may be hours that are counted anew, row by row.
        parts.append((days, days.c.day, begins.date(), day_of(until).date()))
        begins = max(begins, day_of(until))
    parts.append((hours, hours.c.hour, begins, until))
    for sums, starts, first, end in parts:
        query = select(starts, sums.c[key], func.sum(sums.c[counted])).where(starts >= first, starts < end)
        if measure is not None:
            query = query.where(sums.c.measure == str(measure))
        for at, what, times in connection.execute(query.group_by(starts, sums.c[key])):
            yield Sum(_start(at), what, int(times))


def _start(at: datetime | date) -> datetime:
    return at if isinstance(at, datetime) else datetime(at.year, at.month, at.day, tzinfo=UTC)
