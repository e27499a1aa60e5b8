"""How endpoints are doing, as the table remembers it, and the holding back of what waits for those that rest.

Locks are taken in one order: a task, one of its deliveries, the endpoint. Whoever holds an endpoint touches other
deliveries only where nobody else does just now: those see what became of the endpoint when it is their turn.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, exists, func, or_, select, text, update

from tracker import endpoints
from tracker.errors import InputError
from tracker.model import Delivery, EndpointHealth, EndpointState, Outcome
from tracker.origins import origin_of
from tracker.store import notices, pacing
from tracker.store.deliveries import IS_OUT, PENDING
from tracker.store.schema import callback, delivery, endpoint, task

HELD_FOR = timedelta(days=7)
"""How far ahead a held delivery is due: far enough for no claim to meet it; the janitor moves it on."""
SUCCESS_NOTED_EVERY = timedelta(minutes=1)

_HEALTH = [endpoint.c[name] for name in EndpointHealth.__slots__]


# Built once: whatever is written about attempts asks it.
_BY_ORIGIN = select(endpoint.c.key, endpoint.c.origin, *_HEALTH).where(
    endpoint.c.origin.in_(bindparam("origins", expanding=True))
)


_NOT_FINE = select(endpoint.c.origin).where(
    endpoint.c.origin.in_(bindparam("origins", expanding=True)),
    or_(
        endpoint.c.state != str(EndpointState.ACTIVE),
        endpoint.c.failures > 0,
        endpoint.c.last_success_at.is_(None),
        endpoint.c.last_success_at <= bindparam("since"),
    ),
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
    """When it may be probed: only where it is paused and something waits for it."""


# Built once: it is asked all the time, also when there is nothing to do.
_RESTING = (
    select(
        endpoint.c.key,
        endpoint.c.origin,
        endpoint.c.state,
        endpoint.c.paused_until,
        exists().where(delivery.c.endpoint_key == endpoint.c.key, PENDING).label("waits"),
    )
    .where(endpoint.c.state != str(EndpointState.ACTIVE))
    .order_by(endpoint.c.key)
)


def resting(connection: Connection) -> list[Resting]:
    """The endpoints that are not sent to just now."""
    rows = connection.execute(_RESTING)
    return [
        Resting(
            key=row.key,
            origin=row.origin,
            state=EndpointState(row.state),
            probe_at=row.paused_until if row.waits and row.state == EndpointState.PAUSED else None,
        )
        for row in rows
    ]


def take_probe(connection: Connection, key: int, *, now: datetime, until: datetime) -> int | None:
    """Win the right to probe an endpoint until a moment; the answer is its oldest delivery, made due, or None."""
    free = (delivery.c.endpoint_key == key, PENDING, (~IS_OUT) | (delivery.c.next_attempt_at <= now))
    oldest = select(delivery.c.key).where(*free, pacing.IN_TURN).order_by(delivery.c.key).limit(1)
    chosen = connection.scalar(oldest.with_for_update(skip_locked=True), pacing.moments(now))
    if chosen is None:
        return None
    ours = update(endpoint).where(
        endpoint.c.key == key, endpoint.c.state == str(EndpointState.PAUSED), endpoint.c.paused_until <= now
    )
    if connection.execute(ours.values(paused_until=until)).rowcount != 1:
        return None
    connection.execute(update(delivery).where(delivery.c.key == chosen).values(next_attempt_at=now))
    return int(chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One outcome, written just now, and the dice that was thrown for it."""

    delivery: Delivery
    outcome: Outcome
    now: datetime
    dice: float


def learn_all(connection: Connection, lessons: Sequence[Lesson]) -> list[Turn | None]:
    """`learn` for many, looking only once at endpoints about which there is nothing new."""
    turns: list[Turn | None] = [None] * len(lessons)
    seen = _read_all(connection, _in_question(connection, lessons))
    told = [place for place, lesson in enumerate(lessons) if lesson.delivery.endpoint in seen]
    # In the order of their keys, in which everybody locks them.
    for place in sorted(told, key=lambda place: seen[lessons[place].delivery.endpoint][0]):
        lesson = lessons[place]
        key, health = seen[lesson.delivery.endpoint]
        if _is_old_news(health, lesson.outcome, lesson.now):
            continue
        turn = learn(connection, lesson.delivery, lesson.outcome, now=lesson.now, dice=lesson.dice)
        turns[place] = turn
        if turn:
            seen[lesson.delivery.endpoint] = (key, turn.after)
    return turns


def _in_question(connection: Connection, lessons: Sequence[Lesson]) -> set[str]:
    """The endpoints that something may be learned about: where an attempt failed, and where success is news."""
    failing = {lesson.delivery.endpoint for lesson in lessons if not lesson.outcome.delivered}
    fine = {lesson.delivery.endpoint for lesson in lessons} - failing
    if not fine:
        return failing
    since = min(lesson.now for lesson in lessons) - SUCCESS_NOTED_EVERY
    return failing | set(connection.scalars(_NOT_FINE, {"origins": list(fine), "since": since}))


def learn(connection: Connection, claimed: Delivery, outcome: Outcome, *, now: datetime, dice: float) -> Turn | None:
    """What an outcome, which was written just now, says about the endpoint; None where it says nothing new.

    A delivery that waits on is held where its endpoint rests by now. Faults of our own say nothing.
    """
    key, seen = _read(connection, claimed.endpoint)
    if _is_old_news(seen, outcome, now):
        return None
    before = _lock(connection, key)
    after = _judge(connection, key, claimed, before, outcome, now=now, dice=dice)
    turn = _change(connection, key, before, after, now)
    if after.state is not EndpointState.ACTIVE:
        mine = update(delivery).where(delivery.c.key == claimed.key, PENDING)
        connection.execute(mine.values(next_attempt_at=now + HELD_FOR))
    return turn


