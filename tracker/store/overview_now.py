"""How things stand just now: who watches, what goes on, what waits, which receivers are in trouble."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, or_, select

from tracker.model import DeliveryStatus, EndpointState, Task
from tracker.store import daemons, receivers
from tracker.store.owners import LIVE, oldest_live
from tracker.store.receivers import Count, EndpointLine
from tracker.store.rows import TASK_COLUMNS, task_of
from tracker.store.schema import daemon, delivery, endpoint, registration, task

MOST_COUNTED = 10_000
"""Of what is counted one by one; people read more than that as many."""
MOST_OF_AN_OWNER = 2_000
"""Registrations of an owner that are looked at, to find those that have not ended."""
MOST_SHOWN = 10
_MOST_ENDPOINTS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonLine:
    """A daemon, as told to people."""

    id: str
    host: str
    pid: int
    version: str
    started_at: datetime
    heartbeat_at: datetime
    silent_for: timedelta
    """Since when it has shown no sign of life, by the clock that decides about that."""
    is_gone: bool
    watching: Mapping[str, int]
    """How many tasks it watches, by upstream."""


def watchers(connection: Connection, *, now: datetime) -> list[DaemonLine]:
    """Who is in the table, the last sign of life first."""
    names = [name for name in DaemonLine.__slots__ if name not in ("silent_for", "watching")]
    columns = (
        *(daemon.c[name] for name in names),
        daemon.c.watching,
        daemons.present(connection, now).label("present"),
    )
    rows = connection.execute(select(*columns).order_by(daemon.c.heartbeat_at.desc()).limit(100))
    return [
        DaemonLine(
            **{name: getattr(row, name) for name in names},
            silent_for=row.present - row.heartbeat_at,
            watching=json.loads(row.watching),
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unended:
    """Tasks that go on."""

    counts: Mapping[str, Count]
    """By status."""
    oldest: Sequence[Task]
    """Those that were registered first."""
    is_all: bool
    """Whether all of them were looked at; where not, of an owner's, there may be more and others."""


def unended(connection: Connection, *, owner: str | None) -> Unended:
    """The tasks without an end: how many there are, and the oldest of them."""
    return _unended(connection) if owner is None else _unended_of(connection, owner)


def _unended(connection: Connection) -> Unended:
    counts, oldest = {}, []
    for status in LIVE:
        here = select(task.c.key).where(task.c.status == status).order_by(task.c.key)
        counts[status] = _counted(connection, here)
        first = select(*TASK_COLUMNS).where(task.c.status == status).order_by(task.c.key).limit(MOST_SHOWN)
        oldest += [task_of(row) for row in connection.execute(first)]
    return Unended(counts=counts, oldest=_first(oldest), is_all=True)


def _first(tasks: Collection[Task]) -> list[Task]:
    return sorted(tasks, key=lambda one: (one.registered_at, one.key))[:MOST_SHOWN]


def _counted(connection: Connection, query: Any) -> Count:  # noqa: ANN401 - a query of any rows
    few = query.limit(MOST_COUNTED + 1).subquery("few")
    found = connection.execute(select(func.count()).select_from(few)).scalar_one()
    return Count(found=min(found, MOST_COUNTED), is_all=found <= MOST_COUNTED)


def _unended_of(connection: Connection, owner: str) -> Unended:
    """Among its first registrations since the oldest live task of anybody."""
    beginning = oldest_live(connection)
    if beginning is None:
        return Unended(counts={status: Count(found=0, is_all=True) for status in LIVE}, oldest=[], is_all=True)
    mine = select(*TASK_COLUMNS).join(registration, registration.c.task_key == task.c.key)
    mine = mine.where(registration.c.owner == owner, registration.c.task_key >= beginning)
    rows = connection.execute(mine.order_by(registration.c.task_key).limit(MOST_OF_AN_OWNER)).all()
    live = [one for one in map(task_of, rows) if one.ended_at is None]
    is_all = len(rows) < MOST_OF_AN_OWNER
    counts = {status: Count(found=sum(one.status == status for one in live), is_all=is_all) for status in LIVE}
    return Unended(counts=counts, oldest=_first(live), is_all=is_all)


def count_messages(connection: Connection, status: DeliveryStatus, *, owner: str | None) -> Count:
    """How many messages have a status; with an owner, of that owner's among the newest of all."""
    those = select(delivery.c.callback_key).where(delivery.c.status == str(status)).order_by(delivery.c.key.desc())
    return _counted(connection, those) if owner is None else receivers.counted(connection, those, owner=owner)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """An endpoint that rests, or that failed last, and what waits for it."""

    endpoint: EndpointLine
    waiting: Count


def in_trouble(connection: Connection, *, owner: str | None, among: Collection[int] | None = None) -> list[Trouble]:
    """Endpoints that are paused, disabled or failing, newest first; `among` these where somebody sees only some.

    With an owner, only that owner's messages are counted.
    """
    names = [name for name in EndpointLine.__slots__ if name != "waiting"]
    newest = select(*(endpoint.c[name] for name in names)).order_by(endpoint.c.key.desc())
    if among is not None:
        newest = newest.where(endpoint.c.key.in_(among))
    known = newest.limit(_MOST_ENDPOINTS).subquery("known")
    bad = select(known).where(or_(known.c.state != str(EndpointState.ACTIVE), known.c.failures > 0))
    found = []
    for row in connection.execute(bad.order_by(known.c.key.desc()).limit(MOST_SHOWN)).all():
        count = receivers.waiting(connection, row.key, owner=owner)
        line = EndpointLine(**row._mapping, waiting=count.found)  # noqa: SLF001 - the documented name
        found.append(Trouble(endpoint=line, waiting=count))
    return found
