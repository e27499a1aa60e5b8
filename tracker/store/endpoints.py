"""How endpoints are doing, as the table remembers it, and the holding back of what waits for those that rest.

Locks are taken in one order: a task, one of its deliveries, the endpoint. Whoever holds an endpoint touches other
deliveries only where nobody else does just now: those see what became of the endpoint when it is their turn.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    func,
    select,
    text,
    update,
)

from tracker import endpoints
from tracker.model import EndpointHealth, EndpointState
from tracker.store import notices, pacing
from tracker.store.deliveries import IS_FREE, PENDING, WAITS
from tracker.store.given import among, given, rows
from tracker.store.moments import UtcDateTime
from tracker.store.schema import delivery, endpoint

HELD_FOR = timedelta(days=7)
"""How far ahead a held delivery is due: far enough for no claim to meet it; the janitor moves it on."""

_HEALTH = [endpoint.c[name] for name in EndpointHealth.__slots__]


# Built once: whatever is written about attempts asks it.
_BY_ORIGIN = select(endpoint.c.key, endpoint.c.origin, *_HEALTH).where(
    endpoint.c.origin.in_(bindparam("origins", expanding=True))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What an endpoint was before something happened, and what it is now."""

    before: EndpointHealth
    after: EndpointHealth

    @property
    def is_new_state(self) -> bool:
        """Whether it was paused, disabled or opened by that."""
        return self.before.state is not self.after.state


@dataclass(frozen=True, slots=True, kw_only=True)
class Resting:
    """An endpoint that is paused or disabled."""

    key: int
    origin: str
    state: EndpointState
    probe_at: datetime | None
    """Since when it may be probed: only where its pause is over, and something waits that can be sent."""


MOST_SHOWN = 256
"""Endpoints to be probed at one look, and as many of those that come next."""

_NOW = bindparam("now", type_=UtcDateTime())
_FREE = and_(WAITS, IS_FREE, pacing.IN_TURN)
"""That a delivery may go as a probe, whether it is held or not. Asks for `pacing.moments`."""
# As one value, not EXISTS, and also as a range in the order of the index `delivery_waiting`: else Postgres, where most
# of what waits is for one endpoint, takes any row it meets for the one, and goes through all of them for each endpoint.
_WAITS = (
    select(delivery.c.key)
    .where(delivery.c.endpoint_key == endpoint.c.key, _FREE)
    .where(delivery.c.endpoint_key.between(endpoint.c.key, endpoint.c.key))
    .order_by(delivery.c.endpoint_key, delivery.c.next_attempt_at)
    .limit(1)
    .scalar_subquery()
)
_SHOWN = (endpoint.c.key, endpoint.c.origin, endpoint.c.state, endpoint.c.paused_until)
# A literal, so that the partial index serves. Built once: it is asked all the time, also when there is nothing to do.
_PAUSED = (
    select(*_SHOWN)
    .where(text("endpoint.state = 'paused'"))
    .order_by(endpoint.c.paused_until)
    .limit(bindparam("most", type_=Integer()))
)
_TO_PROBE = _PAUSED.where(endpoint.c.paused_until <= _NOW, _WAITS.is_not(None))
_NEXT = _PAUSED.where(endpoint.c.paused_until > _NOW)


def resting(
    connection: Connection, *, now: datetime, among: Collection[str] = (), limit: int = MOST_SHOWN
) -> list[Resting]:
    """The endpoints to be probed now, longest first; then those to be probed next; then others of `among` that rest.

    Of the first two kinds at most `limit` each. Whoever wants to know what has become of one it saw names its origin.
    """
    asked = {**pacing.moments(now), "most": limit}
    found = {row.key: _resting(row, row.paused_until) for row in connection.execute(_TO_PROBE, asked)}
    rest = list(connection.execute(_NEXT, {"now": now, "most": limit}))
    if among:
        origins = rows(connection, [{"origin": origin} for origin in among])
        rest += connection.execute(_asleep(connection.dialect.name), {"given": origins})
    for row in rest:
        found.setdefault(row.key, _resting(row, None))
    return list(found.values())


