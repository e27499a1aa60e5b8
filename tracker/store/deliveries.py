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
    Integer,
    bindparam,
    case,
    exists,
    func,
    insert,
    literal_column,
    select,
    text,
    type_coerce,
    update,
)
from sqlalchemy.exc import OperationalError
from sqlalchemy.types import NullType

from tracker.model import Delivery, MessageType
from tracker.store import pacing
from tracker.store.given import given, plain_rows, rows
from tracker.store.moments import UtcDateTime
from tracker.store.schema import attempt, callback, delivery, endpoint, task

PENDING = text("delivery.status = 'pending'")
"""A literal, so that no plan is made for statuses in general."""
WAITS = text("delivery.settled_at IS NULL")
"""The same, for what is found by its endpoint or its time: the partial indexes of those go by these words."""
IS_OUT = exists().where(
    attempt.c.delivery_key == delivery.c.key, attempt.c.attempt == delivery.c.attempt, attempt.c.outcome == "sending"
)
"""That the last attempt is under way, or was when somebody crashed: its claim runs out by itself."""
_MOMENT = UtcDateTime()
_NOW = bindparam("now", type_=_MOMENT)


def claim(connection: Connection, keys: Collection[int], *, now: datetime, until: datetime) -> list[Delivery]:
    """Make these deliveries ours by moving their due time beyond the attempt's deadline.

    Those that somebody else was faster with are missing from the answer, and those whose callback is being told
    another message by now. Each claim starts an attempt; one that a crash left open is closed as `interrupted`: its
    message may have arrived.
    """
    wanted = rows(connection, [{"key": key} for key in keys])
    asked = {"given": wanted, "until": until, **pacing.moments(now)}
    if connection.dialect.name != "sqlite":
        return [_delivery_of(row) for row in connection.execute(_claiming(), asked).all()]
    taken = [tuple(row) for row in connection.execute(_taking("sqlite"), asked)]
    if not taken:
        return []
    ours = {"given": plain_rows([{"key": key, "number": number} for key, number in taken]), "now": now}
    if any(number > 1 for _, number in taken):
        connection.execute(_leaving(), ours)
    connection.execute(_beginning(), ours)
    return _told(connection, ours)


@cache
def _claiming() -> Any:  # noqa: ANN401 - a statement, built once
    """All of it in one statement of Postgres: each row is looked for once."""
    taken = _taking("postgresql", *_OF_DELIVERY, "endpoint_key").cte("taken")
    left_open = _left_open(select(taken.c.key).where(taken.c.attempt > 1)).cte("left_open")
    numbers = select(taken.c.key, taken.c.attempt, _NOW)
    begun = insert(attempt).from_select(["delivery_key", "attempt", "attempted_at"], numbers).cte("begun")
    # The times as the driver has them, which are moments already.
    told = [type_coerce(one, NullType()).label(one.name) for one in _claimed(taken).selected_columns]
    return _claimed(taken).with_only_columns(*told).order_by(taken.c.key).add_cte(left_open, begun)


@cache
def _taking(dialect: str, *returned: str) -> Any:  # noqa: ANN401 - a statement, built once
    wanted = given(dialect, "given", key=BigInteger())
    free = select(delivery.c.key).where(
        delivery.c.key.in_(select(wanted.c.key)), PENDING, delivery.c.next_attempt_at <= _NOW
    )
    ours = free.order_by(delivery.c.key).with_for_update(skip_locked=True, of=delivery)
    # Out here, so that it is asked of these alone.
    taken = update(delivery).where(delivery.c.key.in_(ours), pacing.IN_TURN)
    until = bindparam("until", type_=_MOMENT)
    taken = taken.values(attempt=delivery.c.attempt + 1, next_attempt_at=until)
    return taken.returning(*(delivery.c[name] for name in returned or ("key", "attempt")))


def _left_open(keys: Any) -> Any:  # noqa: ANN401 - a query, and a statement
    left_open = update(attempt).where(attempt.c.delivery_key.in_(keys), attempt.c.outcome == "sending")
    return left_open.values(outcome="interrupted")


@cache
def _leaving() -> Any:  # noqa: ANN401 - a statement, built once
    return _left_open(select(given("sqlite", "given", key=BigInteger()).c.key))


@cache
def _beginning() -> Any:  # noqa: ANN401 - a statement, built once
    ours = given("sqlite", "given", key=BigInteger(), number=Integer())
    begun = select(ours.c.key, ours.c.number, _NOW)
    return insert(attempt).from_select(["delivery_key", "attempt", "attempted_at"], begun)


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
    columns = (*(taken.c[name] for name in _OF_DELIVERY), finished_at, callback.c.owner, callback.c.url)
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
    query = select(delivery.c.next_attempt_at).where(WAITS).order_by(delivery.c.next_attempt_at).limit(1)
    first = connection.scalar(query)
    return max((now - first).total_seconds(), 0.0) if first else 0.0


def release_claims(connection: Connection, claimed: Sequence[Delivery], *, now: datetime) -> None:
    """Give back deliveries that were claimed but not sent: due again at once, their attempt undone."""
    for given_back in claimed:
        is_this = (delivery.c.key == given_back.key, delivery.c.attempt == given_back.attempt)
        due_now = update(delivery).where(*is_this, PENDING, IS_OUT).values(next_attempt_at=now)
        if connection.execute(due_now).rowcount == 1:
            number = (attempt.c.delivery_key == given_back.key, attempt.c.attempt == given_back.attempt)
            connection.execute(update(attempt).where(*number).values(outcome="interrupted"))
