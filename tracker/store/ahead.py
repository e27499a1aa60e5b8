"""Tasks that are watched before they are adopted: read where many wait for one daemon, written a few at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Connection, Integer, bindparam, func, literal_column, select, update

from tracker.store.adopted import ADOPTED, Adopted, live, read
from tracker.store.given import among, given, plain_rows
from tracker.store.schema import task
from tracker.store.watching import UNWATCHED, in_order, is_alive, note_registration


def last(connection: Connection, *, upstream: str) -> int | None:
    """The highest key of a task of this upstream that nobody watches: in one transaction."""
    with in_order(connection):
        key: int | None = connection.scalar(_LAST, {"upstream": upstream})
    return key


_LAST = (
    select(task.c.key)
    .where(UNWATCHED, task.c.upstream == bindparam("upstream"))
    .order_by(task.c.key.desc())
    .limit(literal_column("1", Integer))
)


def waiting(connection: Connection, *, upstream: str, above: int, up_to: int, limit: int) -> list[Adopted]:
    """The next `limit` of those that nobody watches, between two keys: only read, in one transaction."""
    with in_order(connection):
        asked = {"upstream": upstream, "above": above, "up_to": up_to}
        return [live(row) for row in read(connection, _waiting(limit), asked)]


@cache
def _waiting(limit: int) -> Any:  # noqa: ANN401 - a statement, built once
    free = select(*ADOPTED).where(
        UNWATCHED,
        task.c.upstream == bindparam("upstream"),
        task.c.key > bindparam("above", type_=BigInteger()),
        task.c.key <= bindparam("up_to", type_=BigInteger()),
    )
    return free.order_by(task.c.key).limit(literal_column(str(limit), Integer))


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Tasks that a daemon watches already."""

    me: str
    keys: Sequence[int]
    new: Sequence[int]
    """Those that had no history when they were read: to adopt one is to write its first event.

    SQLite is asked about these alone; Postgres tells of all what they had when they were taken.
    """
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What of a batch is not ours now; all else is."""

    lost: Sequence[int] = ()
    """Others have them, or they have ended."""
    held: Sequence[int] = ()
    """Somebody was just writing them: they may become ours."""


def adopt_each(connection: Connection, batches: Sequence[Batch]) -> list[Settled]:
    """Adopt what is still to be had of each batch."""
    return [_adopt(connection, batch) for batch in batches]


def _adopt(connection: Connection, batch: Batch) -> Settled:
    if not is_alive(connection, batch.me):
        return Settled(held=batch.keys)
    keys = plain_rows({"key": key} for key in batch.keys)
    dialect = connection.dialect.name
    taken = _take_on_sqlite if dialect == "sqlite" else _take_on_postgres
    if taken(connection, keys, batch) == len(batch.keys):
        return Settled()
    others = connection.execute(_others(dialect), {"given": keys, "me": batch.me}).all()
    return Settled(
        lost=[key for key, is_free in others if not is_free], held=[key for key, is_free in others if is_free]
    )


def _take_on_sqlite(connection: Connection, keys: str, batch: Batch) -> int:
    unnoted = plain_rows({"key": key} for key in batch.new)
    new = connection.scalars(_new_on_sqlite(), {"given": unnoted}).all() if batch.new else []
    taken = connection.execute(_taking_on_sqlite(), {"given": keys, "me": batch.me}).rowcount
    note_registration(connection, new, batch.now)
    return taken


def _take_on_postgres(connection: Connection, keys: str, batch: Batch) -> int:
    """In one statement, which tells of the few that have no history yet alone."""
    taken, new = connection.execute(_taking_on_postgres(), {"given": keys, "me": batch.me}).one()
    note_registration(connection, new or [], batch.now)
    return int(taken)


# Said so that no index of what is free serves: by their keys alone, since all others may be free too.
_IS_FREE = (task.c.watcher + "").is_(None) & task.c.ended_at.is_(None)


def _free(dialect: str) -> Any:  # noqa: ANN401 - a query
    keys = given(dialect, "given", key=BigInteger())
    free = select(task.c.key, task.c.sequence).where(among(dialect, task.c.key, keys), _IS_FREE)
    # Nobody waits here for a lock, so it does not matter which of these others hold.
    return free.order_by(task.c.key).with_for_update(of=task, skip_locked=True)


@cache
def _new_on_sqlite() -> Any:  # noqa: ANN401 - a statement, built once
    return _free("sqlite").with_only_columns(task.c.key).where(task.c.sequence == 0)


@cache
def _taking_on_sqlite() -> Any:  # noqa: ANN401 - a statement, built once
    keys = given("sqlite", "given", key=BigInteger())
    return update(task).where(among("sqlite", task.c.key, keys), _IS_FREE).values(watcher=bindparam("me"))


@cache
def _taking_on_postgres() -> Any:  # noqa: ANN401 - a statement, built once
    free = _free("postgresql").cte("free")
    taken = update(task).where(task.c.key == free.c.key).values(watcher=bindparam("me"))
    ours = taken.returning(task.c.key, task.c.sequence).cte("ours")
    new = func.array_agg(ours.c.key).filter(ours.c.sequence == 0)
    return select(func.count(), new).select_from(ours)


@cache
def _others(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    keys = given(dialect, "given", key=BigInteger())
    not_ours = task.c.watcher.is_distinct_from(bindparam("me"))
    return select(task.c.key, _IS_FREE).where(among(dialect, task.c.key, keys), not_ours)
