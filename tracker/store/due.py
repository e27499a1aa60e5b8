"""What waits for an attempt and may have one now, asked without a lock: who claims it looks again."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Connection, FromClause, Integer, Text, and_, bindparam, cast, func, literal, select

from tracker.model import EndpointState
from tracker.store import pacing
from tracker.store.deliveries import IS_FREE, WAITS
from tracker.store.given import given, rows
from tracker.store.moments import UtcDateTime
from tracker.store.schema import delivery, endpoint
from tracker.store.told import as_one

FEW = 4
"""Deliveries of one endpoint that a look shows where others would not be seen for them."""
_RICH = 8


class Due(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A delivery that waits for an attempt."""

    key: int
    endpoint: str
    is_well: bool = False
    """Whether its endpoint has taken messages before, and no attempt has failed since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one look shows."""

    due: Sequence[Due]
    is_all: bool
    """Whether nothing else is due at endpoints that were not left out."""
    oldest: datetime | None = None
    """Since when the longest has been due, wherever it goes to; None where nothing is."""
    is_rich: bool = False
    """Whether there is more, and an eighth at least of those that are due longest may go."""


def look(
    connection: Connection, *, now: datetime, without: Collection[str], limit: int, since: datetime | None = None
) -> Seen:
    """What is due, longest first, leaving out endpoints (`scheme://host:port`) that have no room or are at rest.

    Messages whose callback is being told another just now are left out too, so that they hold up nobody else. The
    `limit` that are due longest are looked at; where most of them are left out, the first few of every endpoint are
    looked at instead, so that nobody is hidden behind what waits for a black hole.

    With `since` nothing is seen that was due before: of that only entries may be left in the index that an old snapshot
    keeps, and that each look would have to walk over.
    """
    asked = {
        **pacing.moments(now),
        "given": rows(connection, [{"origin": origin} for origin in without]),
        "most": limit,
        "since": since or _EVER,
    }
    dialect = connection.dialect.name
    number, first, oldest = connection.execute(_oldest(dialect), asked).one()
    found = _decode(oldest or "[]")
    is_all = number < limit
    is_rich = not is_all and _RICH * len(found) >= limit
    if not is_all and len(found) <= limit // 2:
        more = _decode(connection.scalar(_few_of_each(dialect), {**asked, "few": FEW}) or "[]")
        known = {due.key for due in found}
        found += [due for due in more if due.key not in known]
    return Seen(due=found, is_all=is_all, oldest=first, is_rich=is_rich)


# SQLite's truths are numbers.
_decode = msgspec.json.Decoder(list[Due], strict=False).decode
_EVER = datetime(1, 1, 1, tzinfo=UTC)
_SINCE = bindparam("since", type_=UtcDateTime())
_NOW = bindparam("now", type_=UtcDateTime())
_MOST = bindparam("most", type_=Integer())
_IS_WELL = and_(endpoint.c.failures == 0, endpoint.c.last_success_at.is_not(None)).label("is_well")


@cache
def _oldest(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    """How many were looked at, when the first was due, and those due longest that may go."""
    passed_over = given(dialect, "given", origin=Text())
    waiting = (
        select(delivery.c.key, delivery.c.endpoint_key, delivery.c.next_attempt_at)
        .where(WAITS, delivery.c.next_attempt_at <= _NOW, delivery.c.next_attempt_at >= _SINCE)
        .order_by(delivery.c.next_attempt_at)
    )
    # Also where it is under way: left without an outcome, it has to be seen again.
    first = waiting.with_only_columns(delivery.c.next_attempt_at).limit(1).scalar_subquery().label("first")
    oldest = waiting.where(IS_FREE).limit(_MOST).cte("oldest")
    ready = (
        select(oldest.c.key, endpoint.c.origin, _IS_WELL)
        .select_from(oldest)
        .join(endpoint, endpoint.c.key == oldest.c.endpoint_key)
        .join(delivery, delivery.c.key == oldest.c.key)
        .where(endpoint.c.state == str(EndpointState.ACTIVE), endpoint.c.origin.not_in(select(passed_over.c.origin)))
        .where(pacing.IN_TURN)
        .order_by(oldest.c.next_attempt_at)
    )
    told = as_one(dialect, ready).scalar_subquery().label("told")
    return select(func.count().label("number"), first, told).select_from(oldest)


@cache
def _few_of_each(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    """The first few of each endpoint: the index is asked for one endpoint after the other, whatever lies between."""
    passed_over = given(dialect, "given", origin=Text())
    with_some = select(cast(literal(0), BigInteger).label("key")).cte("with_some", recursive=True)
    following = (
        select(delivery.c.endpoint_key)
        .where(WAITS, delivery.c.endpoint_key > with_some.c.key)
        .order_by(delivery.c.endpoint_key, delivery.c.next_attempt_at)
        .limit(1)
        .correlate(with_some)
        .scalar_subquery()
    )
    with_some = with_some.union_all(select(following).where(with_some.c.key.is_not(None)))
    first = (
        select(delivery.c.key, delivery.c.next_attempt_at)
        .where(WAITS, delivery.c.endpoint_key == endpoint.c.key)
        .where(delivery.c.next_attempt_at <= _NOW, delivery.c.next_attempt_at >= _SINCE)
        .where(IS_FREE, pacing.IN_TURN)
        .order_by(delivery.c.endpoint_key, delivery.c.next_attempt_at)
        .limit(bindparam("few", type_=Integer()))
        .correlate(endpoint)
    )
    few: FromClause = delivery.alias("few") if dialect == "sqlite" else first.lateral("few")
    # SQLite knows no LATERAL, but asks a list of keys anew for each row.
    of_each = few.c.key.in_(first.with_only_columns(delivery.c.key).scalar_subquery())
    is_one = of_each if dialect == "sqlite" else literal(1) == 1
    query = (
        select(few.c.key, endpoint.c.origin, _IS_WELL)
        .select_from(with_some.join(endpoint, endpoint.c.key == with_some.c.key).join(few, is_one))
        .where(endpoint.c.state == str(EndpointState.ACTIVE), endpoint.c.origin.not_in(select(passed_over.c.origin)))
        .order_by(few.c.next_attempt_at)
        .limit(_MOST)
    )
    return as_one(dialect, query)
