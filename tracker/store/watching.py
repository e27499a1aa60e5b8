"""Who watches which task: daemons adopt tasks that nobody watches, find notes about theirs, and give tasks back.

A task is free when nobody watches it, or when its watcher is gone. Both are adopted by one write for each task, in the
order of keys, from a key onwards: nobody walks twice over what was taken before, which an old snapshot that somebody
holds open would keep in the index.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Integer,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal_column,
    or_,
    select,
    text,
    true,
    update,
)

from tracker.model import EventKind, Status
from tracker.store.adopted import ADOPTED, Adopted, Row, asked_for, live, read
from tracker.store.daemons import beat, bury, forget, is_alive, join, leave, left_by, took_from
from tracker.store.given import among, given, plain_rows
from tracker.store.schema import event, task

__all__ = ["Adopted", "Batch", "adopt_free", "adopt_left", "beat", "bury", "is_alive", "join", "leave"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one step of adopting found."""

    taken: Sequence[Adopted]
    left: int
    """How many were free and are left to others."""
    last: int | None = None
    """The last key that was looked at; there may be more behind it. None where there was nothing."""


NOTHING = Batch(taken=(), left=0)


# Literal predicates, so that the partial indexes are used whatever the plan.
UNWATCHED = text("task.watcher IS NULL AND task.ended_at IS NULL")
WATCHED = text("task.watcher IS NOT NULL")
_NOTED = text("task.refresh_at IS NOT NULL AND task.refresh_at BETWEEN '0001-01-01' AND '9999-12-31'")
"""Between two moments, so that Postgres takes them for few whatever it has counted, and goes by their index."""
_HAS_ENDED = text("task.ended_at IS NOT NULL")


def _for(me: str | ColumnElement[str], upstreams: Any) -> ColumnElement[bool]:  # noqa: ANN401 - names, or a bind
    """Notes for this daemon: about what it watches, and about what nobody does.

    Said so that no other index serves: the notes are few, what is watched is everything.
    """
    nobodys = and_(text("task.watcher IS NULL"), (task.c.upstream + "").in_(upstreams))
    return or_(task.c.watcher + "" == me, nobodys)


_OURS: BindParameter[list[str]] = bindparam("upstreams", expanding=True)


def is_noted(upstreams: Sequence[BindParameter[str]]) -> ColumnElement[bool]:
    """That there is a note for the daemon `me`, which is configured for these."""
    return and_(_NOTED, _for(bindparam("me"), upstreams))


Room = Callable[[int], int]
"""How many of so many free tasks a daemon takes."""


def adopt_free(
    connection: Connection, *, me: str, upstream: str, above: int, limit: int, room: Room, now: datetime
) -> Batch:
    """Take as many as there is room for of the next `limit` tasks of an upstream that nobody watches.

    Others skip what is locked here. A daemon that has been declared dead takes nothing: nobody would ever release
    what it watches.
    """
    if not is_alive(connection, me):
        return NOTHING
    with in_order(connection):
        found = read(connection, _free(limit), {"upstream": upstream, "above": above})
    return _take(connection, found, found[: room(len(found))], me=me, now=now)


@cache
def _free(limit: int) -> Any:  # noqa: ANN401 - a statement, built once
    free = select(*ADOPTED).where(
        UNWATCHED, task.c.upstream == bindparam("upstream"), task.c.key > bindparam("above", type_=BigInteger())
    )
    return free.order_by(task.c.key).limit(literal_column(str(limit), Integer)).with_for_update(skip_locked=True)


def adopt_left(
    connection: Connection, *, me: str, gone: str, room: Mapping[str, int], above: int, limit: int, now: datetime
) -> Batch:
    """The same of what a daemon that is gone has left behind: as many of each upstream as there is room for.

    What we do not watch is let go of.
    """
    if not is_alive(connection, me) or (had := left_by(connection, gone)) is None:
        return NOTHING
    with in_order(connection):
        found = read(connection, _left(limit), {"gone": gone, "above": above})
    if not found and not above:
        forget(connection, [gone])
    ours = {name: [row for row in found if row.upstream == name and row.ended_at is None] for name in room}
    taken = sorted((row for name, most in room.items() for row in ours[name][: max(most, 0)]), key=lambda row: row.key)
    elsewhere = [row.key for row in found if row.ended_at is not None or row.upstream not in room]
    if elsewhere:
        keys = plain_rows({"key": key} for key in elsewhere)
        connection.execute(_letting_go(connection.dialect.name), {"given": keys})
    if taken:
        took_from(connection, gone, had, Counter(row.upstream for row in taken))
    batch = _take(connection, found, taken, me=me, now=now)
    return replace(batch, left=batch.left - len(elsewhere))


@cache
def _left(limit: int) -> Any:  # noqa: ANN401 - a statement, built once
    left = select(*ADOPTED).where(
        WATCHED, task.c.watcher == bindparam("gone"), task.c.key > bindparam("above", type_=BigInteger())
    )
    return left.order_by(task.c.key).limit(literal_column(str(limit), Integer)).with_for_update(skip_locked=True)


