"""Reading endpoints, for people who ask how the receivers are doing."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Subquery,
    bindparam,
    exists,
    func,
    or_,
    select,
    true,
)

from tracker.errors import InputError, NotFoundError
from tracker.origins import origin_of
from tracker.store.deliveries import WAITS
from tracker.store.endpoint_owner_table import endpoint_owner
from tracker.store.given import among, given, plain_rows
from tracker.store.schema import callback, delivery, endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointLine:
    """An endpoint, as told to people; `key` is its place in pages."""

    key: int
    id: str
    origin: str
    state: str
    reason: str | None
    failures: int
    failing_since: datetime | None
    paused_until: datetime | None
    last_success_at: datetime | None
    waiting: int
    """How many messages are pending; with an owner, of that owner's."""


def page(
    connection: Connection, *, owner: str | None, before: int | None = None, limit: int = 50
) -> list[EndpointLine]:
    """Endpoints, newest first; with an owner, those that ever had a message for a callback of that owner."""
    key = endpoint.c.key if owner is None else endpoint_owner.c.endpoint_key
    query = _endpoints(owner).order_by(key.desc()).limit(limit)
    return _lines(connection, query if before is None else query.where(key < before), owner)


def get(connection: Connection, given: str, *, owner: str | None) -> EndpointLine:
    """An endpoint by its `end_…` or by its address; raises NotFoundError."""
    named = _endpoints(owner).where(or_(endpoint.c.id == given, endpoint.c.origin == _address(given)))
    found = _lines(connection, named, owner)
    if not found:
        raise NotFoundError(f"there is no endpoint {given!r}")
    return found[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many there are, counted so far and no further."""

    found: int
    is_all: bool
    """Where not, there are at least so many."""


MOST_COUNTED = 1_000
"""People read more than that as many."""


def waiting(connection: Connection, key: int, *, owner: str | None) -> Count:
    """How many messages wait for an endpoint, of the first `MOST_COUNTED` to be due; with an owner, of that owner's."""
    first = select(delivery.c.callback_key).where(delivery.c.endpoint_key == key, WAITS)
    # Also as a range in the order of the index: else the database may prefer another one, and sort all that waits.
    first = first.where(delivery.c.endpoint_key.between(key, key))
    first = first.order_by(delivery.c.endpoint_key, delivery.c.next_attempt_at)
    return counted(connection, first, owner=owner)


def dead(connection: Connection, key: int, *, owner: str | None) -> Count:
    """How many messages for an endpoint were given up, of the last `MOST_COUNTED` for any."""
    last = select(delivery.c.callback_key, delivery.c.endpoint_key).where(delivery.c.status == "dead")
    return counted(connection, last.order_by(delivery.c.key.desc()), owner=owner, endpoint_key=key)


def counted(connection: Connection, rows: Select[Any], *, owner: str | None, endpoint_key: int | None = None) -> Count:
    """How many of the first `MOST_COUNTED` rows, which have a `callback_key`, are the owner's, or for an endpoint."""
    few = rows.limit(MOST_COUNTED + 1).subquery("few")
    query = select(func.count(), func.count().filter(*_matching(few, owner, endpoint_key))).select_from(few)
    gone_through, found = connection.execute(query).one()
    return Count(found=min(found, MOST_COUNTED), is_all=gone_through <= MOST_COUNTED)


def _matching(few: Subquery, owner: str | None, endpoint_key: int | None) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [true()]
    if owner is not None:
        # One value for each: a join would let the database go through the callbacks instead.
        whose = select(callback.c.owner).where(callback.c.key == few.c.callback_key).scalar_subquery()
        conditions.append(whose == owner)
    if endpoint_key is not None:
        conditions.append(few.c.endpoint_key == endpoint_key)
    return conditions


def _address(given: str) -> str:
    """People leave the port out, or paste a whole URL."""
    try:
        return origin_of(given)
    except InputError:
        return given


def _endpoints(owner: str | None) -> Select[Any]:
    found = select(*(endpoint.c[name] for name in EndpointLine.__slots__ if name != "waiting"))
    if owner is None:
        return found
    return found.join(endpoint_owner, endpoint_owner.c.endpoint_key == endpoint.c.key).where(
        endpoint_owner.c.owner == owner
    )


def _lines(connection: Connection, endpoints: Select[Any], owner: str | None) -> list[EndpointLine]:
    found = connection.execute(endpoints).mappings().all()
    asked = {"given": plain_rows([{"key": row["key"]} for row in found]), "owner": owner}
    told = connection.execute(_waiting(connection.dialect.name, is_owned=owner is not None), asked)
    waiting: dict[int, int] = dict(told.all())
    return [EndpointLine(**row, waiting=waiting.get(row["key"], 0)) for row in found]


@cache
def _waiting(dialect: str, *, is_owned: bool) -> Select[Any]:
    """How many messages wait for each of the given endpoints.

    In one go: asked for each apart, a database that takes waiting for rare may go through all that waits as often.
    """
    ours = among(dialect, delivery.c.endpoint_key, given(dialect, "given", key=BigInteger()))
    counts = select(delivery.c.endpoint_key, func.count()).where(ours, WAITS).group_by(delivery.c.endpoint_key)
    if not is_owned:
        return counts
    whose = exists().where(callback.c.key == delivery.c.callback_key, callback.c.owner == bindparam("owner"))
    return counts.where(whose.correlate(delivery))
