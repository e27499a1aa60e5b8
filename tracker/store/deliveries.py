"""Claiming deliveries, each for one attempt."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    ScalarSelect,
    Select,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
    text,
    true,
    type_coerce,
    update,
)
from sqlalchemy.exc import OperationalError
from sqlalchemy.types import NullType

from tracker.model import Delivery, MessageType
from tracker.store import pacing
from tracker.store.dialect import insert_for
from tracker.store.given import among, given, plain_rows
from tracker.store.moments import UtcDateTime
from tracker.store.schema import attempt, callback, delivery, endpoint, task

PENDING = text("delivery.status = 'pending'")
"""A literal, so that no plan is made for statuses in general."""
IS_PENDING = text("CASE delivery.status WHEN 'pending' THEN true ELSE false END")
"""Said so that no index serves: the row is found by its key, and SQLite would walk all that are pending instead. Nor
does Postgres take it for rare: where it expects a single row it goes through all lines for each that it finds."""
WAITS = text("delivery.settled_at IS NULL")
"""The same, for what is found by its endpoint or its time: the partial indexes of those go by these words."""
_CLAIMED_UNTIL: ScalarSelect[datetime | None] = (
    select(attempt.c.claimed_until)
    .where(attempt.c.delivery_key == delivery.c.key, attempt.c.attempt == delivery.c.attempt + 1)
    .where(text("attempt.outcome = 'sending'"))
    .correlate(delivery)
    .scalar_subquery()
)
"""Of the attempt that is under way: one value, where a join might go through all attempts there are."""
_MOMENT = UtcDateTime()
_NOW = bindparam("now", type_=_MOMENT)
IS_FREE: ColumnElement[bool] = func.coalesce(_CLAIMED_UNTIL <= _NOW, true())
"""That nobody has a claim to it just now. Asks for `now`."""
BEGUN: ColumnElement[int] = (delivery.c.attempt + case((_CLAIMED_UNTIL.is_not(None), 1), else_=0)).label("attempt")
"""How many attempts there were, with the one that is under way, or was when somebody crashed."""
AGAIN_AT: ColumnElement[datetime | None] = case(
    (delivery.c.next_attempt_at.is_not(None), func.coalesce(_CLAIMED_UNTIL, delivery.c.next_attempt_at, type_=_MOMENT))
).label("next_attempt_at")
"""When the next attempt is due: while one is under way, when its claim runs out."""


def claim(connection: Connection, keys: Collection[int], *, now: datetime, until: datetime) -> list[Delivery]:
    """Begin an attempt of each of these deliveries, whose row is our claim to it until a moment.

    Those that somebody else was faster with are missing from the answer, and those whose callback is being told
    another message by now. An attempt that a crash left open is closed as `interrupted`: its message may have arrived.
    """
    asked = {"until": until, **pacing.moments(now)}
    taken = _take(connection, keys, asked)
    missing = set(keys).difference(one.key for one in taken)
    if missing and (left := _close_left_open(connection, missing, now)):
        taken += _take(connection, left, asked)
    return taken


def _take(connection: Connection, keys: Collection[int], asked: Mapping[str, object]) -> list[Delivery]:
    asked = {"given": _given(keys), **asked}
    if connection.dialect.name != "sqlite":
        return [_delivery_of(row) for row in connection.execute(_claiming(), asked).all()]
    taken = connection.scalars(_beginning_on_sqlite(), asked).all()
    return _told(connection, {"given": _given(taken)}) if taken else []


def _given(keys: Collection[int]) -> str:
    return plain_rows([{"key": key} for key in keys])


@cache
def _claiming() -> Any:  # noqa: ANN401 - a statement, built once
    """All of it in one statement of Postgres: each row is looked for once."""
    # Whoever supersedes, holds or hastens a message does it under this lock, and looks for a claim when it has it.
    ours = _due("postgresql", *(delivery.c[name] for name in (*_OF_DELIVERY, "endpoint_key")))
    due = ours.with_for_update(skip_locked=True, of=delivery).cte("due")
    begun = _begin("postgresql", due).cte("begun")
    taken = select(due).where(due.c.key.in_(select(begun.c.delivery_key))).subquery("taken")
    # The times as the driver has them, which are moments already.
    told = [type_coerce(one, NullType()).label(one.name) for one in _claimed(taken).selected_columns]
    return _claimed(taken).with_only_columns(*told).order_by(taken.c.key)


@cache
def _beginning_on_sqlite() -> Any:  # noqa: ANN401 - a statement, built once
    return _begin("sqlite", _due("sqlite", delivery.c.key, delivery.c.attempt).subquery("due"))


def _due(dialect: str, *columns: ColumnElement[Any]) -> Select[Any]:
    wanted = given(dialect, "given", key=BigInteger())
    free = select(*columns).where(among(dialect, delivery.c.key, wanted), PENDING, delivery.c.next_attempt_at <= _NOW)
    return free.where(pacing.IN_TURN).order_by(delivery.c.key)


def _begin(dialect: str, due: FromClause) -> Any:  # noqa: ANN401 - a statement
    """Where an attempt of that number is there already, somebody was faster, or crashed."""
    until = bindparam("until", type_=_MOMENT)
    # SQLite would take ON CONFLICT for a part of the query where that does not end in a WHERE.
    numbers = select(due.c.key, due.c.attempt + 1, _NOW, until).where(true())
    begun = insert_for(dialect, attempt).from_select(
        ["delivery_key", "attempt", "attempted_at", "claimed_until"], numbers
    )
    begun = begun.on_conflict_do_nothing(index_elements=["delivery_key", "attempt"])
    return begun.returning(attempt.c.delivery_key)


def _close_left_open(connection: Connection, keys: Collection[int], now: datetime) -> Sequence[int]:
    """Close and count attempts whose claims have run out; returns those of the deliveries that had one."""
    dialect, asked = connection.dialect.name, {"given": _given(keys), "now": now}
    left = connection.scalars(_left(dialect), asked).all()
    if left:
        asked = {"given": _given(left), "now": now}
        # In statements of their own: only new ones see what somebody did who was faster with the lock.
        connection.execute(_interrupting(dialect), asked)
        count_closed(connection, left)
    return left


def count_closed(connection: Connection, keys: Collection[int]) -> None:
    """See to it that the attempts of these deliveries count that were closed without going on with the delivery."""
    connection.execute(_counting(connection.dialect.name), {"given": _given(keys)})


_IS_OVER = or_(attempt.c.outcome != "sending", attempt.c.claimed_until.is_(None), attempt.c.claimed_until <= _NOW)


@cache
def _left(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    wanted = given(dialect, "given", key=BigInteger())
    stuck = exists().where(
        attempt.c.delivery_key == delivery.c.key, attempt.c.attempt == delivery.c.attempt + 1, _IS_OVER
    )
    left = select(delivery.c.key).where(among(dialect, delivery.c.key, wanted), PENDING, stuck)
    left = left.where(delivery.c.next_attempt_at <= _NOW).order_by(delivery.c.key)
    return left.with_for_update(skip_locked=True, of=delivery)


@cache
def _interrupting(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    left = given(dialect, "given", key=BigInteger())
    left_open = update(attempt).where(among(dialect, attempt.c.delivery_key, left), attempt.c.outcome == "sending")
    return left_open.where(_IS_OVER).values(outcome="interrupted")


@cache
def _counting(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    left = given(dialect, "given", key=BigInteger())
    closed = select(func.max(attempt.c.attempt)).where(attempt.c.delivery_key == delivery.c.key)
    last = closed.where(attempt.c.outcome != "sending").correlate(delivery).scalar_subquery()
    behind = update(delivery).where(among(dialect, delivery.c.key, left), delivery.c.attempt < last)
    return behind.values(attempt=last)


def _told(connection: Connection, ours: Mapping[str, object]) -> list[Delivery]:
    """What was claimed, as one text: row by row, SQLite's driver might wait for the interpreter at each."""
    try:
        fields, text_of_all = connection.execute(_telling(), ours).one()
        found, bodies = _decode(fields), text_of_all.split(_BETWEEN)
    except (msgspec.MsgspecError, OperationalError):
        found, bodies = [], []
    if not found or len(found) != len(bodies):
        # Something was written by hand, and otherwise than we do.
        return [_delivery_of(row) for row in connection.execute(_listing(), ours)]
    for one, body in zip(found, bodies, strict=True):
        # Nobody has seen it yet.
        msgspec.structs.force_setattr(one, "body", body)
    return found


