"""Everything that changed, in an order that never changes: a reader goes on after the last line it has.

Keys are given out before commits, so on PostgreSQL a smaller key may appear later. A line is told once every
transaction that might still put one before it has ended; until then it waits, and is never skipped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, Text, cast, exists, func, literal, select, tuple_

from tracker.model import EventKind
from tracker.store.audience import concerning
from tracker.store.schema import event, registration, task
from tracker.store.tasks import HistoryLine

_SMALLEST_LOOK = 100


class Position(NamedTuple):
    """A place in the feed: that of a line, or the one before all."""

    transaction_id: int
    key: int


BEGINNING = Position(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedLine(HistoryLine):
    """One event, with its task and its place in the feed."""

    transaction_id: int
    key: int
    id: str
    """The tracker's id of the task."""
    task_id: str
    upstream: str

    @property
    def position(self) -> Position:
        """Where to go on after it."""
        return Position(self.transaction_id, self.key)


_PLACE = (event.c.transaction_id, event.c.key)
_LINES = select(
    *(event.c[name] for name in HistoryLine.__slots__), *_PLACE, task.c.id, task.c.task_id, task.c.upstream
).join(task, task.c.key == event.c.task_key)


def page(
    connection: Connection, position: Position, *, owner: str | None, limit: int
) -> tuple[list[FeedLine], Position]:
    """The lines after a position, and where the next page starts."""
    # In this order: whatever is settled now, the second question sees too.
    last = end(connection)
    lines = after(connection, transaction_id=position.transaction_id, key=position.key, owner=owner, limit=limit)
    if len(lines) == limit:
        return lines, lines[-1].position
    # What was left out is others' business, and need not be looked at again.
    return lines, max(position, last, *(line.position for line in lines[-1:]))


def after(connection: Connection, *, transaction_id: int, key: int, owner: str | None, limit: int) -> list[FeedLine]:
    """The lines after a position, first to last; with an owner, only what that owner may read."""
    place = Position(transaction_id, key)
    look = max(limit, _SMALLEST_LOOK)
    found: list[FeedLine] = []
    while len(found) < limit:
        lines = _look(connection, place, owner=owner, limit=look)
        found += concerning(connection, lines, owner=owner)
        if len(lines) < look:
            break
        place = lines[-1].position
    return found[:limit]


def _look(connection: Connection, place: Position, *, owner: str | None, limit: int) -> Sequence[FeedLine]:
    query = _after(connection, place).limit(limit)
    if owner is not None:
        mine = (registration.c.owner == owner, registration.c.task_key == event.c.task_key)
        query = query.where(exists().where(*mine))
    return [_line(row) for row in connection.execute(query)]


def _after(connection: Connection, place: Position) -> Select[Any]:
    if connection.dialect.name == "sqlite":
        # The first number is the same for all; asked for both, SQLite would begin with the first line of all.
        return _LINES.where(event.c.key > place.key).order_by(event.c.key)
    later = tuple_(*_PLACE) > tuple_(*(literal(number, BigInteger) for number in place))
    return _LINES.where(later, _is_settled(connection)).order_by(*_PLACE)


def _line(row: Any) -> FeedLine:  # noqa: ANN401 - a row of _LINES
    line = FeedLine(**row._mapping)  # noqa: SLF001 - the documented name of a row's mapping
    return replace(line, event=EventKind(line.event))


def end(connection: Connection) -> Position:
    """The place of the last line that can be told now, to anybody."""
    newest = select(*_PLACE).where(_is_settled(connection)).order_by(*(column.desc() for column in _PLACE))
    row = connection.execute(newest.limit(1)).one_or_none()
    return Position(*row) if row else BEGINNING


def is_ahead(connection: Connection, position: Position) -> bool:
    """Whether a position is one that this database has not come to yet: another one gave it out."""
    return not connection.scalar(select(literal(position.transaction_id, BigInteger) < _horizon(connection)))


def _is_settled(connection: Connection) -> ColumnElement[bool]:
    return event.c.transaction_id < _horizon(connection)


def _horizon(connection: Connection) -> ColumnElement[int]:
    """The first transaction that may still be open. SQLite's writers take turns, and leave the column 0."""
    if connection.dialect.name == "sqlite":
        return literal(1)
    return cast(cast(func.pg_snapshot_xmin(func.pg_current_snapshot()), Text), BigInteger)
