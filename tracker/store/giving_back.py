"""Claims that end without an outcome: of what was never sent, of what was cut off, and of those who died."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Connection, FromClause, Integer, bindparam, delete, func, select, text, update

from tracker.model import Delivery
from tracker.store.deliveries import IS_PENDING, PENDING, WAITS
from tracker.store.given import among, given, plain_rows
from tracker.store.moments import UtcDateTime
from tracker.store.schema import attempt, delivery

_NOW = bindparam("now", type_=UtcDateTime())
_IS_SENDING = text("attempt.outcome = 'sending'")


def give_back(connection: Connection, unsent: Sequence[Delivery]) -> None:
    """Make deliveries free that were claimed and never sent: due as before, as if there had been no attempt."""
    asked = _asked(unsent)
    _lock(connection, asked)
    connection.execute(_forgetting(connection.dialect.name), asked)


def interrupt(connection: Connection, begun: Sequence[Delivery], *, now: datetime) -> None:
    """Close attempts that were cut off, whose messages may have arrived: they count, and the next are due at once."""
    asked = _asked(begun)
    _lock(connection, asked)
    dialect = connection.dialect.name
    ours = connection.execute(_counting(dialect), {**asked, "now": now}).all()
    if ours:
        told = plain_rows({"key": key, "number": number} for key, number in ours)
        connection.execute(_interrupting(dialect), {"given": told})


def end_claims(connection: Connection, *, now: datetime) -> int:
    """Have the claims to all that is due run out: for one who knows that nobody is left who sends; returns how many."""
    due = select(delivery.c.key).where(WAITS, delivery.c.next_attempt_at <= now)
    left = update(attempt).where(attempt.c.delivery_key.in_(due), attempt.c.outcome == "sending")
    return connection.execute(left.where(attempt.c.claimed_until > now).values(claimed_until=now)).rowcount


def _asked(claimed: Sequence[Delivery]) -> dict[str, object]:
    return {"given": plain_rows({"key": one.key, "number": one.attempt} for one in claimed)}


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
    ours = _ours(dialect)
    mine = select(ours.c.key).where(ours.c.key == attempt.c.delivery_key, ours.c.number == attempt.c.attempt)
    claims = delete(attempt).where(among(dialect, attempt.c.delivery_key, _ours(dialect)), _IS_SENDING)
    return claims.where(mine.exists())


@cache
def _counting(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    ours = _ours(dialect)
    counted = update(delivery).where(delivery.c.key == ours.c.key, delivery.c.attempt == ours.c.number - 1, IS_PENDING)
    if dialect != "sqlite":
        counted = counted.where(among(dialect, delivery.c.key, ours))
    counted = counted.values(attempt=ours.c.number, next_attempt_at=_NOW)
    return counted.returning(delivery.c.key, delivery.c.attempt)


@cache
def _interrupting(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    ours = _ours(dialect)
    mine = update(attempt).where(attempt.c.delivery_key == ours.c.key, attempt.c.attempt == ours.c.number)
    if dialect != "sqlite":
        mine = mine.where(among(dialect, attempt.c.delivery_key, ours))
    return mine.values(outcome="interrupted")
