"""What the outcomes of attempts say about their endpoints, written with them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Connection, Text, bindparam, exists, or_, select, text, update

from tracker import endpoints as rules
from tracker.errors import InputError
from tracker.model import Delivery, EndpointHealth, EndpointState, Outcome
from tracker.origins import origin_of
from tracker.store import endpoints
from tracker.store.deliveries import PENDING
from tracker.store.endpoints import HELD_FOR, Turn
from tracker.store.given import given, rows
from tracker.store.moments import UtcDateTime
from tracker.store.schema import callback, delivery, endpoint, task

SUCCESS_NOTED_EVERY = timedelta(minutes=1)


@cache
def _not_fine(dialect: str) -> Any:  # noqa: ANN401 - a statement, built once
    named = given(dialect, "given", origin=Text())
    return select(endpoint.c.origin).where(
        endpoint.c.origin.in_(select(named.c.origin)),
        or_(
            endpoint.c.state != str(EndpointState.ACTIVE),
            endpoint.c.failures > 0,
            endpoint.c.last_success_at.is_(None),
            endpoint.c.last_success_at <= bindparam("since", type_=UtcDateTime()),
        ),
    )


class Lesson(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One outcome, written just now, and the dice that was thrown for it."""

    delivery: Delivery
    outcome: Outcome
    now: datetime
    dice: float
    is_probe: bool = False
    """Whether it was sent to find out if an endpoint that is paused works again."""


def learn_all(connection: Connection, lessons: Sequence[Lesson]) -> list[Turn | None]:
    """`learn` for many, looking only once at endpoints about which there is nothing new."""
    turns: list[Turn | None] = [None] * len(lessons)
    in_question = _in_question(connection, lessons)
    seen = endpoints.read_all(connection, in_question) if in_question else {}
    told = [place for place, lesson in enumerate(lessons) if lesson.delivery.endpoint in seen]
    # In the order of their keys, in which everybody locks them.
    for place in sorted(told, key=lambda place: seen[lessons[place].delivery.endpoint][0]):
        lesson = lessons[place]
        key, health = seen[lesson.delivery.endpoint]
        if _is_old_news(health, lesson.outcome, lesson.now):
            continue
        turn = learn(connection, lesson)
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
    named = rows(connection, [{"origin": origin} for origin in fine])
    asked = _not_fine(connection.dialect.name), {"given": named, "since": since}
    return failing | set(connection.scalars(*asked))


def learn(connection: Connection, lesson: Lesson) -> Turn | None:
    """What an outcome, which was written just now, says about the endpoint; None where it says nothing new.

    A delivery that waits on is held where its endpoint rests by now. Faults of our own say nothing.
    """
    claimed, now = lesson.delivery, lesson.now
    key, seen = endpoints.read_all(connection, [claimed.endpoint])[claimed.endpoint]
    if _is_old_news(seen, lesson.outcome, now):
        return None
    before = endpoints.lock(connection, key)
    turn = endpoints.change(connection, key, before, _judge(connection, key, before, lesson), now)
    if turn.after.state is not EndpointState.ACTIVE:
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


def _judge(connection: Connection, key: int, health: EndpointHealth, lesson: Lesson) -> EndpointHealth:
    outcome, now = lesson.outcome, lesson.now
    if outcome.delivered:
        return rules.succeeded(health, now)
    if outcome.gone:
        # An answer about the callback: the receiver itself is well.
        if health.state is EndpointState.DISABLED or _has_callbacks(connection, key, lesson.delivery.endpoint):
            return health
        return rules.disabled(health, "its last callback is gone (HTTP 410)")
    if not outcome.spent:
        return health
    count = rules.probe_failed if lesson.is_probe else rules.failed
    return count(health, outcome.said, now, dice=lesson.dice)


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