@cache
def _asleep(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    named = given(dialect, "given", origin=Text())
    query = select(*_SHOWN).where(endpoint.c.origin.in_(select(named.c.origin)))
    return query.where(endpoint.c.state != str(EndpointState.ACTIVE)).order_by(endpoint.c.key)


def _resting(row: Any, probe_at: datetime | None) -> Resting:  # noqa: ANN401 - a row with the columns of _SHOWN
    return Resting(key=row.key, origin=row.origin, state=EndpointState(row.state), probe_at=probe_at)


# It goes through all that waits for the endpoint, once in half a minute at most.
_FIRST = (
    select(delivery.c.key)
    .where(delivery.c.endpoint_key == bindparam("endpoint"), _FREE)
    .order_by(delivery.c.attempt, delivery.c.key)
    .limit(1)
    .with_for_update(skip_locked=True, of=delivery)
)


def take_probe(connection: Connection, key: int, *, now: datetime, until: datetime) -> int | None:
    """Win the right to probe an endpoint until a moment; the answer is a delivery of it, made due, or None.

    Of those tried least the oldest: so they take turns, and one that nobody will ever take does not speak for all.
    """
    chosen = connection.scalar(_FIRST, {**pacing.moments(now), "endpoint": key})
    if chosen is None:
        return None
    ours = update(endpoint).where(
        endpoint.c.key == key, endpoint.c.state == str(EndpointState.PAUSED), endpoint.c.paused_until <= now
    )
    if connection.execute(ours.values(paused_until=until)).rowcount != 1:
        return None
    connection.execute(update(delivery).where(delivery.c.key == chosen).values(next_attempt_at=now))
    return int(chosen)


def read_all(connection: Connection, origins: Collection[str]) -> dict[str, tuple[int, EndpointHealth]]:
    """Key and health of each endpoint, by its origin."""
    found = connection.execute(_BY_ORIGIN, {"origins": list(origins)})
    return {row.origin: (row.key, _health(row)) for row in found}


def lock(connection: Connection, key: int) -> EndpointHealth:
    """How an endpoint is doing, while nobody else can change that."""
    # Leaves those alone who only refer to it, as every new delivery does.
    query = select(*_HEALTH).where(endpoint.c.key == key).with_for_update(key_share=True)
    return _health(connection.execute(query).one())


def _health(row: Any) -> EndpointHealth:  # noqa: ANN401 - a row with the columns of _HEALTH
    fields = {name: getattr(row, name) for name in EndpointHealth.__slots__}
    return EndpointHealth(**{**fields, "state": EndpointState(fields["state"])})


def _columns(health: EndpointHealth) -> dict[str, Any]:
    return {name: getattr(health, name) for name in EndpointHealth.__slots__} | {"state": str(health.state)}


def _waiting(*which: ColumnElement[bool]) -> Select[tuple[int]]:
    """Asks for `now`."""
    return select(delivery.c.key).where(and_(*which), WAITS, IS_FREE)


def _move(connection: Connection, chosen: Select[tuple[int]], due: datetime, now: datetime) -> int:
    keys = connection.scalars(chosen.with_for_update(skip_locked=True), {"now": now})
    asked = {"given": rows(connection, [{"key": key} for key in keys]), "due": due, "now": now}
    # In a statement of its own: only a new one sees the attempt of a claim that was faster than the lock.
    return connection.execute(_moving(connection.dialect.name), asked).rowcount


@cache
def _moving(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    found = given(dialect, "given", key=BigInteger())
    mine = update(delivery).where(among(dialect, delivery.c.key, found), PENDING, IS_FREE)
    return mine.values(next_attempt_at=bindparam("due", type_=UtcDateTime()))


def enable(connection: Connection, key: int, *, now: datetime) -> Turn:
    """Somebody says that it works again: everything that waits for it is due, also where it never rested."""
    before = lock(connection, key)
    turn = change(connection, key, before, endpoints.enabled(before), now)
    if not turn.is_new_state:
        _move(connection, _waiting(delivery.c.endpoint_key == key, delivery.c.next_attempt_at > now), now, now)
    return turn


def disable(connection: Connection, key: int, reason: str, *, now: datetime) -> Turn:
    """Send it nothing until somebody enables it."""
    before = lock(connection, key)
    return change(connection, key, before, endpoints.disabled(before, reason), now)


def change(connection: Connection, key: int, before: EndpointHealth, after: EndpointHealth, now: datetime) -> Turn:
    """Write how an endpoint is doing, under its lock: hold what waits for it, or let it go, and tell the operator."""
    if after != before:
        connection.execute(update(endpoint).where(endpoint.c.key == key).values(_columns(after)))
    turn = Turn(before=before, after=after)
    if turn.is_new_state:
        # Hold what waits for an endpoint that rests, or let it all go now; what is out settles by itself.
        due = now if after.state is EndpointState.ACTIVE else now + HELD_FOR
        _move(connection, _waiting(delivery.c.endpoint_key == key), due, now)
        notices.note_turn(connection, key, before, after, now=now)
    return turn


def hold_again(connection: Connection, *, now: datetime, limit: int) -> int:
    """Hold what would come due although its endpoint rests; returns how many there were, at most `limit`."""
    asleep = select(endpoint.c.key).where(endpoint.c.state != EndpointState.ACTIVE)
    soon = delivery.c.next_attempt_at <= now + HELD_FOR / 7
    late = _waiting(soon, delivery.c.endpoint_key.in_(asleep)).limit(limit)
    if connection.execute(late.limit(1), {"now": now}).one_or_none() is None:
        return 0
    return _move(connection, late, now + HELD_FOR, now)


def first_due(connection: Connection, keys: Collection[int], *, now: datetime) -> dict[int, datetime]:
    """When something that is written now for these endpoints is due: now, or held.

    Those that rest are looked at again under a lock, so that nothing is held for one that wakes up just now.
    """
    states = select(endpoint.c.key).where(endpoint.c.key.in_(keys), endpoint.c.state != EndpointState.ACTIVE)
    asleep = list(connection.scalars(states))
    if asleep:
        again = states.where(endpoint.c.key.in_(asleep)).order_by(endpoint.c.key)
        asleep = list(connection.scalars(again.with_for_update(read=True)))
    return {key: now + HELD_FOR if key in asleep else now for key in keys}


def count_by_state(connection: Connection) -> dict[str, int]:
    """How many endpoints are in each state."""
    query = select(endpoint.c.state, func.count()).group_by(endpoint.c.state)
    return {row[0]: row[1] for row in connection.execute(query)}
