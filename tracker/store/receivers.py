"""Reading endpoints, for people who ask how the receivers are doing."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, or_, select

from tracker.errors import InputError, NotFoundError
from tracker.origins import origin_of
from tracker.store.deliveries import WAITS
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
    """Endpoints, newest first; with an owner, those that have a message for a callback of that owner."""
    query = _lines(owner)
    if before is not None:
        query = query.where(endpoint.c.key < before)
    return [_line(row) for row in connection.execute(query.order_by(endpoint.c.key.desc()).limit(limit))]


def get(connection: Connection, given: str, *, owner: str | None) -> EndpointLine:
    """An endpoint by its `end_…` or by its address; raises NotFoundError."""
    query = _lines(owner).where(or_(endpoint.c.id == given, endpoint.c.origin == _address(given)))
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no endpoint {given!r}")
    return _line(row)


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
    query = select(*told, waiting.label("waiting"))
    if owner is None:
        return query
    return query.where(exists().where(delivery.c.endpoint_key == endpoint.c.key, _of(owner)).correlate(endpoint))


def _of(owner: str | None) -> ColumnElement[bool]:
    if owner is None:
        return and_(True)
    return exists().where(callback.c.key == delivery.c.callback_key, callback.c.owner == owner).correlate(delivery)


def _line(row: Any) -> EndpointLine:  # noqa: ANN401 - a row of _lines
    return EndpointLine(**row._mapping)  # noqa: SLF001 - the documented name of a row's mapping
