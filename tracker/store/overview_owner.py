"""The same for one owner, from its newest tasks alone: what was added up says nothing of owners."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from tracker.model import ENDS, DeliveryStatus
from tracker.store.overview import Chart, Course, Range
from tracker.store.overview_recent import SETTLED
from tracker.store.receivers import Count
from tracker.store.schema import callback, delivery, registration, task
from tracker.store.searching_walk import GIVEN, as_given, is_given

MOST_TASKS = 500
"""Newest tasks of an owner that are looked at."""
MOST_MESSAGES = 1_000
_ABOUT_AN_END = tuple(f"task.{status}" for status in ENDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latest:
    """An owner's newest tasks, and what became of its messages about them."""

    course: Course
    statuses: Counter[str]
    """Tasks by status."""
    messages: Counter[str]
    """Messages by status."""
    is_all: bool
    """Whether all of the owner's tasks and messages were looked at."""
    endpoint_keys: frozenset[int]
    """Where these go."""

    def at_least(self, status: DeliveryStatus, among_all: Count) -> Count:
        """How many messages have a status: all of them where that is known, else as many as were met either way."""
        here = self.messages[str(status)]
        return Count(found=here if self.is_all else max(here, among_all.found), is_all=self.is_all or among_all.is_all)


def latest(connection: Connection, range_: Range, *, owner: str, now: datetime) -> Latest:
    """What happened to an owner's newest tasks; `course.back_to` says where there are more of them."""
    tasks = _newest(connection, owner)
    messages = _messages_about(connection, [one.key for one in tasks], owner)
    chart = Chart(range_, now)
    for one in tasks:
        if one.ended_at is not None:
            chart.step(one.ended_at).ended[one.status] += 1
            if one.finished_at is not None:
                chart.length_step(one.ended_at).detect.add((one.ended_at - one.finished_at).total_seconds())
    ends = {one.key: one for one in tasks}
    for message in messages:
        _add(chart, message, ends[message.task_key])
    is_all = len(tasks) < MOST_TASKS and len(messages) < MOST_MESSAGES
    return Latest(
        course=chart.course(back_to=tasks[-1].registered_at if tasks and not is_all else None),
        is_all=is_all,
        statuses=Counter(one.status for one in tasks),
        messages=Counter(one.status for one in messages),
        endpoint_keys=frozenset(one.endpoint_key for one in messages),
    )


def _newest(connection: Connection, owner: str) -> Sequence[Any]:
    told = (task.c.key, task.c.status, task.c.registered_at, task.c.finished_at, task.c.ended_at)
    mine = select(*told).join(registration, registration.c.task_key == task.c.key)
    mine = mine.where(registration.c.owner == owner)
    return connection.execute(mine.order_by(registration.c.task_key.desc()).limit(MOST_TASKS)).all()


def _messages_about(connection: Connection, keys: Sequence[int], owner: str) -> Sequence[Any]:
    names = ("task_key", "endpoint_key", "message_type", "status", "created_at", "settled_at")
    # One value for each: a join would let the database go through the callbacks instead.
    whose = select(callback.c.owner).where(callback.c.key == delivery.c.callback_key).correlate(delivery)
    query = select(*(delivery.c[name] for name in names)).where(
        is_given(connection.dialect.name, delivery.c.task_key), whose.scalar_subquery() == owner
    )
    return connection.execute(query.limit(MOST_MESSAGES), {GIVEN: as_given(connection, keys)}).all()


def _add(chart: Chart, message: Any, about: Any) -> None:  # noqa: ANN401 - rows
    if message.status not in SETTLED:
        return
    chart.step(message.settled_at).settled[message.status] += 1
    is_owed = message.message_type in _ABOUT_AN_END and about.ended_at and message.created_at <= about.ended_at
    if message.status == "delivered" and is_owed and about.finished_at:
        seconds = (message.settled_at - about.finished_at).total_seconds()
        chart.length_step(message.settled_at).deliver.add(seconds)