_BETWEEN = "\x1e"
"""Between two bodies, beside the JSON of the rest: in that every character of theirs would be looked at twice. Stands
in no JSON, which is what they are; one that it stands in, or that is missing, makes their number too large."""
_decode = msgspec.json.Decoder(list[Delivery]).decode


@cache
def _telling() -> Any:  # noqa: ANN401 - a statement, built once
    lines = _listing().subquery("lines")
    named: list[ColumnElement[Any]] = []
    for found in lines.c:
        # The times as they are kept, which is how they are read.
        value = literal_column("''") if found.name == "body" else type_coerce(found, NullType())
        named += literal_column(f"'{found.name}'"), value
    between: ColumnElement[str] = literal_column("char(30)")
    bodies = func.group_concat(func.coalesce(lines.c.body, between), between)
    return select(func.json_group_array(func.json_object(*named)), bodies)


@cache
def _listing() -> Any:  # noqa: ANN401 - a statement, built once
    ours = given("sqlite", "given", key=BigInteger())
    return _claimed(delivery).where(delivery.c.key.in_(select(ours.c.key))).order_by(delivery.c.key)


_OF_DELIVERY = (
    *("key", "id", "task_key", "callback_key", "message_type", "body", "attempt", "failures", "created_at"),
)


def _claimed(taken: FromClause) -> Any:  # noqa: ANN401 - a query
    """What a delivery is, with what its attempt needs of other tables."""
    # Who registered after the end was told late by nobody's fault.
    finished_at = case((taken.c.created_at <= task.c.ended_at, task.c.finished_at)).label("finished_at")
    mine = (taken.c[name] if name != "attempt" else (taken.c.attempt + 1).label(name) for name in _OF_DELIVERY)
    columns = (*mine, finished_at, callback.c.owner, callback.c.url)
    return select(*columns, endpoint.c.origin.label("endpoint")).select_from(
        taken.join(task, task.c.key == taken.c.task_key)
        .join(callback, callback.c.key == taken.c.callback_key)
        .join(endpoint, endpoint.c.key == taken.c.endpoint_key)
    )


_FIELDS = (*_OF_DELIVERY, "finished_at", "owner", "url", "endpoint")
_TYPES = {str(kind): kind for kind in MessageType}


def _delivery_of(row: Any) -> Delivery:  # noqa: ANN401 - a row of _claimed
    fields = dict(zip(_FIELDS, row, strict=True))
    fields["message_type"] = _TYPES[fields["message_type"]]
    return Delivery(**fields)


def oldest_due_seconds(connection: Connection, *, now: datetime) -> float:
    """How long the most overdue delivery has waited; 0 when nothing is due."""
    query = select(delivery.c.next_attempt_at).where(WAITS, IS_FREE).order_by(delivery.c.next_attempt_at).limit(1)
    first = connection.scalar(query, {"now": now})
    return max((now - first).total_seconds(), 0.0) if first else 0.0
