"""The table of daemons: who is there, who shows that it lives, who is gone and left tasks behind.

On Postgres, where several meet, the database's own clock decides who has been silent for too long. On SQLite there
is one, and its clock serves.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Text,
    and_,
    bindparam,
    delete,
    exists,
    false,
    func,
    insert,
    literal,
    select,
    text,
    true,
    update,
)

from tracker.store.dialect import insert_into
from tracker.store.moments import UtcDateTime
from tracker.store.schema import daemon, task

_THERE = text("NOT daemon.is_gone")
_IS_GONE = text("daemon.is_gone")
# Not now(): a transaction may have waited for a lock since it began.
_NOW = func.clock_timestamp(type_=DateTime(timezone=True))
_PRESENT = func.date_trunc("milliseconds", _NOW, type_=UtcDateTime())


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A daemon in the table."""

    id: str
    watching: Mapping[str, int]
    """How many tasks it watches, by upstream: of each that it is configured for."""
    is_gone: bool


def present(connection: Connection, now: datetime) -> ColumnElement[datetime]:
    """The present moment: the database's on Postgres, `now` on SQLite."""
    if connection.dialect.name == "sqlite":
        return literal(now, UtcDateTime)
    return _PRESENT


def what_time(connection: Connection) -> datetime:
    """The present moment by the clock of a Postgres."""
    moment: datetime = connection.execute(select(_PRESENT)).scalar_one()
    return moment


def join(
    connection: Connection,
    *,
    me: str,
    host: str,
    pid: int,
    version: str,
    now: datetime,
    tells_operator: bool = False,
    watching: Mapping[str, int] | None = None,
) -> datetime:
    """Enter a daemon into the table; returns the moment. Notices are written while one is there that `tells_operator`.

    `watching` names the upstreams that it is configured for, each with the number of tasks that it watches.
    """
    moment = present(connection, now)
    row: dict[str, Any] = {"id": me, "host": host, "pid": pid, "version": version, "tells_operator": tells_operator}
    row |= {"started_at": moment, "heartbeat_at": moment, "watching": _written(watching or {})}
    entered: datetime = connection.execute(insert(daemon).values(row).returning(daemon.c.heartbeat_at)).scalar_one()
    return entered


def beat(
    connection: Connection,
    *,
    me: str,
    now: datetime,
    watching: Mapping[str, int] | None = None,
    among: list[Member] | None = None,
) -> datetime | None:
    """Show that a daemon lives; returns the moment, None when it has been declared dead and must start anew.

    Who is in the table then is put into `among`, since to ask for it apart would cost as much again; not on SQLite,
    and not where it must start anew.
    """
    told = {"me": me, "now": now, **({} if watching is None else {"watching": _written(watching)})}
    dialect = connection.dialect.name
    said: datetime | None = connection.execute(_showing(dialect, watching is not None), told).scalar_one_or_none()
    if said is not None and among is not None and dialect != "sqlite":
        among[:] = company(connection)
    return said


@cache
def _showing(dialect: str, tells_watching: bool) -> Any:  # noqa: ANN401, FBT001 - a statement, built once
    moment = bindparam("now", type_=UtcDateTime()) if dialect == "sqlite" else _PRESENT
    values: dict[str, Any] = {"heartbeat_at": moment}
    if tells_watching:
        values["watching"] = bindparam("watching", type_=Text())
    shown = update(daemon).where(daemon.c.id == bindparam("me"), _THERE).values(values)
    return shown.returning(daemon.c.heartbeat_at)


def count(connection: Connection, *, who: str, watching: Mapping[str, int]) -> None:
    """Say how many tasks a daemon watches from now on, or one that is gone still has."""
    connection.execute(update(daemon).where(daemon.c.id == who).values(watching=_written(watching)))


def is_alive(connection: Connection, me: str) -> bool:
    """Whether a daemon has not been declared dead; if so it stays alive until this transaction ends."""
    return connection.scalar(_ALIVE, {"me": me}) is not None


# Asked with every set of changes: to build it anew takes longer than to ask it.
_ALIVE = select(daemon.c.id).where(daemon.c.id == bindparam("me"), _THERE).with_for_update(read=True, key_share=True)


def is_silent(dialect: str, silent_for: timedelta) -> ColumnElement[bool]:
    """That another daemon is taken for alive and has not shown itself for so long.

    Asks for `me`, who may just have woken up itself, and on SQLite for `silent_since`.
    """
    since = bindparam("silent_since", type_=UtcDateTime()) if dialect == "sqlite" else _NOW - silent_for
    return and_(_THERE, daemon.c.id != bindparam("me"), daemon.c.heartbeat_at < since)


