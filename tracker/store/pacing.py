"""Messages about a task that goes on, one at a time for each callback: whose turn it is, and which are superseded.

Whoever sends looks at this alone, without a lock: of the messages that wait only the oldest may go, and none while
another is out. Whoever writes a newer one supersedes those that wait, and leaves the one that is out to finish: what
comes of it is written under the lock of its task, where it shows that there is a newer one.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    and_,
    bindparam,
    case,
    exists,
    literal_column,
    or_,
    select,
    update,
)

from tracker import pacing
from tracker.model import Delivery, DeliveryStatus, MessageType, Outgoing, Status
from tracker.store.moments import UtcDateTime
from tracker.store.schema import attempt, delivery, task

# As literals: a list of parameters would be written into each statement anew.
_TYPES = tuple(literal_column(f"'{kind}'", Text()) for kind in sorted(pacing.PROGRESS_TYPES))
# Says the same as `status = 'pending'`, but with a status the databases may go through all that waits for anybody.
_PENDING = delivery.c.settled_at.is_(None)
_NOW = bindparam("now", type_=UtcDateTime())
_LATELY = bindparam("lately", type_=UtcDateTime())
_SOON = bindparam("soon", type_=UtcDateTime())
_other = delivery.alias("other")
_last = attempt.alias("last")
_WAITS = _other.c.settled_at.is_(None)


def moments(now: datetime) -> dict[str, datetime]:
    """What a query with `IN_TURN` has to be given."""
    return {"now": now, "lately": now - pacing.SPACING, "soon": now + pacing.SPACING}


# A claim that has run out is no attempt under way. An attempt just ahead of us began after we had looked at the clock,
# and counts; one farther in the future says that a clock was set back.
_IS_IN_THE_WAY = or_(
    and_(_WAITS, _other.c.sequence < delivery.c.sequence),
    and_(_WAITS, _last.c.claimed_until > _NOW, _last.c.outcome == "sending"),
    and_(_last.c.attempted_at > _LATELY, _last.c.attempted_at < _SOON),
)
IN_TURN: ColumnElement[bool] = or_(
    delivery.c.message_type.not_in(_TYPES),
    ~exists()
    .select_from(
        _other.outerjoin(_last, and_(_last.c.delivery_key == _other.c.key, _last.c.attempt >= _other.c.attempt))
    )
    .where(_other.c.callback_key == delivery.c.callback_key, _other.c.message_type.in_(_TYPES), _IS_IN_THE_WAY)
    # Says nothing new, but spares a look at the attempts of all that was settled long ago.
    .where(or_(_WAITS, _other.c.settled_at > _LATELY))
    .correlate(delivery),
)
"""Whether a delivery may be sent now as far as its callback goes; always so for ends. Asks for `moments`."""

IS_NEWEST: ColumnElement[bool] = or_(
    delivery.c.message_type.not_in(_TYPES),
    ~exists()
    .where(_other.c.callback_key == delivery.c.callback_key, _other.c.sequence > delivery.c.sequence)
    .correlate(delivery),
)
"""Whether a message says what its callback does not know better from a later one; always so for ends."""

WAITS_FOR = case(
    (
        and_(_PENDING, delivery.c.message_type.in_(_TYPES)),
        select(_other.c.id)
        .where(_other.c.callback_key == delivery.c.callback_key, _other.c.sequence < delivery.c.sequence)
        .where(_other.c.message_type.in_(_TYPES), _WAITS)
        .order_by(_other.c.sequence)
        .limit(1)
        .correlate(delivery)
        .scalar_subquery(),
    )
)
"""The id of the message that a pending one waits for, if it waits for any."""
SUPERSEDED_BY = case(
    (
        delivery.c.status == str(DeliveryStatus.SUPERSEDED),
        select(_other.c.message_type)
        .where(_other.c.callback_key == delivery.c.callback_key, _other.c.sequence > delivery.c.sequence)
        .where(_other.c.created_at <= delivery.c.settled_at)
        .order_by(_other.c.sequence.desc())
        .limit(1)
        .correlate(delivery)
        .scalar_subquery(),
    )
)
"""The type of the newest message that was there when this one was superseded, if any."""

_CLAIMED = and_(attempt.c.outcome == "sending", attempt.c.claimed_until > _NOW)
_BEGUN = select(attempt.c.delivery_key, attempt.c.attempted_at, _CLAIMED.label("is_claimed")).where(
    or_(attempt.c.outcome == "sending", attempt.c.attempted_at > _LATELY)
)
_SUPERSEDING = update(delivery).values(
    status=str(DeliveryStatus.SUPERSEDED), next_attempt_at=None, settled_at=bindparam("settled")
)


def make_way(connection: Connection, outgoing: Sequence[Outgoing], *, now: datetime) -> dict[int, datetime]:
    """Supersede what these messages, which are to be written, leave nothing to say; before they are written.

    Returns, by callback key, when each may first be sent; without those that may at once.
    """
    callbacks: dict[frozenset[MessageType], list[int]] = {}
    for entry in outgoing:
        if entry.message_type in pacing.PROGRESS_TYPES:
            outdated = pacing.outdated_by(entry.message_type, entry.task.status)
            callbacks.setdefault(outdated, []).append(entry.callback.key)
    starts: dict[int, datetime] = {}
    for outdated, keys in callbacks.items():
        starts |= _supersede(connection, outdated, delivery.c.callback_key.in_(keys), now)
    return starts


def supersede_questions(connection: Connection, task_keys: Sequence[int], *, now: datetime) -> None:
    """These tasks need no input any more."""
    _supersede(connection, [MessageType.NEEDS_INPUT], delivery.c.task_key.in_(task_keys), now)


def _supersede(
    connection: Connection, types: Iterable[MessageType], which: ColumnElement[bool], now: datetime
) -> dict[int, datetime]:
    """Those that wait; the one that is out finishes. Returns when the next may start, where one began just now."""
    asked = moments(now)
    lately, soon = asked["lately"], asked["soon"]
    recent = (
        select(delivery.c.key, delivery.c.callback_key, delivery.c.settled_at)
        .where(which, delivery.c.message_type.in_([str(kind) for kind in types]))
        .where(or_(_PENDING, delivery.c.settled_at > lately))
    )
    # One that somebody holds is being claimed, or moved together with its endpoint.
    found = {row.key: row for row in connection.execute(recent.with_for_update(skip_locked=True))}
    if not found:
        return {}
    # In a statement of its own: only a new one sees the attempt of a claim that was faster than the lock.
    begun = connection.execute(_BEGUN.where(attempt.c.delivery_key.in_(found)), asked).all()
    claimed = {row.delivery_key for row in begun if row.is_claimed}
    if stale := [key for key, row in found.items() if row.settled_at is None and key not in claimed]:
        connection.execute(_SUPERSEDING.where(delivery.c.key.in_(stale)), {"settled": now})
    times = sorted((row.attempted_at, found[row.delivery_key].callback_key) for row in begun)
    return {key: pacing.first_start(now, at) for at, key in times if lately < at < soon}


def supersede_all(connection: Connection, task_keys: Sequence[int], *, now: datetime) -> None:
    """These tasks have ended: nothing is said about their progress any more, not even again."""
    stale = _SUPERSEDING.where(delivery.c.task_key.in_(task_keys), _PENDING, delivery.c.message_type.in_(_TYPES))
    connection.execute(stale, {"settled": now})


def outdated(connection: Connection, failed: Collection[Delivery]) -> set[int]:
    """The keys of those that are not worth another attempt; asked under the locks of their tasks."""
    keys = [each.key for each in failed if each.message_type in pacing.PROGRESS_TYPES]
    if not keys:
        return set()
    newer = and_(_other.c.callback_key == delivery.c.callback_key, _other.c.sequence > delivery.c.sequence)
    query = (
        select(delivery.c.key, delivery.c.message_type, task.c.status, _other.c.message_type.label("newer"))
        .select_from(delivery.join(task, task.c.key == delivery.c.task_key).outerjoin(_other, newer))
        .where(delivery.c.key.in_(keys))
        .distinct()
    )
    return {
        row.key
        for row in connection.execute(query)
        if pacing.is_outdated(
            MessageType(row.message_type), Status(row.status), newer=MessageType(row.newer) if row.newer else None
        )
    }