@contextmanager
def in_order(connection: Connection) -> Iterator[None]:
    """Have Postgres walk along the index that has the order, from its mark to the limit.

    Where it has not counted how many tasks a daemon watches it would take them for few, and read and sort them all.
    """
    if connection.dialect.name == "sqlite":
        yield
        return
    for state in ("off", "on"):
        connection.execute(_PLANNING, {"state": state}).close()
        if state == "off":
            yield


_PLANNING = select(
    *(func.set_config(f"enable_{way}", bindparam("state"), true()) for way in ("bitmapscan", "seqscan", "sort"))
)


def mine(connection: Connection, *, me: str, above: int, limit: int) -> list[Adopted]:
    """The next `limit` tasks that a daemon watches already, by what the database says: in one transaction."""
    with in_order(connection):
        return [live(row) for row in read(connection, _mine(limit), {"me": me, "above": above})]


@cache
def _mine(limit: int) -> Any:  # noqa: ANN401 - a statement, built once
    mine = select(*ADOPTED).where(
        WATCHED, task.c.watcher == bindparam("me"), task.c.key > bindparam("above", type_=BigInteger())
    )
    return mine.where(text("task.ended_at IS NULL")).order_by(task.c.key).limit(literal_column(str(limit), Integer))


def _take(connection: Connection, found: Sequence[Row], ours: Sequence[Row], *, me: str, now: datetime) -> Batch:
    if not found:
        return NOTHING
    take(connection, [(row.key, row.sequence) for row in ours], me=me, now=now, answers_notes=True)
    return Batch(taken=[live(row) for row in ours], left=len(found) - len(ours), last=found[-1].key)


def take(
    connection: Connection, found: Sequence[tuple[int, int]], *, me: str, now: datetime, answers_notes: bool = False
) -> None:
    """Watch tasks that are free and locked, told by key and sequence; `answers_notes` where each is looked at now."""
    if not found:
        return
    keys = plain_rows({"key": key} for key, _ in found)
    connection.execute(_taking(connection.dialect.name, answers_notes), {"given": keys, "me": me})
    note_registration(connection, [key for key, sequence in found if sequence == 0], now)


@cache
def _taking(dialect: str, answers_notes: bool) -> Any:  # noqa: ANN401, FBT001 - a statement, built once
    keys = given(dialect, "given", key=BigInteger())
    taken = update(task).where(among(dialect, task.c.key, keys)).values(watcher=bindparam("me"))
    return taken.values(refresh_at=None) if answers_notes else taken


@cache
def _letting_go(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    keys = given(dialect, "given", key=BigInteger())
    return update(task).where(task.c.key.in_(select(keys.c.key))).values(watcher=None)


def give_back(connection: Connection, *, me: str, keys: Collection[int]) -> None:
    """Let go of some tasks, so that others adopt them; those that have ended meanwhile keep their note."""
    ours = {"given": plain_rows({"key": key} for key in sorted(keys)), "me": me}
    connection.execute(_giving_back(connection.dialect.name), ours)


@cache
def _giving_back(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    keys = given(dialect, "given", key=BigInteger())
    # By the keys alone: whoever watches them watches many others.
    mine = update(task).where(task.c.key.in_(select(keys.c.key)), task.c.watcher + "" == bindparam("me"))
    # What was asked of us in the meantime is done by whoever looks next: at once.
    return mine.where(text("task.ended_at IS NULL")).values(watcher=None, refresh_at=None)


def noted(connection: Connection, *, me: str, upstreams: Collection[str], limit: int, now: datetime) -> list[Adopted]:
    """Take the notes left for a daemon: look now, or (for a task that has ended meanwhile) let go.

    What nobody watches is adopted by whoever takes its note: it may be a while until its turn comes.
    """
    found = select(*ADOPTED).where(_NOTED, _for(me, upstreams)).order_by(task.c.refresh_at).limit(limit)
    noted_rows = read(connection, found.with_for_update(skip_locked=True), {})
    if not noted_rows or not is_alive(connection, me):
        return []
    keys = [row.key for row in noted_rows]
    ended = case((and_(task.c.watcher == me, _HAS_ENDED), None), else_=task.c.watcher)
    connection.execute(update(task).where(task.c.key.in_(keys)).values(refresh_at=None, watcher=ended))
    take(connection, [(row.key, row.sequence) for row in noted_rows if row.is_free], me=me, now=now)
    return [asked_for(row) for row in noted_rows]


def note_registration(connection: Connection, keys: Sequence[int], now: datetime) -> None:
    """The first event of tasks that were inserted by plain SQL."""
    if not keys:
        return
    first = {"sequence": 1, "event": str(EventKind.REGISTERED), "observed_at": now, "to_status": str(Status.QUEUED)}
    connection.execute(insert(event), [{"task_key": key, **first} for key in keys])
    connection.execute(update(task).where(task.c.key.in_(keys)).values(sequence=1))