def bury(connection: Connection, *, me: str, now: datetime, silent_for: timedelta) -> list[str]:
    """Declare dead who has been silent for too long, so that others can adopt its tasks; returns the ids."""
    which = is_silent(connection.dialect.name, silent_for)
    return _declare_gone(connection, which, {"me": me, "silent_since": now - silent_for})


def leave(connection: Connection, *, me: str) -> None:
    """Go; what is watched can be adopted by others at once."""
    _declare_gone(connection, daemon.c.id == me)
    forget(connection, [me])


def _declare_gone(
    connection: Connection, which: ColumnElement[bool], given: Mapping[str, object] | None = None
) -> list[str]:
    # FOR UPDATE waits for whatever these write just now, and what they begin afterwards sees that they are gone.
    query = select(daemon.c.id).where(which, _THERE).order_by(daemon.c.id)
    found = list(connection.scalars(query.with_for_update(), dict(given or {})))
    if found:
        gone = update(daemon).where(daemon.c.id.in_(found))
        connection.execute(gone.values(is_gone=true(), tells_operator=false()))
    return found


def forget(connection: Connection, ids: Sequence[str]) -> None:
    """Strike those out who are gone and have left nothing behind."""
    left = exists().where(text("task.watcher IS NOT NULL"), task.c.watcher == daemon.c.id)
    connection.execute(delete(daemon).where(daemon.c.id.in_(ids), _IS_GONE, ~left))


def find_strays(connection: Connection, *, now: datetime) -> list[str]:
    """Enter watchers that nobody knows, of a table put back by hand say, as gone; returns their ids."""
    known = set(connection.scalars(select(daemon.c.id)))
    strays = [name for name in _watchers(connection) if name not in known]
    moment = present(connection, now)
    for name in strays:
        row = {"id": name, "host": "", "pid": 0, "version": "", "started_at": moment, "heartbeat_at": moment}
        # One that has joined since then is there already.
        entered = insert_into(connection, daemon).values(**row, is_gone=True)
        connection.execute(entered.on_conflict_do_nothing(index_elements=["id"]))
    return strays


def _watchers(connection: Connection) -> list[str]:
    """Every name that watches something: one step through the index for each, however many tasks it has."""
    names: list[str] = []
    watched = select(task.c.watcher).where(text("watcher IS NOT NULL")).order_by(task.c.watcher).limit(1)
    step = watched
    while (name := connection.scalar(step)) is not None:
        names.append(name)
        step = watched.where(task.c.watcher > name)
    return names


def all_leave(connection: Connection) -> None:
    """Declare every daemon gone: for a database that only the caller can be serving."""
    _declare_gone(connection, true())


def last(connection: Connection) -> str | None:
    """Who showed itself last, gone or not."""
    name: str | None = connection.scalar(select(daemon.c.id).order_by(daemon.c.heartbeat_at.desc()).limit(1))
    return name


def silences(connection: Connection, *, now: datetime) -> tuple[timedelta, timedelta | None] | None:
    """How long ago any daemon showed itself, and any that is not gone; None where none ever did."""
    moment = present(connection, now)
    there = func.max(daemon.c.heartbeat_at).filter(_THERE)
    row = connection.execute(select(moment, func.max(daemon.c.heartbeat_at), there)).one()
    at, last_seen, there_seen = row
    if last_seen is None:
        return None
    return at - last_seen, None if there_seen is None else at - there_seen


def strike(connection: Connection, name: str) -> None:
    """Strike one out, whatever it watches: for whoever enters under the same name."""
    connection.execute(delete(daemon).where(daemon.c.id == name))


_COMPANY = select(daemon.c.id, daemon.c.watching, daemon.c.is_gone).order_by(daemon.c.id)


def company(connection: Connection) -> list[Member]:
    """Everybody in the table, by id."""
    rows = connection.execute(_COMPANY)
    return [Member(id=row.id, watching=json.loads(row.watching), is_gone=row.is_gone) for row in rows]


def took_from(connection: Connection, gone: str, taken: Mapping[str, int]) -> None:
    """Note how many tasks of each upstream were taken over from one that is gone; others wait until that is written."""
    query = select(daemon.c.watching).where(daemon.c.id == gone, _IS_GONE).with_for_update()
    if (had := connection.scalar(query)) is not None:
        rest = {name: max(number - taken.get(name, 0), 0) for name, number in json.loads(had).items()}
        count(connection, who=gone, watching=rest)


def _written(watching: Mapping[str, int]) -> str:
    return json.dumps(watching, separators=(",", ":"), sort_keys=True)
