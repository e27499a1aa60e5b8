"""What a daemon reads of the tasks that it is going to watch: there may be a million of them."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Select,
    case,
    literal_column,
    type_coerce,
)
from sqlalchemy.exc import OperationalError
from sqlalchemy.types import NullType

from tracker.model import NEWS, Moment, fingerprint
from tracker.store.moments import from_sqlite
from tracker.store.schema import task
from tracker.store.told import as_one


class Adopted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a daemon is handed of a task it watches.

    No dataclass: a start makes and drops one for each task, which takes a fifth of the time so.
    """

    key: int
    upstream: str
    task_id: str
    registered_at: datetime
    has_ended: bool = False
    is_let_go: bool = False
    """Somebody ended it while it was watched; nobody asks for another look."""
    has_history: bool = True
    """Whether its first event is written: it is not where plain SQL inserted the task, and nobody adopted it yet."""
    fingerprint: int | None = None
    """That of a snapshot which tells nothing but what its row says already; None where that is not known."""


class Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The columns of `ADOPTED`, in their order."""

    key: int
    upstream: str
    task_id: str
    registered_at: Moment
    ended_at: Moment | None
    watcher: str | None
    sequence: int
    status: str
    upstream_status: str
    progress: int | None
    action: str | None
    submitted_at: Moment | None
    started_at: Moment | None
    finished_at: Moment | None
    fail_reason: str | None

    @property
    def is_free(self) -> bool:
        """Whether nobody watches it, and somebody should."""
        return self.watcher is None and self.ended_at is None


_as_one = lru_cache(maxsize=16)(as_one)
_decode = msgspec.json.Decoder(list[Row]).decode
_news = attrgetter(*NEWS)


def _column(name: str) -> ColumnElement[Any]:
    """A time as the driver has it; one written by hand may be such that it could not be read, and is left out."""
    if name not in ("submitted_at", "started_at", "finished_at"):
        return type_coerce(task.c[name], NullType()).label(name) if name.endswith("_at") else task.c[name]
    return type_coerce(case((_is_usual(name), task.c[name])), NullType()).label(name)


def _readable(name: str) -> ColumnElement[Any]:
    """The same where a time that has to be there, and cannot be read either, is later than all others."""
    if name not in ("registered_at", "ended_at"):
        return _column(name)
    never: ColumnElement[Any] = literal_column("'9999-12-30 00:00:00Z'")
    there = case((_is_usual(name), task.c[name]), else_=never)
    return type_coerce(case((task.c[name].is_not(None), there)), NullType()).label(name)


def _is_usual(name: str) -> ColumnElement[bool]:
    return literal_column(f"task.{name} BETWEEN '0001-01-02' AND '9999-12-30'", Boolean)


ADOPTED = tuple(map(_column, Row.__struct_fields__))
_READABLE = tuple(map(_readable, Row.__struct_fields__))


def read(connection: Connection, query: Select[Any], asked: Mapping[str, object]) -> list[Row]:
    """The rows of a query for `ADOPTED`."""
    dialect = connection.dialect.name
    unreadable = (msgspec.MsgspecError, OperationalError) if dialect == "sqlite" else (msgspec.MsgspecError,)
    try:
        # As one value: row by row it takes three times as long, and where SQLite's driver lets go of the interpreter
        # at each, a busy event loop keeps it waiting.
        return _decode(connection.scalar(_as_one(dialect, query), asked) or "[]")
    except unreadable:
        # Something was written by hand, and otherwise than we do. It concerns one task, not all of them.
        return [_patiently(row) for row in connection.execute(query.with_only_columns(*_READABLE), asked)]


def _patiently(row: Iterable[Any]) -> Row:
    """A time that is none stays what it is: no snapshot has it, so whoever looks at the task reads its row."""
    named = zip(Row.__struct_fields__, row, strict=True)
    return Row(*(_moment(value) if name.endswith("_at") else value for name, value in named))


def _moment(found: Any) -> Any:  # noqa: ANN401 - whatever somebody wrote
    try:
        return from_sqlite(found) if isinstance(found, str) else found
    except ValueError:
        return found


def live(row: Row) -> Adopted:
    """A task that has not ended, with what is known of it."""
    return Adopted(
        key=row.key,
        upstream=row.upstream,
        task_id=row.task_id,
        registered_at=row.registered_at,
        has_history=row.sequence > 0,
        fingerprint=fingerprint(_news(row)),
    )


def asked_for(row: Row) -> Adopted:
    """A task that somebody left a note about; what its row says just now may be wrong by the time it is looked at."""
    return Adopted(
        key=row.key,
        upstream=row.upstream,
        task_id=row.task_id,
        registered_at=row.registered_at,
        has_ended=row.ended_at is not None,
        is_let_go=row.ended_at is not None and row.watcher is not None,
    )
