"""What happened last, counted row by row: for the time that nobody has added up yet. So far and no further."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Subquery, case, func, select, text

from tracker.model import ENDS, DeliveryStatus
from tracker.store.moments import UtcDateTime
from tracker.store.schema import delivery, task

MOST_COUNTED = 20_000
"""Entries of an index that the database counts by itself."""
MOST_LOOKED_UP = 2_000
"""Rows, each with its long texts, that it looks up to count them."""
MOST_READ = 1_000
"""Rows that are handed over."""
SETTLED = (str(DeliveryStatus.DELIVERED), str(DeliveryStatus.DEAD))
_ABOUT_AN_END = tuple(f"task.{status}" for status in ENDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is counted: a status of a minute, or how many seconds something took that was over at a moment."""

    at: datetime
    key: Any
    times: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """The newest, back to a moment or as many as are looked at."""

    found: Sequence[Row]
    is_all: bool
    """Whether there are no more since that moment."""


def ends(connection: Connection, *, since: datetime) -> Recent:
    """Tasks by the minute in which we saw them end."""
    newest = select(task.c.ended_at.label("at"), task.c.status).where(
        text("task.ended_at IS NOT NULL"), task.c.ended_at >= since
    )
    return _by_minute(connection, newest.order_by(task.c.ended_at.desc()), since, most=MOST_COUNTED)


def settled(connection: Connection, *, since: datetime) -> Recent:
    """Messages that arrived, and that were given up, by the minute of that."""
    found = [_by_minute(connection, _settled(status), since, most=MOST_LOOKED_UP) for status in SETTLED]
    return Recent(found=[row for part in found for row in part.found], is_all=all(part.is_all for part in found))


def _settled(status: str) -> Select[Any]:
    # Those with the highest keys: while there are few, an old one that was sent again is among them.
    newest = select(delivery.c.settled_at.label("at"), delivery.c.status).where(delivery.c.status == status)
    return newest.order_by(delivery.c.key.desc())


def _by_minute(connection: Connection, query: Select[Any], since: datetime, *, most: int) -> Recent:
    newest = query.limit(most).subquery("newest")
    minute = _minute(connection, newest).label("minute")
    columns = (minute, newest.c.status, func.count(), func.min(newest.c.at, type_=UtcDateTime()))
    rows = connection.execute(select(*columns).group_by(minute, newest.c.status)).all()
    gone_through = sum(row[2] for row in rows)
    is_all = gone_through < most or min(row[3] for row in rows) < since
    found = [Row(at=_moment(row[0]), key=row[1], times=row[2]) for row in rows]
    return Recent(found=[row for row in found if row.at + _A_MINUTE > since], is_all=is_all)


_A_MINUTE = timedelta(minutes=1)
_MINUTE = len("2026-11-22 08:00")


def _minute(connection: Connection, rows: Subquery) -> ColumnElement[Any]:
    if connection.dialect.name == "sqlite":
        return func.substr(rows.c.at, 1, _MINUTE)
    return func.date_trunc("minute", rows.c.at)


def _moment(minute: str | datetime) -> datetime:
    if isinstance(minute, str):
        return datetime.fromisoformat(minute).replace(tzinfo=UTC)
    return minute.astimezone(UTC)


def detected(connection: Connection, *, since: datetime) -> Recent:
    """How long after the end at the upstream we saw it, of the newest ends."""
    query = select(task.c.ended_at, task.c.finished_at).where(
        text("task.ended_at IS NOT NULL"), task.c.ended_at >= since
    )
    rows = connection.execute(query.order_by(task.c.ended_at.desc()).limit(MOST_READ)).all()
    return Recent(found=_lengths(rows), is_all=len(rows) < MOST_READ)


def arrived(connection: Connection, *, since: datetime) -> Recent:
    """How long after the end at the upstream the newest messages about an end had arrived."""
    told = (
        select(delivery.c.settled_at, _owed_since().label("finished_at"), delivery.c.key, delivery.c.created_at)
        .join(task, task.c.key == delivery.c.task_key)
        .where(delivery.c.status == str(DeliveryStatus.DELIVERED))
        .order_by(delivery.c.key.desc())
        .limit(MOST_READ)
    )
    rows = connection.execute(told).all()
    found = [row for row in rows if row.settled_at >= since]
    is_all = len(rows) < MOST_READ or rows[-1].created_at < since
    return Recent(found=_lengths([(row.settled_at, row.finished_at) for row in found]), is_all=is_all)


def _owed_since() -> ColumnElement[Any]:
    """Since when a message could have been there; of one about an end, and not where somebody registered later."""
    is_owed = delivery.c.message_type.in_(_ABOUT_AN_END) & (delivery.c.created_at <= task.c.ended_at)
    return case((is_owed, task.c.finished_at))


def _lengths(rows: Sequence[Any]) -> list[Row]:
    return [Row(at=end, key=(end - start).total_seconds()) for end, start in rows if start is not None]
