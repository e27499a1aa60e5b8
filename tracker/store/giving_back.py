"""Claims that end without an outcome: of what was never sent, of what was cut off, and of those who died."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    TextClause,
    bindparam,
    delete,
    func,
    select,
    text,
    tuple_,
    update,
)

from tracker.model import Delivery
from tracker.store.deliveries import IS_PENDING, PENDING, WAITS, count_closed
from tracker.store.given import among, given, plain_rows
from tracker.store.moments import UtcDateTime
from tracker.store.schema import attempt, delivery

_NOW = bindparam("now", type_=UtcDateTime())
_IS_SENDING = text("attempt.outcome = 'sending'")
_MOST_AT_ONCE = 500


def give_back(connection: Connection, unsent: Sequence[Delivery]) -> None:
    """Make deliveries free that were claimed and never sent: due as before, as if there had been no attempt.

    Only the next probe of an endpoint waits until the claim to the last one would have run out.
    """
    for asked in _parts(unsent):
        _lock(connection, asked)
        connection.execute(_forgetting(connection.dialect.name), asked)


def interrupt(connection: Connection, begun: Sequence[Delivery], *, now: datetime) -> None:
    """Close attempts that were cut off, whose messages may have arrived: they count, and the next are due at once."""
    dialect = connection.dialect.name
    for asked in _parts(begun):
        _lock(connection, asked)
        connection.execute(_counting(dialect), {**asked, "now": now})
        # Also of those that were superseded meanwhile, which nobody will claim again.
        connection.execute(_interrupting(dialect), asked)
    count_closed(connection, [one.key for one in begun])


def end_claims(connection: Connection, *, now: datetime) -> int:
    """Have the claims to all that is due run out: for one who knows that nobody is left who sends; returns how many."""
    due = select(delivery.c.key).where(WAITS, delivery.c.next_attempt_at <= now)
    left = update(attempt).where(attempt.c.delivery_key.in_(due), attempt.c.outcome == "sending")
    return connection.execute(left.where(attempt.c.claimed_until > now).values(claimed_until=now)).rowcount


def _parts(claimed: Sequence[Delivery]) -> Iterator[dict[str, object]]:
    """In the order of their keys, as everybody locks them; Postgres compares all that are given with each other."""
    told = [{"key": one.key, "number": one.attempt} for one in sorted(claimed, key=attrgetter("key"))]
    for start in range(0, len(told), _MOST_AT_ONCE):
        yield {"given": plain_rows(told[start : start + _MOST_AT_ONCE])}


def _lock(connection: Connection, asked: dict[str, object]) -> None:
    if connection.dialect.name != "sqlite":
        connection.execute(_locking(), asked)


@cache
def _locking() -> Any:  # noqa: ANN401 - a statement, built once
    """In the order of their keys, as everybody does."""
    ours = given("postgresql", "given", key=BigInteger())
    waiting = select(delivery.c.key).where(among("postgresql", delivery.c.key, ours), PENDING).order_by(delivery.c.key)
    return select(func.count()).select_from(waiting.with_for_update().subquery("waiting"))


def _ours(dialect: str) -> FromClause:
    return given(dialect, "given", key=BigInteger(), number=Integer())


@cache
def _forgetting(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    return delete(attempt).where(*_mine(dialect))


@cache
def _counting(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    ours = _ours(dialect)
    counted = update(delivery).where(delivery.c.key == ours.c.key, delivery.c.attempt == ours.c.number - 1, IS_PENDING)
    if dialect != "sqlite":
        counted = counted.where(among(dialect, delivery.c.key, ours))
    return counted.values(attempt=ours.c.number, next_attempt_at=_NOW)


@cache
def _interrupting(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    return update(attempt).where(*_mine(dialect)).values(outcome="interrupted")


def _mine(dialect: str) -> Sequence[ColumnElement[bool] | TextClause]:
    """That a row of `attempt` is one of those given, and still under way."""
    ours = _ours(dialect)
    pairs = tuple_(attempt.c.delivery_key, attempt.c.attempt).in_(select(ours.c.key, ours.c.number))
    if dialect == "sqlite":
        return pairs, _IS_SENDING
    return among(dialect, attempt.c.delivery_key, _ours(dialect)), pairs, _IS_SENDING
