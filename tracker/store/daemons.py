"""The table of daemons: who is there, who shows that it lives, who is gone and left tasks behind.

On Postgres, where several meet, the database's own clock decides who has been silent for too long. On SQLite there
is one, and its clock serves.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Row,
    Text,
    and_,
    bindparam,
    delete,
    exists,
    false,
    func,
    insert,
    literal,
    or_,
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
    can_be_followed: bool = False
    """Whether another may go on under its name: where it has said which life it was."""

    def watches(self, upstreams: Collection[str]) -> int:
        """How many tasks of these it watches, or has left."""
        return sum(self.watching.get(name, 0) for name in upstreams)


def present(connection: Connection, now: datetime) -> ColumnElement[datetime]:
    """The present moment: the database's on Postgres, `now` on SQLite."""
    if connection.dialect.name == "sqlite":
        return literal(now, UtcDateTime)
    return _PRESENT


def what_time(connection: Connection) -> datetime:
    """The present moment by the clock of a Postgres."""
    moment: datetime = connection.execute(select(_PRESENT)).scalar_one()
    return moment


def join(  # noqa: PLR0913 - a row of its table
    connection: Connection,
    *,
    me: str,
    host: str,
    pid: int,
    version: str,
    now: datetime,
    tells_operator: bool = False,
    watching: Mapping[str, int] | None = None,
    life: str = "",
    place: str = "",
) -> datetime:
    """Enter a daemon into the table; returns the moment. Notices are written while one is there that `tells_operator`.

    `watching` names the upstreams that it is configured for, each with the number of tasks that it watches; `life`
    is a word that nobody else under this name ever had, and `place` one for where its `pid` is that of its process.
    """
    moment = present(connection, now)
    row: dict[str, Any] = {"id": me, "host": host, "pid": pid, "version": version, "tells_operator": tells_operator}
    row |= {
        "life": life,
        "place": place,
        "started_at": moment,
        "heartbeat_at": moment,
        "watching": _written(watching or {}),
    }
    entered: datetime = connection.execute(insert(daemon).values(row).returning(daemon.c.heartbeat_at)).scalar_one()
    return entered


def beat(
    connection: Connection,
    *,
    me: str,
    now: datetime,
    watching: Mapping[str, int] | None = None,
    among: list[Member] | None = None,
    life: str = "",
) -> datetime | None:
    """Show that a daemon lives; returns the moment, None when it has been declared dead and must start anew.

    Who is in the table then is put into `among`, since to ask for it apart would cost as much again; not on SQLite,
    and not where it must start anew.
    """
    told = {"me": me, "which": life, "now": now, **({} if watching is None else {"watching": _written(watching)})}
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
    ours = daemon.c.id == bindparam("me"), daemon.c.life == bindparam("which"), _THERE
    shown = update(daemon).where(*ours).values(values)
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


def bury_ended(connection: Connection, *, place: str, has_ended: Callable[[int], bool]) -> list[str]:
    """Declare dead whose process has ended at this place, by their ids there; returns their ids."""
    there = select(daemon.c.id, daemon.c.pid, daemon.c.life).where(_THERE, daemon.c.place == place)
    ended = [row for row in connection.execute(there) if has_ended(row.pid)]
    # Somebody may have gone on under the name of one of them since then.
    same = [and_(daemon.c.id == row.id, daemon.c.life == row.life) for row in ended]
    return _declare_gone(connection, or_(*same)) if same else []


def leave(connection: Connection, *, me: str, life: str = "", watching: Mapping[str, int] | None = None) -> None:
    """Go; what is watched (so many, where that is known) can be adopted by others at once."""
    if not _declare_gone(connection, and_(daemon.c.id == me, daemon.c.life == life)):
        return
    if watching is not None:
        count(connection, who=me, watching=watching)
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


def predecessor(
    connection: Connection, *, upstreams: Collection[str], now: datetime, silent_for: timedelta
) -> Member | None:
    """Whom a daemon that enters goes on as: of those who are gone the one that left the most of these; it is locked.

    None where another daemon lives, or just begins to adopt what was left, or to go on itself.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    since = literal(now - silent_for, UtcDateTime) if is_sqlite else _NOW - silent_for
    lives = daemon.alias("lives")
    company = exists().where(~lives.c.is_gone, lives.c.heartbeat_at >= since)
    # On SQLite there is no fence, and whoever could wake up would not have got the lock on the file.
    known = true() if is_sqlite else _HAS_LIFE
    left = _COMPANY.where(_IS_GONE, known, ~company).order_by(None).order_by(daemon.c.heartbeat_at.desc())
    gone = _members(connection.execute(left.with_for_update(of=daemon, skip_locked=True)))
    return max(gone, key=lambda member: member.watches(upstreams), default=None)


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


_HAS_LIFE = daemon.c.life != ""
_COMPANY = select(daemon.c.id, daemon.c.watching, daemon.c.is_gone, _HAS_LIFE.label("has_life")).order_by(daemon.c.id)


def company(connection: Connection) -> list[Member]:
    """Everybody in the table, by id."""
    return _members(connection.execute(_COMPANY))


def _members(rows: Iterable[Row[Any]]) -> list[Member]:
    return [
        Member(id=row.id, watching=json.loads(row.watching), is_gone=row.is_gone, can_be_followed=row.has_life)
        for row in rows
    ]


def left_by(connection: Connection, gone: str) -> Mapping[str, int] | None:
    """How many tasks of each upstream one that is gone still has; None where it is not gone, or not any more.

    Nobody else takes over any of them, or goes on under its name, until this is committed.
    """
    query = select(daemon.c.watching).where(daemon.c.id == gone, _IS_GONE).with_for_update()
    had = connection.scalar(query)
    return None if had is None else json.loads(had)


def took_from(connection: Connection, gone: str, had: Mapping[str, int], taken: Mapping[str, int]) -> None:
    """Note how many tasks of each upstream were taken over from one that is gone, of those that `left_by` told."""
    count(connection, who=gone, watching={name: max(number - taken.get(name, 0), 0) for name, number in had.items()})


def _written(watching: Mapping[str, int]) -> str:
    return json.dumps(watching, separators=(",", ":"), sort_keys=True)
