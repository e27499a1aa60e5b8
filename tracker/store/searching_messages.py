"""Looking for deliveries backwards, so far and no further, as `tracker.store.searching` looks for tasks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, select

from tracker.model import DeliveryStatus, MessageType
from tracker.store.messages import LINE, DeliveryLine, line_of
from tracker.store.schema import callback, delivery, registration
from tracker.store.searching_walk import (
    FEW,
    GIVEN,
    USUAL,
    Look,
    Path,
    Patience,
    Walk,
    along,
    along_these,
    along_words,
    as_given,
    is_given,
    start_below,
)

__all__ = ["USUAL", "Look", "Matching", "Patience", "look"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """Which deliveries to look for; None asks for all. `before` is the key to go on below."""

    status: tuple[DeliveryStatus, ...] = ()
    message_type: MessageType | None = None
    endpoint_key: int | None = None
    task_key: int | None = None
    since: datetime | None = None
    """Made at or after."""
    until: datetime | None = None
    """Made before."""
    before: int | None = None
    limit: int = 50


_MADE = (delivery.c.key, delivery.c.created_at)


def look(
    connection: Connection, wanted: Matching, *, owner: str | None, patience: Patience = USUAL
) -> Look[DeliveryLine]:
    """Deliveries that match, newest first; with an owner, those of its callbacks for tasks that it has registered."""
    path, is_past_others = _path(connection, wanted, owner)
    reading = _reading(connection, wanted, owner)
    walk = Walk(path=path, made=_MADE, reading=reading, since=wanted.since, is_past_others=is_past_others)
    before = start_below(connection, _MADE, until=wanted.until, before=wanted.before)
    found = walk.look(connection, before=before, limit=wanted.limit, patience=patience)
    return replace(found, found=[line_of(row) for row in found.found])


def _path(connection: Connection, wanted: Matching, owner: str | None) -> tuple[Path, bool]:
    """By the index that leads past the fewest others; and whether it leads past those of other owners."""
    if wanted.task_key is not None:
        return along(select(delivery.c.key).where(delivery.c.task_key == wanted.task_key)), owner is not None
    if owner is not None:
        tasks = along(select(registration.c.task_key).where(registration.c.owner == owner))(connection, None, FEW + 1)
        if len(tasks) <= FEW:
            return along_these(_of_tasks(connection, tasks)), True
    if wanted.status:
        return along_words(delivery.c.status, delivery.c.key, [str(one) for one in wanted.status]), owner is not None
    return along(select(delivery.c.key)), owner is not None


def _of_tasks(connection: Connection, tasks: Sequence[int]) -> Sequence[int]:
    """The newest messages about these tasks."""
    # Ordered by an expression: else the database might go through all messages in the order asked for.
    newest = (delivery.c.key + 0).desc()
    query = select(delivery.c.key).where(is_given(connection.dialect.name, delivery.c.task_key))
    return connection.scalars(query.order_by(newest).limit(USUAL.rows), {GIVEN: as_given(connection, tasks)}).all()


def _reading(connection: Connection, wanted: Matching, owner: str | None) -> Select[Any]:
    query = LINE.where(is_given(connection.dialect.name, delivery.c.key), *_conditions(wanted), _visible(owner))
    return query.order_by(delivery.c.key.desc())


def _conditions(wanted: Matching) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.status:
        conditions.append(delivery.c.status.in_([str(status) for status in wanted.status]))
    if wanted.message_type is not None:
        conditions.append(delivery.c.message_type == str(wanted.message_type))
    if wanted.endpoint_key is not None:
        conditions.append(delivery.c.endpoint_key == wanted.endpoint_key)
    if wanted.task_key is not None:
        conditions.append(delivery.c.task_key == wanted.task_key)
    if wanted.since is not None:
        conditions.append(delivery.c.created_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(delivery.c.created_at < wanted.until)
    return conditions


def _visible(owner: str | None) -> ColumnElement[bool]:
    if owner is None:
        return and_(True)
    # As one value, looked up for each: as a join it would be left to the database how to go about it.
    mine = (registration.c.owner == owner, registration.c.task_key == delivery.c.task_key)
    found = select(registration.c.owner).where(*mine).correlate(delivery).scalar_subquery()
    return and_(callback.c.owner == owner, found.is_not(None))
