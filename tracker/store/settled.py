"""The rows of outcomes: where their deliveries stand, what their attempts came to, the lines in the histories."""

from collections.abc import Sequence
from functools import cache
from operator import attrgetter
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Connection,
    FromClause,
    Integer,
    Text,
    case,
    func,
    insert,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.types import TypeEngine

from tracker.store.deliveries import IS_PENDING, count_closed
from tracker.store.given import among, given, listed, plain_rows
from tracker.store.moments import UtcDateTime
from tracker.store.schema import attempt, delivery, event, task

# As in IS_PENDING.
_IS_OPEN = text("CASE attempt.outcome WHEN 'sending' THEN true WHEN 'interrupted' THEN true ELSE false END")


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """All that is written of one outcome, the times as the database has them; what is left out is NULL there."""

    key: int
    number: int
    task_key: int
    status: str
    failed: int
    due: object = None
    settled: object = None
    outcome: str
    status_code: int | None = None
    duration_ms: int
    phase: str | None = None
    error: str | None = None
    detail: str | None = None
    response: str | None = None
    event: str
    now: object
    note: str


_TYPES: dict[str, TypeEngine[Any]] = {
    **dict.fromkeys(("key", "task_key"), BigInteger()),
    **dict.fromkeys(("number", "failed", "status_code", "duration_ms"), Integer()),
    **dict.fromkeys(("due", "settled", "now"), UtcDateTime()),
}
_KINDS = {name: _TYPES.get(name, Text()) for name in Line.__struct_fields__}

_STANDING = ("key", "number", "status", "failed", "due", "settled")
_ANSWER = ("status_code", "duration_ms", "phase", "error", "detail", "response")
_CLOSING = ("key", "number", "outcome", *_ANSWER, "due")
_NOTING = ("key", "task_key", "event", "now", "note")


def write(connection: Connection, lines: Sequence[Line]) -> set[tuple[int, int]]:
    """Write them; returns the attempts (delivery, number) that were still under way.

    Those that were outrun are closed too, and counted, and change nothing else.
    """
    if connection.dialect.name != "sqlite":
        written = connection.execute(_writing(), {"given": plain_rows(lines)})
        ours = {(row[0], row[1]) for row in written.all()}
        if outrun := [line.key for line in lines if (line.key, line.number) not in ours]:
            count_closed(connection, outrun)
        return ours
    written = connection.execute(_settling(), _given(lines, _STANDING))
    ours = {(row[0], row[1]) for row in written}
    if len(ours) < len(lines):
        is_ours = {line: (line.key, line.number) in ours for line in lines}
        lines = [line if won else msgspec.structs.replace(line, due=None) for line, won in is_ours.items()]
        connection.execute(_closing(), _given(lines, _CLOSING))
        count_closed(connection, [line.key for line, won in is_ours.items() if not won])
        lines = [line for line, won in is_ours.items() if won]
    else:
        connection.execute(_closing(), _given(lines, _CLOSING))
    if lines:
        connection.execute(_noting(), noted := _given(lines, _NOTING))
        connection.execute(_growing(), noted)
    return ours


def _given(lines: Sequence[Line], names: Sequence[str]) -> dict[str, str]:
    return {"given": plain_rows(map(attrgetter(*names), lines))}


@cache
def _writing() -> Any:  # noqa: ANN401 - a statement, built once
    """All of it in one statement of Postgres, so that the rows are read but once."""
    new = select(given("postgresql", "given", **_KINDS)).cte("new")
    settled = _settle(new).where(among("postgresql", delivery.c.key, new))
    ours = settled.returning(delivery.c.key, delivery.c.attempt).cte("ours")
    is_ours = tuple_(new.c.key, new.c.number).in_(select(ours.c.key, ours.c.attempt))
    due = case((is_ours, new.c.due)).label("due")
    closing = _close(select(*(new.c[name] for name in _CLOSING[:-1]), due).subquery("answers"))
    closed = closing.where(among("postgresql", attempt.c.delivery_key, new)).cte("closed")
    won = select(*(new.c[name] for name in _NOTING)).where(is_ours).cte("won")
    noted = _note(won).cte("noted")
    grown = _grow(won).cte("grown")
    return select(ours.c.key, ours.c.attempt).add_cte(closed, noted, grown)


def _settle(new: FromClause) -> Any:  # noqa: ANN401 - a statement
    ours = update(delivery).where(delivery.c.key == new.c.key, delivery.c.attempt == new.c.number - 1)
    # Whoever closes an attempt counts it: as long as it does not count, it is under way.
    return ours.where(IS_PENDING).values(
        attempt=new.c.number,
        status=new.c.status,
        failures=delivery.c.failures + new.c.failed,
        next_attempt_at=new.c.due,
        settled_at=new.c.settled,
    )


def _close(new: FromClause) -> Any:  # noqa: ANN401 - a statement
    open_ = update(attempt).where(attempt.c.delivery_key == new.c.key, attempt.c.attempt == new.c.number)
    return open_.where(_IS_OPEN).values(
        outcome=new.c.outcome, next_attempt_at=new.c.due, **{name: new.c[name] for name in _ANSWER}
    )


def _note(new: FromClause) -> Any:  # noqa: ANN401 - a statement
    """After what each task has come to, the earlier outcome first."""
    place = func.row_number().over(partition_by=new.c.task_key, order_by=(new.c.now, new.c.key))
    query = select(new.c.task_key, task.c.sequence + place, new.c.event, new.c.now, new.c.note)
    query = query.select_from(new.join(task, task.c.key == new.c.task_key))
    return insert(event).from_select(["task_key", "sequence", "event", "observed_at", "note"], query)


def _grow(new: FromClause) -> Any:  # noqa: ANN401 - a statement
    number = func.count().label("number")
    counted = select(new.c.task_key, number).group_by(new.c.task_key).subquery("counted")
    grown = update(task).where(task.c.key == counted.c.task_key)
    return grown.values(sequence=task.c.sequence + counted.c.number)


def _listed(*names: str) -> FromClause:
    return listed("given", **{name: _KINDS[name] for name in names})


@cache
def _settling() -> Any:  # noqa: ANN401 - a statement, built once
    return _settle(_listed(*_STANDING)).returning(delivery.c.key, delivery.c.attempt)


@cache
def _closing() -> Any:  # noqa: ANN401 - a statement, built once
    return _close(_listed(*_CLOSING))


@cache
def _noting() -> Any:  # noqa: ANN401 - a statement, built once
    return _note(_listed(*_NOTING))


@cache
def _growing() -> Any:  # noqa: ANN401 - a statement, built once
    return _grow(_listed(*_NOTING))
