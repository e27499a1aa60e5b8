"""Reading endpoints, for people who ask how the receivers are doing."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Subquery, and_, exists, func, or_, select, true

from tracker.errors import InputError, NotFoundError
from tracker.origins import origin_of
from tracker.store.deliveries import WAITS
from tracker.store.schema import callback, delivery, endpoint, registration
from tracker.store.searching_walk import GIVEN, as_given, is_given


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
    """Endpoints, newest first; with an owner, those that have a message for a callback of that owner.

    One of many tasks waits until everything was looked at that is sent to others.
    """
    if owner is None:
        return _page(connection, _lines(None), before, limit)
    lately = of_owner(connection, owner)
    which = endpoint.c.key.in_(lately.keys) if lately.are_all else _is_told(owner)
    return _page(connection, _lines(owner).where(which), before, limit)


def lately(
    connection: Connection, *, owner: str | None, before: int | None = None, limit: int = 50
) -> list[EndpointLine]:
    """The same at once; with an owner, those that have a message about one of its newest tasks."""
    if owner is None:
        return page(connection, owner=None, before=before, limit=limit)
    which = endpoint.c.key.in_(of_owner(connection, owner).keys)
    return _page(connection, _lines(owner).where(which), before, limit)


def _page(connection: Connection, query: Select[Any], before: int | None, limit: int) -> list[EndpointLine]:
    if before is not None:
        query = query.where(endpoint.c.key < before)
    return [_line(row) for row in connection.execute(query.order_by(endpoint.c.key.desc()).limit(limit))]


def get(connection: Connection, given: str, *, owner: str | None) -> EndpointLine:
    """An endpoint by its `end_…` or by its address; raises NotFoundError."""
    named = _lines(owner).where(or_(endpoint.c.id == given, endpoint.c.origin == _address(given)))
    row = connection.execute(named).one_or_none()
    if row is None or (owner is not None and not _sees(connection, owner, row.key)):
        raise NotFoundError(f"there is no endpoint {given!r}")
    return _line(row)


def _sees(connection: Connection, owner: str, key: int) -> bool:
    found = of_owner(connection, owner)
    if key in found.keys or found.are_all:
        return key in found.keys
    return connection.scalar(select(endpoint.c.key).where(endpoint.c.key == key, _is_told(owner))) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lately:
    """Where the messages about an owner's newest tasks go."""

    keys: frozenset[int]
    are_all: bool
    """Whether the owner has no other tasks."""


_MOST_TASKS, _MOST_MESSAGES = 1_000, 2_000


def of_owner(connection: Connection, owner: str) -> Lately:
    """The endpoints that an owner's messages go to, by the newest thousand of its tasks."""
    mine = select(registration.c.task_key).where(registration.c.owner == owner)
    tasks = connection.scalars(mine.order_by(registration.c.task_key.desc()).limit(_MOST_TASKS + 1)).all()
    # One value for each: a join would let the database go through the callbacks instead.
    whose = select(callback.c.owner).where(callback.c.key == delivery.c.callback_key).correlate(delivery)
    told = select(delivery.c.endpoint_key).where(
        is_given(connection.dialect.name, delivery.c.task_key), whose.scalar_subquery() == owner
    )
    found = connection.scalars(told.limit(_MOST_MESSAGES + 1), {GIVEN: as_given(connection, tasks[:_MOST_TASKS])}).all()
    are_all = len(tasks) <= _MOST_TASKS and len(found) <= _MOST_MESSAGES
    return Lately(keys=frozenset(found), are_all=are_all)


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


def _lines(owner: str | None) -> Select[Any]:
    waiting = (
        select(func.count())
        .select_from(delivery)
        .where(delivery.c.endpoint_key == endpoint.c.key, WAITS, _of(owner))
        .correlate(endpoint)
        .scalar_subquery()
    )
    told = [endpoint.c[name] for name in EndpointLine.__slots__ if name != "waiting"]
    return select(*told, waiting.label("waiting"))


def _is_told(owner: str) -> ColumnElement[bool]:
    """Whether an endpoint has a message for an owner's callback; to know that it has none, all of its are looked at."""
    return exists().where(delivery.c.endpoint_key == endpoint.c.key, _of(owner)).correlate(endpoint)


def _of(owner: str | None) -> ColumnElement[bool]:
    if owner is None:
        return and_(True)
    return exists().where(callback.c.key == delivery.c.callback_key, callback.c.owner == owner).correlate(delivery)


def _line(row: Any) -> EndpointLine:  # noqa: ANN401 - a row of _lines
    return EndpointLine(**row._mapping)  # noqa: SLF001 - the documented name of a row's mapping