def _is_old_news(seen: EndpointHealth, outcome: Outcome, now: datetime) -> bool:
    if seen.state is not EndpointState.ACTIVE or outcome.gone:
        return False
    if not outcome.delivered:
        return not outcome.spent
    noted = seen.last_success_at
    return not seen.failures and noted is not None and now - noted < SUCCESS_NOTED_EVERY


def _judge(
    connection: Connection,
    key: int,
    claimed: Delivery,
    health: EndpointHealth,
    outcome: Outcome,
    *,
    now: datetime,
    dice: float,
) -> EndpointHealth:
    if outcome.delivered:
        return endpoints.succeeded(health, now)
    if outcome.gone:
        # An answer about the callback: the receiver itself is well.
        if health.state is EndpointState.DISABLED or _has_callbacks(connection, key, claimed.endpoint):
            return health
        return endpoints.disabled(health, "its last callback is gone (HTTP 410)")
    if not outcome.spent:
        return health
    return endpoints.failed(health, outcome.said, now, dice=dice)


def _has_callbacks(connection: Connection, key: int, origin: str) -> bool:
    """Whether any callback of an endpoint wants to be told: one with deliveries there, or one of a live task.

    A callback names no endpoint: until it has a delivery, its URL is all there is to go by. The host narrows
    them down in SQL, the rest is the same reading of URLs that made the endpoint.
    """
    told = exists().where(delivery.c.callback_key == callback.c.key, delivery.c.endpoint_key == key)
    known = select(callback.c.key).where(callback.c.gone_at.is_(None), told)
    if connection.execute(known.limit(1)).one_or_none() is not None:
        return True
    host = origin.partition("://")[2].rpartition(":")[0]
    live = select(callback.c.url).join(task, task.c.key == callback.c.task_key)
    live = live.where(callback.c.gone_at.is_(None), text("task.ended_at IS NULL"))
    return any(_is_at(url, origin) for url in connection.scalars(live.where(callback.c.url.icontains(host))))


def _is_at(url: str, origin: str) -> bool:
    try:
        return origin_of(url) == origin
    except InputError:
        return False


def _read(connection: Connection, origin: str) -> tuple[int, EndpointHealth]:
    return _read_all(connection, (origin,))[origin]


def _read_all(connection: Connection, origins: Collection[str]) -> dict[str, tuple[int, EndpointHealth]]:
    found = connection.execute(_BY_ORIGIN, {"origins": list(origins)})
    return {row.origin: (row.key, _health(row)) for row in found}


def _lock(connection: Connection, key: int) -> EndpointHealth:
    # Leaves those alone who only refer to it, as every new delivery does.
    query = select(*_HEALTH).where(endpoint.c.key == key).with_for_update(key_share=True)
    return _health(connection.execute(query).one())


def _health(row: Any) -> EndpointHealth:  # noqa: ANN401 - a row with the columns of _HEALTH
    fields = {name: getattr(row, name) for name in EndpointHealth.__slots__}
    return EndpointHealth(**{**fields, "state": EndpointState(fields["state"])})


def _columns(health: EndpointHealth) -> dict[str, Any]:
    return {name: getattr(health, name) for name in EndpointHealth.__slots__} | {"state": str(health.state)}


def _waiting(*which: ColumnElement[bool]) -> Select[tuple[int]]:
    return select(delivery.c.key).where(and_(*which), PENDING, ~IS_OUT)


def _move(connection: Connection, chosen: Select[tuple[int]], due: datetime) -> int:
    free = chosen.with_for_update(skip_locked=True)
    moved = update(delivery).where(delivery.c.key.in_(free)).values(next_attempt_at=due)
    return connection.execute(moved).rowcount


def enable(connection: Connection, key: int, *, now: datetime) -> Turn:
    """Somebody says that it works again: everything that waits for it is due."""
    before = _lock(connection, key)
    return _change(connection, key, before, endpoints.enabled(before), now)


def disable(connection: Connection, key: int, reason: str, *, now: datetime) -> Turn:
    """Send it nothing until somebody enables it."""
    before = _lock(connection, key)
    return _change(connection, key, before, endpoints.disabled(before, reason), now)


def _change(connection: Connection, key: int, before: EndpointHealth, after: EndpointHealth, now: datetime) -> Turn:
    if after != before:
        connection.execute(update(endpoint).where(endpoint.c.key == key).values(_columns(after)))
    turn = Turn(before=before, after=after)
    if turn.is_new_state:
        # Hold what waits for an endpoint that rests, or let it all go now; what is out settles by itself.
        due = now if after.state is EndpointState.ACTIVE else now + HELD_FOR
        _move(connection, _waiting(delivery.c.endpoint_key == key), due)
        notices.note_turn(connection, key, before, after, now=now)
    return turn


def hold_again(connection: Connection, *, now: datetime, limit: int) -> int:
    """Hold what would come due although its endpoint rests; returns how many there were, at most `limit`."""
    asleep = select(endpoint.c.key).where(endpoint.c.state != EndpointState.ACTIVE)
    soon = delivery.c.next_attempt_at <= now + HELD_FOR / 7
    late = _waiting(soon, delivery.c.endpoint_key.in_(asleep)).limit(limit)
    if connection.execute(late.limit(1)).one_or_none() is None:
        return 0
    return _move(connection, late, now + HELD_FOR)


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
