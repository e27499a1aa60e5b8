"""Who watches which task: daemons join, show that they live, adopt tasks, and let go of them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    exists,
    insert,
    or_,
    select,
    text,
    update,
)

from tracker.model import EventKind, Status
from tracker.store.schema import daemon, event, task


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """What a daemon keeps in memory of a task it watches."""

    key: int
    upstream: str
    task_id: str
    registered_at: datetime
    has_ended: bool
    is_let_go: bool = False
    """Somebody ended it while it was watched; nobody asks for another look."""


_ADOPTED = (
    task.c.key,
    task.c.upstream,
    task.c.task_id,
    task.c.registered_at,
    task.c.ended_at,
    task.c.sequence,
    task.c.watcher,
)
# Literal predicates, so that the partial indexes are used whatever the plan.
_UNWATCHED = text("watcher IS NULL AND ended_at IS NULL")
_NOTED = text("refresh_at IS NOT NULL")
_HAS_ENDED = text("ended_at IS NOT NULL")
# Said so that no index serves: else SQLite would rather walk all tasks of an upstream, or all that somebody watches.
_at = task.c.upstream.concat("")
_by = task.c.watcher.concat("")


def _for(me: str | ColumnElement[str], upstreams: Any) -> ColumnElement[bool]:  # noqa: ANN401 - names, or a bind
    """Notes for this daemon: about what it watches, and about ended tasks that nobody does."""
    return or_(_by == me, and_(text("watcher IS NULL"), _at.in_(upstreams), _HAS_ENDED))


# Built once: it is asked all the time, also when there is nothing to do.
_OURS: BindParameter[list[str]] = bindparam("upstreams", expanding=True)
_HAS_WORK = select(
    or_(
        exists().where(_UNWATCHED, _at.in_(_OURS)),
        exists().where(_NOTED, _for(bindparam("me"), _OURS)),
    )
)


def join(
    connection: Connection, *, me: str, host: str, pid: int, version: str, now: datetime, tells_operator: bool = False
) -> None:
    """Enter a daemon into the table of daemons; notices are written while one is there that `tells_operator`."""
    row = {"id": me, "host": host, "pid": pid, "version": version, "started_at": now, "heartbeat_at": now}
    connection.execute(insert(daemon).values(**row, tells_operator=tells_operator))


def beat(connection: Connection, *, me: str, now: datetime) -> bool:
    """Show that a daemon lives; False when it has been declared dead, so that it must start anew."""
    return connection.execute(update(daemon).where(daemon.c.id == me).values(heartbeat_at=now)).rowcount == 1


def is_alive(connection: Connection, me: str) -> bool:
    """Whether a daemon is in the table; if so it stays there until this transaction ends."""
    query = select(daemon.c.id).where(daemon.c.id == me)
    return connection.scalar(query.with_for_update(read=True, key_share=True)) is not None


def bury(connection: Connection, *, silent_since: datetime) -> list[str]:
    """Release the tasks of daemons that have been silent for too long; returns their ids."""
    dead = list(connection.scalars(select(daemon.c.id).where(daemon.c.heartbeat_at < silent_since).with_for_update()))
    for gone in dead:
        leave(connection, me=gone)
    return dead


def leave(connection: Connection, *, me: str) -> None:
    """Let go of everything a daemon watches, and of the daemon."""
    # In this order: the deletion waits for an adoption that is being written, whose tasks are then released too.
    connection.execute(delete(daemon).where(daemon.c.id == me))
    connection.execute(update(task).where(_watched_by(me)).values(watcher=None))


def leave_all(connection: Connection) -> None:
    """Forget every daemon: for a database that only the caller can be serving."""
    connection.execute(update(task).where(text("watcher IS NOT NULL")).values(watcher=None))
    connection.execute(delete(daemon))


def adopt(connection: Connection, *, me: str, upstreams: Collection[str], limit: int, now: datetime) -> list[Adopted]:
    """Take up to `limit` unwatched tasks of these upstreams, oldest first; other daemons skip what is locked here.

    A daemon that has been declared dead takes nothing: nobody would ever release what it watches.
    """
    if not is_alive(connection, me):
        return []
    free = select(task.c.key).where(_UNWATCHED, _at.in_(upstreams)).order_by(task.c.key).limit(limit)
    chosen = list(connection.scalars(free.with_for_update(skip_locked=True)))
    if not chosen:
        return []
    taken = update(task).where(task.c.key.in_(chosen)).values(watcher=me, refresh_at=None)
    rows = connection.execute(taken.returning(*_ADOPTED)).all()
    _note_registration(connection, [row.key for row in rows if row.sequence == 0], now)
    return [_adopted(row) for row in rows]


def has_work(connection: Connection, *, me: str, upstreams: Collection[str]) -> bool:
    """Whether there is anything to adopt or a note to read; cheap enough to be asked all the time."""
    found = connection.scalar(_HAS_WORK, {"me": me, "upstreams": list(upstreams)})
    return bool(found)


def noted(connection: Connection, *, me: str, upstreams: Collection[str], limit: int) -> list[Adopted]:
    """Take the notes left for a daemon: look now, or (for a task that has ended meanwhile) let go."""
    found = select(*_ADOPTED).where(_NOTED, _for(me, upstreams)).order_by(task.c.refresh_at).limit(limit)
    rows = connection.execute(found.with_for_update(skip_locked=True)).all()
    if rows:
        keys = [row.key for row in rows]
        connection.execute(update(task).where(task.c.key.in_(keys)).values(refresh_at=None))
        ended = and_(task.c.key.in_(keys), task.c.watcher == me, _HAS_ENDED)
        connection.execute(update(task).where(ended).values(watcher=None))
    return [_adopted(row) for row in rows]


def _watched_by(me: str) -> ColumnElement[bool]:
    return and_(text("watcher IS NOT NULL"), task.c.watcher == me)


def _adopted(row: Any) -> Adopted:  # noqa: ANN401 - a row of _ADOPTED
    return Adopted(
        key=row.key,
        upstream=row.upstream,
        task_id=row.task_id,
        registered_at=row.registered_at,
        has_ended=row.ended_at is not None,
        is_let_go=row.ended_at is not None and row.watcher is not None,
    )


def _note_registration(connection: Connection, keys: Sequence[int], now: datetime) -> None:
    """The first event of tasks that were inserted by plain SQL."""
    if not keys:
        return
    first = {"sequence": 1, "event": str(EventKind.REGISTERED), "observed_at": now, "to_status": str(Status.QUEUED)}
    connection.execute(insert(event), [{"task_key": key, **first} for key in keys])
    connection.execute(update(task).where(task.c.key.in_(keys)).values(sequence=1))
